"""Earlier runs; and one answer to whether a run is live, whoever asks."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

import geobatch_tui
from geobatch_tui.execution.stores.output_prefix import OutputPrefix
from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.tui.run.past_runs import gather
from geobatch_tui.tui.run.store import RunStore

if TYPE_CHECKING:
    from pathlib import Path

JOB = {"job": {"op": {"name": "raster.convert"}}}


@pytest.mark.parametrize(
    ("ended", "held", "state"),
    [
        (False, True, "running"),
        (False, False, "crashed"),
        (True, True, "partial"),  # another run begins, and has no record yet
        (True, False, "partial"),
    ],
)
def test_status_console_and_history_agree(
    tmp_path: Path, ended: bool, held: bool, state: str
) -> None:
    place = StateDir.open(tmp_path, create=True)
    with Ledger.open(place.ledger, tmp_path) as ledger:
        ledger.begin_run("r1", JOB, {})
        ledger.apply([lu.Noted("run.planned", {"current": 0, "unit_name": "px"})])
        if ended:
            ledger.apply([lu.RunEnded("partial", 12, "complete")])
    with RunLock.acquire(place.lock) if held else nullcontext(), RunStore(tmp_path) as store:
        store.poll()
        (past,) = gather([tmp_path])
        status = geobatch_tui.open_run(tmp_path).status()
        assert (status["state"], store.view.state, past.state) == (state,) * 3
        assert store.view.live is (state == "running")
    with RunStore(tmp_path) as store:
        store.poll()
        store.poll()
        assert store.view.state == (state if ended else "crashed")


def test_a_run_into_a_store_is_known_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the history and in the console; its directory is that of its state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    prefix = OutputPrefix.of("s3://bucket/some/prefix")
    place = StateDir.open(prefix.place, create=True, prefix=prefix)
    with Ledger.open(place.ledger, prefix.place) as ledger:
        ledger.begin_run("r1", JOB, {})
    (past,) = gather([prefix.place])
    assert (past.place, past.fields()["dir"]) == (str(prefix), str(prefix))
    with RunStore(prefix.place) as store:
        assert store.outputs == str(prefix)


def test_only_the_newest_run_may_be_live(tmp_path: Path) -> None:
    """One before it without an end has crashed, though the lock is held."""
    place = StateDir.open(tmp_path, create=True)
    with Ledger.open(place.ledger, tmp_path) as ledger:
        ledger.begin_run("r1", JOB, {})
        ledger.recover()
        ledger.begin_run("r2", JOB, {})
    with RunLock.acquire(place.lock):
        runs = gather([tmp_path])
    assert [(run.run_id, run.state) for run in runs] == [("r2", "running"), ("r1", "crashed")]
