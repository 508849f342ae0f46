"""FlatGeobuf in a store, read by its index where a job has bounds: the bytes of a run on files."""

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
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout

if TYPE_CHECKING:
    from pathlib import Path

    from object_server import Objects

ROWS = 20_000
#: About 1 % of the features.
CORNER = [10.0, 20.0, 16.0, 26.0]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Squares and points, mixed, with texts of several lengths, in the order of an index."""
    path = tmp_path_factory.mktemp("indexed") / "a.fgb"
    random = np.random.default_rng(7)
    places = random.uniform(0, 60, (ROWS, 2))
    shapes = shapely.points(places)
    shapes[::3] = shapely.buffer(shapes[::3], 0.2, cap_style="square")
    texts = [f"{n}" * (n % 20) for n in range(ROWS)]
    gpd.GeoDataFrame(
        {"n": range(ROWS), "text": texts, "a": random.uniform(0, 1, ROWS)},
        geometry=shapes,
        crs="EPSG:4326",
    ).to_file(path, driver="FlatGeobuf")
    return path


def job(source: str, out: Path, asked: dict[str, Any], **more: Any) -> Any:
    engine = {"max_workers": 2, "executor": "thread", "chunk_features": 3000} | more
    return make_job(
        {
            "source": {"inputs": [source]},
            "op": {"name": "vector.convert"} | asked,
            "output": {"dir": str(out), "format": "FlatGeobuf"},
            "engine": engine,
            "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
        }
    )


def digests(out: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.fgb"))]


def fetched(server: Objects) -> int:
    spans = [span.removeprefix("bytes=").split("-") for _, _, span in server.seen if span]
    return sum(int(end) + 1 - int(start) for start, end in spans)


async def of_both(source: Path, tmp_path: Path, asked: dict[str, Any], **more: Any) -> int:
    """Run on the file and on the object; return the bytes that were fetched."""
    with served(**{"a.fgb": source.read_bytes()}) as server:
        for place, out in ((str(source), "local"), (server.url("a.fgb"), "remote")):
            result = await geobatch_tui.run(job(place, tmp_path / out, asked, **more))
            assert (result.exit_code, result.dead_letters) == (0, [])
        got = fetched(server)
    assert digests(tmp_path / "remote") == digests(tmp_path / "local") != []
    assert not list((tmp_path / "remote" / ".geobatch").glob("objects/*/a.fgb"))
    return got


@pytest.mark.parametrize(
    ("asked", "engine"),
    [
        ({"bounds": CORNER}, {}),
        ({"name": "vector.clip", "bounds": CORNER, "columns": ["text"]}, {"chunk_features": 700}),
        pytest.param(
            {
                "name": "vector.pipeline",
                "bounds": CORNER,
                "steps": [{"name": "reproject", "output_crs": "EPSG:3857"}],
            },
            {"chunk_features": 20_000},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"bounds": CORNER},
            {"chunk_features": 100, "executor": "process"},
            marks=[pytest.mark.slow, pytest.mark.disk],
        ),
    ],
    ids=["convert", "clip", "chain", "processes"],
)
async def test_only_what_the_index_finds_is_fetched(source, tmp_path, asked, engine):
    """And the output is that of a file, in chunks of any size, without a copy on the disk."""
    got = await of_both(source, tmp_path, asked, **engine)
    assert got < 0.3 * source.stat().st_size
    (made,) = (tmp_path / "remote").glob("*.fgb")
    assert len(gpd.read_file(made)) == len(gpd.read_file(source, bbox=tuple(CORNER))) > ROWS / 200


@pytest.mark.slow
@pytest.mark.parametrize("why", ["most", "where", "moments", "no index"])
async def test_what_the_index_does_not_help_with_comes_in_a_copy(source, tmp_path, why):
    """Each byte once, and those of its ends for its identity."""
    asked: dict[str, Any] = {"bounds": CORNER}
    if why == "most":
        asked["bounds"] = [0, 0, 60, 45]
    elif why == "where":
        asked["where"] = "a < 0.5"
    else:
        frame = gpd.read_file(source)
        if why == "moments":
            frame["at"] = np.datetime64("2026-05-01T10:00:00", "ms")
        source = tmp_path / "a.fgb"
        frame.to_file(source, SPATIAL_INDEX="NO" if why == "no index" else "YES")
    size = source.stat().st_size
    assert size < await of_both(source, tmp_path, asked) < 1.5 * size


async def test_one_that_is_replaced_between_two_chunks_is_a_dead_letter(source, tmp_path):
    """Never features of two versions."""
    data = source.read_bytes()
    with served(**{"a.fgb": data}) as server:
        server.replace_at(6, "a.fgb", data[:-1] + b"\1")
        result = await geobatch_tui.run(
            job(server.url("a.fgb"), tmp_path / "out", {"bounds": CORNER})
        )
    letters = {letter["error_class"] for letter in result.dead_letters}
    assert letters == {"SourceChangedError"}
    assert not digests(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["503", "reset", "short", "403", "html"])
async def test_no_fault_becomes_features(source, tmp_path, fault):
    """What passes is asked for again; what stays is a dead letter."""
    once = fault in {"503", "reset", "short"}
    with served(**{"a.fgb": source.read_bytes()}) as server:
        server.fault = lambda method, path, number: (
            fault if number == 5 or (number > 5 and not once) else ""
        )
        url = server.url("a.fgb")
        result = await geobatch_tui.run(job(url, tmp_path / "out", {"bounds": CORNER}))
        local = await geobatch_tui.run(job(str(source), tmp_path / "local", {"bounds": CORNER}))
    assert local.exit_code == 0
    if once:
        assert (result.exit_code, result.dead_letters) == (0, [])
        assert digests(tmp_path / "out") == digests(tmp_path / "local")
    else:
        assert result.dead_letters
        assert not digests(tmp_path / "out")


def damaged_leaf(data: bytes) -> bytes:
    """Exchange where two features of the corner begin, as the index has it."""
    head = flatgeobuf_layout.header_size(data)
    leaves = head + flatgeobuf_layout.index_size(ROWS, 16) - 40 * ROWS
    there = np.frombuffer(data, flatgeobuf_layout.NODE, ROWS, leaves).copy()
    inside = np.flatnonzero(~flatgeobuf_layout.outside(there["box"], CORNER))
    at = int(inside[0])
    there["at"][[at, at + 1]] = there["at"][[at + 1, at]]
    return data[:leaves] + there.tobytes() + data[leaves + 40 * ROWS :]


async def test_a_damaged_leaf_is_named_by_url_and_place(source, tmp_path):
    with served(**{"a.fgb": damaged_leaf(source.read_bytes())}) as server:
        url = server.url("a.fgb")
        result = await geobatch_tui.run(job(url, tmp_path / "out", {"bounds": CORNER}))
    assert {letter["error_class"] for letter in result.dead_letters} == {"CorruptSourceError"}
    (message, *_) = {letter["error_message"] for letter in result.dead_letters}
    assert url in message
    assert "at byte" in message
    assert not digests(tmp_path / "out")


@pytest.mark.slow
async def test_an_index_that_is_damaged_above_is_not_followed(source, tmp_path):
    """The object is read as a file of it is: whole, and without its index."""
    data = bytearray(source.read_bytes())
    root = flatgeobuf_layout.header_size(data)
    data[root + 32] += 1
    damaged = tmp_path / "a.fgb"
    damaged.write_bytes(data)
    assert await of_both(damaged, tmp_path, {"bounds": CORNER}) > len(data)
    (made,) = (tmp_path / "remote").glob("*.fgb")
    assert len(gpd.read_file(made)) == len(gpd.read_file(source, bbox=tuple(CORNER)))
