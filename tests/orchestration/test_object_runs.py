"""Runs on objects of a store: the bytes of a run on files, or an error, whatever a network does."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from object_server import served
from rasterio.transform import from_origin

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores import host_limits, store_client
from geobatch_tui.execution.stores.reading import kept_heads
from geobatch_tui.orchestration.side_tasks import watchdogs

if TYPE_CHECKING:
    from pathlib import Path

    from object_server import Objects

WARP = {"name": "raster.reproject", "dst_crs": "EPSG:3857"}
CONVERT = {"name": "raster.convert"}
HILLSHADE = {"name": "raster.pipeline", "steps": [{"name": "hillshade"}]}
#: How sources are stored, and whether their blocks are read in ranges: others are copied whole.
FORMS: dict[str, tuple[dict[str, Any], bool]] = {
    "cog.tif": ({"driver": "COG", "compress": "deflate", "blocksize": 128}, True),
    "strips.tif": ({"driver": "GTiff", "compress": "lzw", "predictor": 2}, True),
    "planes.tif": ({"driver": "GTiff", "compress": "zstd", "tiled": True, "interleave": "band",
                    "blockxsize": 64, "blockysize": 64, "count": 2}, True),
    "jpeg.tif": ({"driver": "GTiff", "compress": "jpeg", "tiled": True, "blockxsize": 128,
                  "blockysize": 128}, False),
    "masked.tif": ({"driver": "COG", "compress": "deflate", "blocksize": 128, "mask": True}, True),
    "picture.png": ({"driver": "PNG"}, False),
}  # fmt: skip
QUICK = ("cog.tif", "jpeg.tif")
#: Requests for a plan of one object that is small: its bytes, its head, and what lies beside it.
PLANNED = 4


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """The same relief in each form, in degrees."""
    root = tmp_path_factory.mktemp("sources")
    rows, cols = np.mgrid[0:300, 0:400]
    noise = np.random.default_rng(8).integers(0, 9, rows.shape)
    pixels = (100 + 50 * np.sin(rows / 20) + 40 * np.cos(cols / 30) + noise).astype(np.uint8)
    for name, (options, _) in FORMS.items():
        given = dict(options)
        masked, count = given.pop("mask", False), given.pop("count", 1)
        profile = {"width": 400, "height": 300, "count": count, "dtype": "uint8"}
        profile |= {"crs": "EPSG:4326", "transform": from_origin(7, 47, 0.001, 0.001)}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(root / name, "w", **profile, **given) as out,
        ):
            for band in range(1, count + 1):
                out.write(pixels + band - 1, band)
            if masked:
                out.write_mask(pixels % 11 > 0)
    return root


@pytest.fixture
def server(sources, monkeypatch):
    """All of them in a store; they stand for large ones, whose heads do not hold all of them."""
    monkeypatch.setattr(kept_heads, "SMALL", 0)
    with served() as objects:
        for path in sources.iterdir():
            objects.data[path.name] = path.read_bytes()
        yield objects


def job(source: str | list[str], out: Path, op: dict[str, Any], **sections: dict[str, Any]) -> Any:
    values: dict[str, Any] = {
        "source": {"inputs": [source] if isinstance(source, str) else source},
        "op": op,
        "output": {"dir": str(out)},
        "engine": {"max_workers": 2, "executor": "thread", "chunk_cols": 128, "chunk_rows": 128},
        "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return make_job(values)


def published(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.tif")}


async def run_both(sources: Path, server: Objects, tmp_path: Path, name: str, op: Any) -> None:
    """Run a job on a file and on the object; both must publish the same bytes."""
    for source, out in ((str(sources / name), "local"), (server.url(name), "remote")):
        result = await geobatch_tui.run(job(source, tmp_path / out, op))
        assert result.exit_code == 0
    assert published(tmp_path / "remote") == published(tmp_path / "local") != {}


def relief(side: int) -> bytes:
    """A GeoTIFF of 16 x 16 blocks."""
    pixels = np.random.default_rng(3).integers(0, 255, (side, side), np.uint8)
    profile = {"width": side, "height": side, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    profile |= {"transform": from_origin(7, 47, 0.001, 0.001), "tiled": True, "compress": "zstd"}
    profile |= {"blockxsize": side // 16, "blockysize": side // 16}
    with rasterio.io.MemoryFile() as memory:
        with memory.open(driver="GTiff", **profile) as out:
            out.write(pixels, 1)
        return memory.read()


@pytest.mark.parametrize("op", [WARP, CONVERT], ids=["warp", "convert"])
async def test_a_raster_takes_an_eighth_of_its_blocks_in_requests(tmp_path, op):
    """Those of its plan and its second worker among them: rows of tiles come in one stretch."""
    with served(**{"a.tif": relief(1024)}) as objects:
        result = await geobatch_tui.run(job(objects.url("a.tif"), tmp_path, op))
        assert result.exit_code == 0
        assert len(objects.seen) <= 256 // 8
        assert not [path for method, path, _ in objects.seen if path.endswith("fw")]


async def test_workers_ask_for_what_waits_in_their_queues(tmp_path):
    """Of many small objects, several are on their way at once to one worker; few requests each."""
    names = [f"{number}.tif" for number in range(24)]
    with served(**dict.fromkeys(names, relief(256))) as objects:
        objects.latency = 0.05
        (tmp_path / "list.txt").write_text("\n".join(map(objects.url, names)))
        planned = job(f"@{tmp_path / 'list.txt'}", tmp_path / "out", WARP)
        result = await geobatch_tui.run(planned)
        assert (result.exit_code, len(published(tmp_path / "out"))) == (0, 24)
        assert objects.most > 4
        assert len(objects.seen) <= 24 * 6


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in FORMS]
)
async def test_a_url_gives_the_bytes_of_a_file(sources, server, tmp_path, name):
    """In ranges where the blocks are plain, from a copy elsewhere, which is removed."""
    await run_both(sources, server, tmp_path, name, CONVERT)
    whole = max(len(server.data[name]) - 1, 0)
    asked = [span for _, path, span in server.seen if path == name]
    copied = any(span == f"bytes=0-{whole}" for span in asked)
    assert copied is (not FORMS[name][1] or name == "masked.tif")  # the mask is GDAL's to read
    assert not list((tmp_path / "remote" / ".geobatch").glob("objects/*"))


@pytest.mark.parametrize(
    "op", [WARP, pytest.param(HILLSHADE, marks=SLOW)], ids=["warp", "hillshade"]
)
async def test_steps_give_the_same_bytes(sources, server, tmp_path, op):
    """A warp reads by cells, a chain by windows with a margin."""
    if op is HILLSHADE:
        op = {**HILLSHADE, "steps": [{"name": "hillshade", "xscale": 111120.0, "yscale": 111120.0}]}
    await run_both(sources, server, tmp_path, "cog.tif", op)


@pytest.mark.parametrize(
    "fault",
    [
        "short",
        "other",
        *(pytest.param(one, marks=SLOW) for one in ("503", "reset", "long", "whole", "html")),
    ],
)
async def test_faults_in_mid_run_change_no_pixel(sources, server, tmp_path, fault):
    """Every third request of a run goes wrong. It publishes the right bytes, or says why not."""
    await geobatch_tui.run(job(str(sources / "cog.tif"), tmp_path / "local", WARP))
    server.fault = lambda method, path, number: fault if number % 3 == 2 else ""
    result = await geobatch_tui.run(job(server.url("cog.tif"), tmp_path / "remote", WARP))
    if fault in {"503", "reset", "short", "long"}:
        assert result.exit_code == 0
        assert published(tmp_path / "remote") == published(tmp_path / "local")
    elif result.exit_code == 0:
        assert published(tmp_path / "remote") == published(tmp_path / "local")
    else:
        assert not published(tmp_path / "remote")


async def test_an_object_that_is_replaced_midway_is_a_dead_letter(server, tmp_path):
    """Never two versions in one output; the next run takes the new one."""

    def replaced(method: str, path: str, number: int) -> str:
        if [one[:2] for one in server.seen].count(("GET", "cog.tif")) == 3:
            server.data["cog.tif"] = server.data["strips.tif"]
        return ""

    server.fault = replaced
    out = tmp_path / "out"
    result = await geobatch_tui.run(job(server.url("cog.tif"), out, CONVERT))
    assert {letter["error_class"] for letter in result.dead_letters} == {"SourceChangedError"}
    assert not published(out)
    result = await geobatch_tui.run(job(server.url("cog.tif"), out, CONVERT))
    assert result.exit_code == 0
    assert len(published(out)) == 1


@pytest.mark.parametrize("fault", ["503", "429"])
async def test_a_store_that_is_away_pauses_its_run(sources, server, tmp_path, monkeypatch, fault):
    """Nothing is given up and no attempt counted: it is asked now and then, and the run goes on."""
    monkeypatch.setattr(watchdogs, "STORE_PERIOD", 0.05)
    monkeypatch.setattr(store_client, "WAITS", ())
    monkeypatch.setattr(host_limits, "REST", 0.01)
    await geobatch_tui.run(job(str(sources / "cog.tif"), tmp_path / "local", CONVERT))
    questions = 0

    def away(method: str, path: str, number: int) -> str:
        nonlocal questions
        questions += "if-you-are-there" in path
        return fault if number >= PLANNED and questions < 3 else ""

    server.fault = away
    out = tmp_path / "remote"
    planned = job(server.url("cog.tif"), out, CONVERT, retry={"max_attempts": 1})
    result = await geobatch_tui.run(planned)
    assert result.exit_code == 0
    assert questions >= 3
    assert published(out) == published(tmp_path / "local")
    log = (out / ".geobatch" / "log.jsonl").read_text()
    assert "is away, or asks to slow down" in log
    assert "chunk.retry" not in log


async def test_a_store_that_goes_while_a_run_is_planned_is_waited_for(
    sources, server, tmp_path, monkeypatch
):
    """It answered for the first of two objects, and is away for the identity of the second and for
    both probes: they are asked for again when it is back."""
    monkeypatch.setattr(watchdogs, "STORE_PERIOD", 0.05)
    monkeypatch.setattr(store_client, "WAITS", ())
    monkeypatch.setattr(host_limits, "REST", 0.01)
    await geobatch_tui.run(job(str(sources / "cog.tif"), tmp_path / "local", CONVERT))
    questions = 0

    def away(method: str, path: str, number: int) -> str:
        nonlocal questions
        questions += "if-you-are-there" in path
        return "503" if number >= 1 and questions < 2 else ""

    server.fault = away
    out = tmp_path / "remote"
    inputs = [server.url("cog.tif"), server.url("strips.tif")]
    result = await geobatch_tui.run(job(inputs, out, CONVERT, retry={"max_attempts": 1}))
    assert (result.exit_code, result.dead_letters) == (0, [])
    assert questions >= 2
    assert published(tmp_path / "local").items() <= published(out).items()
    log = (out / ".geobatch" / "log.jsonl").read_text()
    assert log.index("is away, or asks to slow down") < log.index("plan.done")


async def test_a_store_that_is_away_holds_up_no_other(sources, tmp_path, monkeypatch):
    """Its item waits, unblamed; that of another store is published meanwhile. When it is back it is
    asked by no more requests at once than before it went."""
    monkeypatch.setattr(watchdogs, "STORE_PERIOD", 0.05)
    monkeypatch.setattr(watchdogs, "MOST_STORE_PERIOD", 0.05)
    monkeypatch.setattr(host_limits, "REST", 0.01)
    monkeypatch.setattr(store_client, "WAITS", ())
    data, out = relief(1024), tmp_path / "out"
    with served(**{"a.tif": data}) as one, served(**{"b.tif": data}) as other:
        away: list[str] = []

        def fault(method: str, path: str, number: int) -> str:
            if number == PLANNED + 2:
                away.append("now")
                one.most = 0
            if (out / "b.tif").exists():
                away.clear()
            return "503" if away else ""

        one.fault = fault
        inputs = [one.url("a.tif"), other.url("b.tif")]
        planned = job(inputs, out, CONVERT, retry={"max_attempts": 1})
        result = await geobatch_tui.run(planned)
        assert result.exit_code == 0
        assert published(out).keys() == {"a.tif", "b.tif"}
        questions = [path for _, path, _ in one.seen if "if-you-are-there" in path]
        assert questions
        assert len(one.seen) - len(questions) <= 1.5 * len(other.seen) + 2 * 16
    log = (out / ".geobatch" / "log.jsonl").read_text()
    assert "its items wait until it answers" in log
    assert log.index('"item":"b.tif"') < log.rindex('"item":"a.tif"')
    assert "chunk.retry" not in log


async def test_a_store_that_stays_away_ends_its_run(server, tmp_path, monkeypatch):
    """After engine.space_wait, with nothing given up: the same command resumes."""
    monkeypatch.setattr(watchdogs, "STORE_PERIOD", 0.02)
    monkeypatch.setattr(store_client, "WAITS", ())
    monkeypatch.setattr(host_limits, "REST", 0.01)
    server.fault = lambda method, path, number: "503" if number >= PLANNED else ""
    planned = job(server.url("cog.tif"), tmp_path / "out", CONVERT, engine={"space_wait": "0.1s"})
    result = await geobatch_tui.run(planned)
    assert (result.reason, result.exit_code) == ("store", 17)
    assert not result.dead_letters
    server.fault = lambda *_: ""
    assert (await geobatch_tui.run(planned)).exit_code == 0


async def test_a_store_that_is_away_before_the_run_gives_up_no_item(tmp_path):
    """The plan says which, and nothing becomes a dead letter."""
    with served() as objects:
        url = objects.url("a.tif")
    with pytest.raises(PreflightError, match="cannot be reached"):
        await geobatch_tui.plan(job(url, tmp_path / "out", CONVERT, retry={"max_attempts": 1}))


async def test_a_run_again_asks_once_an_object(server, tmp_path):
    """Whether it is still the one that was read: by its ETag, without its bytes."""
    planned = job(server.url("cog.tif"), tmp_path / "out", CONVERT)
    await geobatch_tui.run(planned)
    server.seen.clear()
    report = await geobatch_tui.plan(planned)
    assert dict(report.reasons).keys() == {"current"}
    assert "stores" not in report.to_json()
    assert [method for method, _, _ in server.seen] == ["HEAD"]


@pytest.mark.parametrize(
    ("name", "fault", "kind"),
    [
        ("none.tif", "", "SourceNotFoundError"),
        ("empty.tif", "", "UnsupportedFormatError"),
        ("page.tif", "", "UnsupportedFormatError"),
        ("cog.tif", "403", "SourceNotFoundError"),
        ("half.tif", "", "CorruptSourceError"),
        ("files.vrt", "", "UnsafeInputError"),
        ("beside.tif", "", "UnsupportedFormatError"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter(server, tmp_path, name, fault, kind):
    """With a class, and the URL."""
    server.data |= {
        "empty.tif": b"",
        "page.tif": b"<!DOCTYPE html><html></html>",
        "half.tif": server.data["cog.tif"][:40_000],
        "beside.tif": server.data["cog.tif"],
        "beside.tif.msk": b"II*",
        "files.vrt": b"<VRTDataset><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>",
    }
    server.fault = lambda *_: fault
    result = await geobatch_tui.run(job(server.url(name), tmp_path / "out", CONVERT))
    (letter,) = result.dead_letters
    assert letter["error_class"] == kind
    assert server.url(name) in str(letter["error_message"])


async def test_what_is_said_to_be_alone_is_asked_for_alone(server, sources, tmp_path):
    """One request for an object of one block, and the bytes of the file; without these words two
    more, for what would belong to it."""
    url = server.url("cog.tif")
    out = tmp_path / "out"
    storage = {server.url("").rstrip("/"): {"sidecars": False}}
    assert (await geobatch_tui.run(job(url, out, CONVERT, storage=storage))).exit_code == 0
    assert {path for _, path, _ in server.seen} == {"cog.tif"}
    await geobatch_tui.run(job(str(sources / "cog.tif"), tmp_path / "local", CONVERT))
    assert published(tmp_path / "local") == published(out)


async def test_a_secret_is_in_no_artefact(server, tmp_path, monkeypatch):
    """Not in the ledger, the log, the kept plan, nor an output; workers that are processes get it
    by their pipe, and reach the port of the store."""
    monkeypatch.setenv("MY_TOKEN", "hunter2-canary")
    root = server.url("").rstrip("/")
    planned = job(
        server.url("cog.tif"),
        tmp_path / "out",
        CONVERT,
        storage={root: {"token": "env:MY_TOKEN"}},
        engine={"executor": "process"},
    )
    result = await geobatch_tui.run(planned)
    assert result.exit_code == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


async def test_a_signed_url_is_read_and_its_signature_kept_nowhere(server, sources, tmp_path):
    """It goes with each request, and what lies beside the object is asked for with it too. Another
    signature of the same object is no change."""
    url, out = server.url("cog.tif"), tmp_path / "out"
    engine = {"executor": "process"}
    query = "X-Amz-Expires=60&X-Amz-Signature=hunter2%2Fcanary%3D"
    planned = job(f"{url}?{query}", out, CONVERT, engine=engine, log={"level": "debug"})
    result = await geobatch_tui.run(planned)
    assert result.exit_code == 0
    assert "hunter2" not in json.dumps([planned.to_json(), result.to_json()])
    assert set(server.queries) == {query}
    assert {path for _, path, _ in server.seen} == {"cog.tif", "cog.tif.msk", "cog.tif.aux.xml"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hunter2" in path.read_bytes()]
    report = await geobatch_tui.plan(job(f"{url}?X-Amz-Signature=other", out, CONVERT))
    assert dict(report.reasons).keys() == {"current"}
    await geobatch_tui.run(job(str(sources / "cog.tif"), tmp_path / "local", CONVERT))
    assert published(tmp_path / "local") == published(out)
