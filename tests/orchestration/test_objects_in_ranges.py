"""GeoParquet in a store, read by its columns and row groups: the bytes of a run on files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from object_server import served

import geobatch_tui
from geobatch_tui.config.layers import make_job

if TYPE_CHECKING:
    from pathlib import Path

ROWS, GROUP = 60_000, 10_000
#: What a job asks for, and the most of the object that it may fetch for it: its ends for its
#: identity, its directory, and what is asked for.
ASKED = {
    "bounds": ({"bounds": [0, 0, 7, 90]}, 0.3),
    "columns": ({"columns": ["b"]}, 0.5),
    "where": ({"where": "a < 0.1"}, 0.9),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Points from west to east, in row groups of one size, with boxes."""
    path = tmp_path_factory.mktemp("ranges") / "a.parquet"
    random = np.random.default_rng(7)
    places = np.column_stack([np.linspace(0, 60, ROWS), random.uniform(0, 60, ROWS)])
    gpd.GeoDataFrame(
        {name: random.uniform(0, 1, ROWS) for name in "abcd"},
        geometry=shapely.points(places),
        crs="EPSG:4326",
    ).to_parquet(path, row_group_size=GROUP, write_covering_bbox=True)
    return path


def job(source: str, out: Path, asked: dict[str, Any]) -> Any:
    return make_job(
        {
            "source": {"inputs": [source]},
            "op": {"name": "vector.convert", **asked},
            "output": {"dir": str(out), "format": "FlatGeobuf"},
            "engine": {"max_workers": 2, "executor": "thread", "chunk_features": GROUP},
            "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
        }
    )


def digests(out: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.fgb"))]


@pytest.mark.parametrize(
    "name",
    ["bounds", *(pytest.param(name, marks=pytest.mark.slow) for name in ("columns", "where"))],
)
async def test_only_what_is_asked_for_is_fetched(source, tmp_path, name):
    """And the output is that of a file, without a copy on the disk."""
    asked, most = ASKED[name]
    data = source.read_bytes()
    with served(**{"a.parquet": data}) as server:
        for place, out in ((str(source), "local"), (server.url("a.parquet"), "remote")):
            result = await geobatch_tui.run(job(place, tmp_path / out, asked))
            assert (result.exit_code, result.dead_letters) == (0, [])
        spans = [span.removeprefix("bytes=").split("-") for _, _, span in server.seen if span]
        # Its ends are read twice: for its identity, and its directory.
        assert sum(int(end) + 1 - int(start) for start, end in spans) < most * len(data) + 2**18
        assert len(server.seen) < 40
    assert digests(tmp_path / "remote") == digests(tmp_path / "local") != []


async def test_one_that_is_replaced_between_two_chunks_is_a_dead_letter(source, tmp_path):
    """Never columns of two versions."""
    data = source.read_bytes()
    with served(**{"a.parquet": data}) as server:
        server.replace_at(6, "a.parquet", data[:-8] + b"\0\0\0\0PAR1")
        url = server.url("a.parquet")
        result = await geobatch_tui.run(job(url, tmp_path / "out", {"columns": ["a", "b"]}))
    letters = {letter["error_class"] for letter in result.dead_letters}
    assert letters == {"SourceChangedError"}
    assert not digests(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["503", "reset", "short", "403", "html"])
async def test_no_fault_becomes_features(source, tmp_path, fault):
    """What passes is asked for again, by the classes of rasters; what stays is a dead letter."""
    data = source.read_bytes()
    with served(**{"a.parquet": data}) as server:
        once = fault in {"503", "reset", "short"}
        server.fault = lambda method, path, number: (
            fault if number == 5 or (number > 5 and not once) else ""
        )
        url = server.url("a.parquet")
        result = await geobatch_tui.run(job(url, tmp_path / "out", {"columns": ["a"]}))
        local = await geobatch_tui.run(job(str(source), tmp_path / "local", {"columns": ["a"]}))
    assert local.exit_code == 0
    if once:
        assert (result.exit_code, result.dead_letters) == (0, [])
        assert digests(tmp_path / "out") == digests(tmp_path / "local")
    else:
        assert result.dead_letters
        assert not digests(tmp_path / "out")
