"""The state of a run survives rivals, signals, loss, damage and change."""

from __future__ import annotations

import chaos_jobs
import poison
import pytest
import state

SEED = 20240601
#: A single INT is also what `tests/cli` sends; a second TERM takes the road of a second INT.
QUICK = {"INT INT", "INT INT INT", "TERM"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A job of three small sources that ran once; each experiment leaves it as it was."""
    directory = tmp_path_factory.mktemp("finished")
    fixture = chaos_jobs.raster(directory, columns=4, rows=3, sources=3, side=200)
    assert fixture.run_here().code == 0
    return fixture


@pytest.mark.slow
def test_second_engine_is_refused(tmp_path):
    """One directory, two engines: the second ends with 13 and names the first."""
    verdict = state.two_engines(poison.patient(tmp_path))
    assert verdict.faults == [], verdict


@pytest.mark.parametrize(
    ("name", "numbers", "gap", "code"),
    [
        pytest.param(*each, marks=[] if each[0] in QUICK else pytest.mark.slow, id=each[0])
        for each in state.SIGNALS
    ],
)
def test_signal_ends_resumable(tmp_path, name, numbers, gap, code):
    """INT and TERM, once and more: the documented code, and the same tree after a resume."""
    verdict = state.stop_by_signal(poison.patient(tmp_path), numbers, gap, code)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_lost_ledger_is_rebuilt(finished):
    """The ledger is expendable: repair rebuilds it and redoes nothing."""
    verdict = state.lose_ledger(finished)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_damaged_ledger_is_noticed(finished):
    """Flipped bytes in the ledger: exit 17 or unharmed, and repair helps."""
    verdict = state.damage_ledger(finished, SEED)
    assert verdict.faults == [], verdict


def test_damaged_output_is_named_and_redone(finished):
    """One flipped bit: verify names that file, the next run redoes it and no other."""
    verdict = state.damage_output(finished, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.parametrize(
    ("what", "tables", "reason"), state.CHANGES, ids=[what for what, *_ in state.CHANGES]
)
def test_change_of_the_job_gives_the_right_reason(finished, what, tables, reason):
    """Operational changes redo nothing, semantic ones redo all, and the plan says which."""
    verdict = state.change(finished, what, tables, reason)
    assert verdict.faults == [], verdict


def test_touched_source_is_current(finished):
    """A new mtime alone changes nothing; a changed byte does."""
    verdict = state.touch_source(finished)
    assert verdict.faults == [], verdict
