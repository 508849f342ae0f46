"""From a broken file to a run without faults, without leaving the console."""

from __future__ import annotations

import shutil

import pytest
from pseudo_terminal import Terminal

from geobatch_tui.cli.commands.demo import JOB, copy_to
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader


@pytest.mark.disk
def test_a_broken_file_is_seen_mended_and_retried(tmp_path):
    """The file that is cut off arrives with its picture; once it is whole, R makes it done, and the
    command ends with 0."""
    place = copy_to(tmp_path / "demo")
    shown = Terminal(["-m", "geobatch_tui", "run", str(place / JOB)], place, columns=160, rows=48)
    try:
        shown.wait_for(b"PARTIAL", 60)
        shown.type(b"3")
        shown.wait_for(b"broken.tif")
        shown.wait_for(b"p2-98", 30)
        shutil.copyfile(place / "data" / "alps.tif", place / "data" / "broken.tif")
        shown.type(b"R")
        shown.wait_for(b"planned anew")
        shown.type(b"\r")
        shown.wait_for(b"nothing is given up")
        shown.type(b"1")
        shown.wait_for(b"SUCCESS", 60)
        shown.type(b"q")
        assert shown.ended() == 0
    finally:
        shown.close()
    with LedgerReader(StateDir.open(place / "out").ledger) as reader:
        assert [run.exit_code for run in reader.runs()] == [0, 12]
        assert reader.counts()["dead"] == 0
    assert (place / "out" / "broken.tif").exists()
