"""A process killed at any named place leaves a state that the next one goes on from."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import ledger_victim
import pytest

import geobatch_tui.ledger
from geobatch_tui.ledger.place.durable import _parse
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ItemState

SOURCES = Path(geobatch_tui.ledger.__file__).parent.rglob("*.py")
PLACES = sorted(
    {name for path in SOURCES for name in re.findall(r'\bfailpoint\("(\w+)"\)', path.read_text())}
)
PASSAGES = (1, 3)


@pytest.fixture(scope="module")
def start():
    """Call ``start(out, place)``: run the victim in a process of its own; gives its exit status."""
    command = [sys.executable, ledger_victim.__file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as victims:

        def call(out, place=""):
            victims.stdin.write(f"{out}\t{place}\n")
            victims.stdin.flush()
            return int(victims.stdout.readline())

        yield call
        victims.stdin.close()
        assert victims.wait(30) == 0


def test_the_variable_kills_a_process(tmp_path):
    """Where it is set as the process begins, as the others are told by a call."""
    code = "import sys, pathlib, ledger_victim as v; v.run(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out"],
        env={**os.environ, "GEOBATCH_FAILPOINT": "after_rename:3"},
        cwd=Path(ledger_victim.__file__).parent,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    check_names(tmp_path / "out")


def check_names(out):
    """Every final name is a whole file; what the ledger calls published has its name."""
    for path in out.glob("*.tif"):
        assert path.read_bytes() == ledger_victim.content(int(path.stem))
    ledger = StateDir.open(out).ledger
    if ledger.exists() and ledger.stat().st_size:
        with LedgerReader(ledger) as reader:
            assert reader.audit() == []
            for row in reader.items():
                if row.state is ItemState.PUBLISHED:
                    assert Path(row.out_path).stat().st_size == row.out_size


def test_there_are_places_around_each_step():
    """Begin, rename, directory sync, commit, archive and JSON files can each be cut short."""
    for step in ("begin", "rename", "dirsync", "commit", "archive"):
        assert any(place.endswith(step) for place in PLACES), step
    assert len(PLACES) >= 9


@pytest.mark.parametrize("place", PLACES)
def test_killed_there_it_goes_on(tmp_path, start, place):
    """Killed at its first and third passage: nothing torn, nothing lost, nothing doubled."""
    out = tmp_path / "out"
    killed = 0
    for passage in PASSAGES:
        status = start(out, f"{place}:{passage}")
        killed += status == -signal.SIGKILL
        assert status in (0, -signal.SIGKILL)
        check_names(out)
    assert killed, f"{place} was never passed"
    assert start(out) == 0
    check_names(out)
    with LedgerReader(StateDir.open(out).ledger) as reader:
        assert reader.counts()["done"] == 6
        assert reader.item_counts()["published"] == 3
        run = reader.run()
        assert run is not None
        assert run.state == "complete"
        assert {earlier.state for earlier in reader.runs()[1:]} <= {"crashed", "complete"}
    assert sorted(path.name for path in out.glob("*.tif")) == ["1.tif", "2.tif", "3.tif"]


def test_the_variable_names_place_and_passage():
    """``name`` means its first passage, ``name:n`` its n-th."""
    assert _parse("after_rename") == ("after_rename", 1)
    assert _parse("after_rename:12") == ("after_rename", 12)
    assert _parse("") == ("", 1)
