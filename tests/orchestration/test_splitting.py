"""Dead chunks split 2 x 2: what is left dead is a smaller part, whatever it was that failed."""

from __future__ import annotations

import asyncio

import corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st

import geobatch_tui
from geobatch_tui.errors import ConfigError
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.splitting import halved, tile_of

TILES = st.sampled_from([64, 128, 256, 512])


@given(st.tuples(TILES, TILES), st.integers(1, 40), st.integers(1, 40))
def test_halves_are_whole_tiles_and_end_at_one(tile, across, down):
    """Each half is smaller, made of whole tiles, at least half as long; the last is one tile."""
    chunk = tile[0] * across, tile[1] * down
    while (half := halved(chunk, tile)) is not None:
        assert half != chunk
        for side, before, step in zip(half, chunk, tile, strict=True):
            assert side % step == 0
            assert before <= 2 * side <= before + step
        chunk = half
    assert chunk == tile


def test_tile_of_creation_options():
    assert tile_of({}) == (512, 512)
    assert tile_of({"blocksize": 128}) == (128, 128)
    assert tile_of({"blockxsize": 256, "blockysize": 64}) == (256, 64)


@pytest.fixture
def job(tmp_path):
    """A raster of 512 pixels with a bad tile of 128, in chunks of 512, run once."""
    path = tmp_path / "job.toml"
    path.write_text(
        corpus.job_text(
            [corpus.corrupt_tile(tmp_path)],
            tmp_path / "out",
            output={"creation": {"blocksize": 128}},
            engine={"executor": "thread", "chunk_cols": 512, "chunk_rows": 512},
        )
    )
    assert geobatch_tui.run_sync(geobatch_tui.load_job(path)).exit_code == 12
    return tmp_path / "out"


def again(out, **options):
    return asyncio.run(geobatch_tui.retry(out, **options))


def bad(out):
    """Windows of the dead chunks."""
    with LedgerReader(StateDir.open(out).ledger) as reader:
        assert reader.audit() == []
        return [letter.record["window"] for letter in reader.letters()]


def test_split_finds_the_bad_part(job):
    """Each split leaves less dead and the rest done, down to the tiles that touch the bad one."""
    pixels = [sum(width * height for _, _, width, height in bad(job))]
    done = []
    for _ in (256, 128):
        result = again(job, split=True)
        done.append(result.counts["done"])
        pixels.append(sum(width * height for _, _, width, height in bad(job)))
        assert result.items["held"] == 1
    with pytest.raises(ConfigError, match="can be split"):
        again(job, split=True)
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[-1] <= pixels[0] / 2
    # Every chunk of the new grid that can be is computed: a grid is regular.
    with LedgerReader(StateDir.open(job).ledger) as reader:
        (item,) = reader.items()
        assert (item.plan["grid"]["chunk_width"], item.plan["grid"]["chunk_height"]) == (128, 128)
        assert done[-1] == item.n_chunks - len(bad(job))


def test_only_what_is_chosen_is_split(job):
    """A name that no dead chunk has: nothing can be split, and nothing is changed."""
    before = bad(job)
    with pytest.raises(ConfigError, match="can be split"):
        again(job, split=True, chunks=["corrupt.tif@9,9"])
    assert bad(job) == before
