"""The state of a run survives rivals, signals, loss, damage and change."""

from __future__ import annotations

import chaos_jobs
import poison
import pytest
import state

SEED = 20240601


def test_second_engine_is_refused(tmp_path):
    """One directory, two engines: the second ends with 13 and names the first."""
    verdict = state.two_engines(poison.patient(tmp_path))
    assert verdict.faults == [], verdict


@pytest.mark.parametrize(("name", "numbers", "gap", "code"), state.SIGNALS)
def test_signal_ends_resumable(tmp_path, name, numbers, gap, code):
    """INT and TERM, once and more: the documented code, and the same tree after a resume."""
    verdict = state.stop_by_signal(poison.patient(tmp_path), numbers, gap, code)
    assert verdict.faults == [], verdict


def test_lost_ledger_is_rebuilt(tmp_path):
    """The ledger is expendable: repair rebuilds it and redoes nothing."""
    verdict = state.lose_ledger(chaos_jobs.raster(tmp_path, columns=4, rows=3, sources=3))
    assert verdict.faults == [], verdict


def test_damaged_ledger_is_noticed(tmp_path):
    """Flipped bytes in the ledger: exit 17 or unharmed, and repair helps."""
    verdict = state.damage_ledger(chaos_jobs.raster(tmp_path, columns=4, rows=3, sources=3), SEED)
    assert verdict.faults == [], verdict


def test_damaged_output_is_named_and_redone(tmp_path):
    """One flipped bit: verify names that file, the next run redoes it and no other."""
    verdict = state.damage_output(chaos_jobs.raster(tmp_path, columns=4, rows=3, sources=3), SEED)
    assert verdict.faults == [], verdict


@pytest.mark.parametrize(("what", "tables", "reason"), state.CHANGES)
def test_change_of_the_job_gives_the_right_reason(tmp_path, what, tables, reason):
    """Operational changes redo nothing, semantic ones redo all, and the plan says which."""
    fixture = chaos_jobs.raster(tmp_path, columns=4, rows=3)
    verdict = state.change(fixture, what, tables, reason)
    assert verdict.faults == [], verdict


def test_touched_source_is_current(tmp_path):
    """A new mtime alone changes nothing; a changed byte does."""
    verdict = state.touch_source(chaos_jobs.raster(tmp_path, columns=4, rows=3, side=200))
    assert verdict.faults == [], verdict
