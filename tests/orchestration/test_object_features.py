"""Runs on features in a store: the bytes of a run on files, from one copy of each object."""

from __future__ import annotations

import hashlib
import zipfile
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

    from object_server import Objects

CONVERT = {"name": "vector.convert"}
MOVED = {"name": "vector.reproject", "dst_crs": "EPSG:3857"}
#: Names of sources, of which those that are not quick are slow tests.
NAMES = ("a.fgb", "a.gpkg", "a.geojson", "a.parquet", "a.shp.zip")
QUICK = ("a.fgb", "a.gpkg")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """The same points in each format."""
    root = tmp_path_factory.mktemp("features")
    corner = np.random.default_rng(5).uniform(0, 40, (300, 2))
    features = gpd.GeoDataFrame(
        {"number": range(300)}, geometry=shapely.points(corner), crs="EPSG:4326"
    )
    features.to_parquet(root / "a.parquet", row_group_size=100)
    for name in ("a.fgb", "a.gpkg", "a.geojson"):
        features.to_file(root / name)
    parts = root / "parts"
    parts.mkdir()
    features.to_file(parts / "a.shp")
    with zipfile.ZipFile(root / "a.shp.zip", "w") as packed:
        for path in sorted(parts.iterdir()):
            packed.write(path, path.name)
    return root


def job(source: str, out: Path, op: dict[str, Any], form: str = "GPKG") -> Any:
    return make_job(
        {
            "source": {"inputs": [source]},
            "op": op,
            "output": {"dir": str(out), "format": form},
            "engine": {"max_workers": 2, "executor": "thread", "chunk_features": 100},
            "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
        }
    )


def published(out: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.iterdir()
        if path.is_file()
    }


def stored(server: Objects, sources: Path) -> None:
    for name in NAMES:
        server.data[name] = (sources / name).read_bytes()


@pytest.mark.parametrize("op", [CONVERT, MOVED], ids=["convert", "reproject"])
@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
async def test_a_url_gives_the_bytes_of_a_file(sources, tmp_path, name, op):
    """Each byte of the object is fetched for its identity, and for one copy, which goes."""
    form = "GeoParquet" if op is CONVERT else "GPKG"
    with served() as server:
        stored(server, sources)
        for source, out in ((str(sources / name), "local"), (server.url(name), "remote")):
            result = await geobatch_tui.run(job(source, tmp_path / out, op, form))
            assert (result.exit_code, result.dead_letters) == (0, [])
        whole = f"bytes=0-{len(server.data[name]) - 1}"
        assert [span for _, _, span in server.seen].count(whole) == 1
    assert published(tmp_path / "remote") == published(tmp_path / "local") != {}
    state = tmp_path / "remote" / ".geobatch"
    assert not [path for path in state.glob("objects/*") if path.is_dir()]


async def test_an_object_that_is_replaced_after_its_plan_is_a_dead_letter(sources, tmp_path):
    """Never features of two versions; the next run takes the new one."""
    with served() as server:
        stored(server, sources)
        other = server.data["a.gpkg"]

        def replaced(method: str, path: str, number: int) -> str:
            if number == 1:  # the first was for its identity
                server.data["a.fgb"] = other
            return ""

        server.fault = replaced
        result = await geobatch_tui.run(job(server.url("a.fgb"), tmp_path / "out", CONVERT))
    (letter,) = result.dead_letters
    assert letter["error_class"] == "SourceChangedError"
    assert not published(tmp_path / "out")


async def test_what_needs_files_beside_it_is_refused(tmp_path):
    """By name, with a way out."""
    with served(**{"a.shp": b"\0\0\x27\x0a"}) as server:
        url = server.url("a.shp")
        result = await geobatch_tui.run(job(url, tmp_path / "out", CONVERT))
    (letter,) = result.dead_letters
    assert letter["error_class"] == "UnsupportedFormatError"
    assert url in letter["error_message"]


async def test_a_damaged_object_is_named_by_its_url(tmp_path):
    """And no copy of it."""
    with served(**{"a.geojson": b'{"type": "FeatureCollection", "features": [{'}) as server:
        url = server.url("a.geojson")
        result = await geobatch_tui.run(job(url, tmp_path / "out", CONVERT))
    (letter,) = result.dead_letters
    assert url in letter["error_message"]
    assert "objects/" not in letter["error_message"]
