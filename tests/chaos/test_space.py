"""Too little room never damages a file under a final name."""

from __future__ import annotations

import chaos_jobs
import pytest
import space


@pytest.mark.parametrize("points", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_file_size_limit_never_publishes_damage(tmp_path, points):
    """RLIMIT_FSIZE from 1 to 99.9 % of the output: nothing damaged, and a resume finishes."""
    verdict = space.limit_file_size(
        chaos_jobs.raster(tmp_path, columns=4, rows=3, side=400), points
    )
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_file_size_limit_on_an_item_of_one_chunk(tmp_path):
    """The same where a worker writes the part file at once."""
    engine = {"chunk_cols": 4096, "chunk_rows": 4096}
    fixture = chaos_jobs.raster(tmp_path, columns=8, rows=6, engine=engine)
    verdict = space.limit_file_size(fixture, 20)
    assert verdict.faults == [], verdict


def small(directory):
    """A job of 120 chunks, which take some 7 MB with their spools."""
    return chaos_jobs.raster(directory, columns=12, rows=10, side=600)


needs_mount = pytest.mark.skipif(not space.may_mount(), reason="may not mount a tmpfs")


@needs_mount
def test_full_disk_pauses_and_goes_on(tmp_path):
    """A disk that fills up pauses the run; with room again it finishes by itself."""
    verdict = space.fill_disk(small(tmp_path), leave=1_500_000)
    assert verdict.faults == [], verdict


@needs_mount
def test_full_disk_for_good_ends_resumable(tmp_path):
    """A disk that stays full: the run ends with its code, and resumes later."""
    verdict = space.fill_disk_for_good(small(tmp_path), leave=1_500_000)
    assert verdict.faults == [], verdict
