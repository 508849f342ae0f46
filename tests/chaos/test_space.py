"""Too little room never damages a file under a final name."""

from __future__ import annotations

import chaos_jobs
import pytest
import space


@pytest.mark.parametrize("points", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_file_size_limit_never_publishes_damage(tmp_path, points):
    """RLIMIT_FSIZE from 1 to 99.9 % of the output: nothing damaged, and a resume finishes."""
    verdict = space.limit_file_size(chaos_jobs.raster(tmp_path, columns=8, rows=6), points)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_file_size_limit_on_an_item_of_one_chunk(tmp_path):
    """The same where a worker writes the part file at once."""
    engine = {"chunk_cols": 4096, "chunk_rows": 4096}
    fixture = chaos_jobs.raster(tmp_path, columns=8, rows=6, engine=engine)
    verdict = space.limit_file_size(fixture, 20)
    assert verdict.faults == [], verdict


needs_mount = pytest.mark.skipif(not space.may_mount(), reason="may not mount a tmpfs")


@needs_mount
def test_full_disk_pauses_and_goes_on(tmp_path):
    """A disk that fills up pauses the run; with room again it finishes by itself."""
    verdict = space.fill_disk(chaos_jobs.raster(tmp_path), leave=5_000_000)
    assert verdict.faults == [], verdict


@needs_mount
def test_full_disk_for_good_ends_resumable(tmp_path):
    """A disk that stays full: the run ends with its code, and resumes later."""
    verdict = space.fill_disk_for_good(chaos_jobs.raster(tmp_path), leave=5_000_000)
    assert verdict.faults == [], verdict
