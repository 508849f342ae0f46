"""Kill it anywhere: the outputs come out byte for byte the same."""

from __future__ import annotations

from pathlib import Path

import chaos_jobs
import equal
import kills
import pytest

import geobatch_tui

SEED = 20240601
#: Chunks enough for two kills; the uninterrupted run is made once.
SMALL = {"columns": 6, "rows": 6, "side": 300}
PLACES = kills.failpoints(Path(geobatch_tui.__file__).parent)


def test_engine_killed_twice_in_a_chain(tmp_path):
    """2 SIGKILLs at random moments: same tree, no dead letter, no orphan left."""
    verdict = kills.kill_engine(chaos_jobs.raster(tmp_path, **SMALL), 2, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.slow
@pytest.mark.parametrize("form", chaos_jobs.VECTOR_FORMATS)
def test_engine_killed_50_times_in_a_chain_over_features(form, tmp_path):
    """50 SIGKILLs over a job about features, in every format."""
    verdict = kills.kill_engine(chaos_jobs.vector(tmp_path, form), 50, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.slow
@pytest.mark.parametrize("form", chaos_jobs.VECTOR_FORMATS)
def test_features_cut_otherwise(form, tmp_path):
    """Other chunks and workers give the same bytes, and a second run does nothing."""
    verdict = equal.cut_otherwise(chaos_jobs.vector(tmp_path, form, chunks=10))
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_engine_killed_200_times_in_a_chain(tmp_path):
    """The same, 200 times."""
    verdict = kills.kill_engine(chaos_jobs.raster(tmp_path), 200, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_engine_killed_50_times_in_a_chain_with_a_stage(tmp_path):
    """50 SIGKILLs over a chain that stores what is before its last step."""
    verdict = kills.kill_engine(chaos_jobs.staged(tmp_path), 50, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_engine_killed_50_times_in_a_mosaic(tmp_path):
    """50 SIGKILLs over a mosaic of 80 files."""
    verdict = kills.kill_engine(chaos_jobs.mosaic(tmp_path), 50, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.slow
@pytest.mark.parametrize("job", [chaos_jobs.grouped, chaos_jobs.surveyed])
def test_engine_killed_while_it_plans(tmp_path, job):
    """3 SIGKILLs while the files of a mosaic, or its pixels, are looked at in parts."""
    verdict = kills.kill_while_planning(job(tmp_path), [1, 2, 4])
    assert verdict.faults == [], verdict


def test_workers_killed_twice(tmp_path):
    """2 SIGKILLs to random workers in one run: same tree, no dead letter."""
    verdict = kills.kill_workers(chaos_jobs.raster(tmp_path, **SMALL), 2, SEED, gap=0.02)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_workers_killed_300_times(tmp_path):
    """The same, 300 times in a longer run."""
    verdict = kills.kill_workers(chaos_jobs.raster(tmp_path, columns=60, rows=45), 300, SEED)
    assert verdict.faults == [], verdict


def test_there_are_places_to_die_at():
    """The package names its critical places; without them the next test proves nothing."""
    assert len(PLACES) >= 5


def test_engine_killed_at_every_named_place_in_turn(tmp_path):
    """Each run goes on from where the last one died, and dies at the next place."""
    fixture = chaos_jobs.raster(tmp_path, columns=2, rows=1, sources=5, side=100)
    verdict = kills.kill_at_each(fixture, PLACES)
    assert verdict.faults == [], verdict


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_engine_killed_at_a_named_place(tmp_path, place):
    """Death at each named place: the resumed run gives the same tree."""
    verdict = kills.kill_at(chaos_jobs.raster(tmp_path, columns=3, rows=2, side=200), place)
    assert verdict.faults == [], verdict
