"""Runs whose outputs go to a store: the bytes of runs into a directory, whatever happens."""

from __future__ import annotations

import contextvars
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import moto_store
import numpy as np
import pytest
import rasterio
import shapely
import tomli_w
from moto_store import BUCKET, ENVIRONMENT
from rasterio.transform import from_origin

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import OutputGoneError, PreflightError, VerifyError
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.execution.stores.writing import object_output, part_upload
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.orchestration.side_tasks import uploader

URL = f"s3://{BUCKET}/some/prefix"
BELOW = "some/prefix/"
PART = 64 * 1024
RASTER, VECTOR = {"name": "raster.convert"}, {"name": "vector.convert"}
FORMATS = {"COG": RASTER, "GTiff": RASTER, "GeoParquet": VECTOR, "FlatGeobuf": VECTOR,
           "GPKG": VECTOR}  # fmt: skip


QUICK, SLOW = ("COG", "GeoParquet"), pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with moto_store.stored() as store:
        yield store


@pytest.fixture
def store(server, monkeypatch, tmp_path):
    """An empty bucket, parts of 64 KiB; the state of runs is this test's alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_output, "PART_BYTES", PART)
    monkeypatch.setattr(part_upload, "_ATTEMPTS", 1)
    monkeypatch.setattr(uploader, "FIRST_WAIT", 0.02)
    part_upload._uploads.cache_clear()
    yield server
    server.empty()


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Two rasters, of which one is too large for one part, and 500 points."""
    root = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(4)
    for name, side in (("large.tif", 600), ("small.tif", 200)):
        profile = {"width": side, "height": side, "count": 1, "dtype": "uint8"}
        profile |= {"crs": "EPSG:4326", "transform": from_origin(7, 47, 0.001, 0.001)}
        with rasterio.open(root / name, "w", driver="GTiff", **profile) as out:
            out.write(rng.integers(0, 256, (1, side, side), dtype="u1"))
    points = shapely.points(rng.random((500, 2)) * 10)
    frame = gpd.GeoDataFrame({"number": np.arange(500)}, geometry=points, crs=4326)
    frame.to_file(root / "points.gpkg", driver="GPKG")
    return root


def values(sources: Path, store: Any, out: str, form: str = "GTiff", **sections: Any) -> Any:
    op = FORMATS[form]
    names = ("large.tif", "small.tif") if op is RASTER else ("points.gpkg",)
    made: dict[str, Any] = {
        "source": {"inputs": [str(sources / name) for name in names]},
        "op": op,
        "output": {"dir": out, "format": form},
        "engine": {"max_workers": 2, "executor": "thread", "space_wait": "20s"},
        "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
        "storage": store.section(),
    }
    for name, section in sections.items():
        made[name] = made.get(name, {}) | section
    return made


def job(*args: Any, **sections: Any) -> Any:
    return make_job(values(*args, **sections))


def small(sources: Path, store: Any, **sections: Any) -> Any:
    """A job with one small output."""
    source = {"inputs": [str(sources / "small.tif")]}
    return job(sources, store, URL, **{"source": source, **sections})


async def local(sources: Path, store: Any, out: Path, form: str = "GTiff") -> dict[str, str]:
    """Digests of what a run into a directory gives."""
    result = await geobatch_tui.run(job(sources, store, str(out), form))
    assert result.exit_code == 0
    files = (path for path in out.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def state() -> Path:
    return local_place(URL) / ".geobatch"


def uploads() -> list[lu.UploadBegun]:
    with LedgerReader(state() / "ledger.db") as reader:
        return reader.uploads()


@pytest.mark.parametrize(
    "form", [form if form in QUICK else pytest.param(form, marks=SLOW) for form in FORMATS]
)
async def test_a_store_gets_the_bytes_of_a_directory(sources, store, tmp_path, form):
    """In each format; a second run does nothing; all is found by the URL alone, and no secret is
    in anything that was written."""
    expected = await local(sources, store, tmp_path / "out", form)
    result = await geobatch_tui.run(job(sources, store, URL, form, output={"manifest": True}))
    assert (result.exit_code, result.output_dir) == (0, URL)
    listed = json.loads(store.read(f"{BELOW}outputs.json"))["outputs"]
    assert {one["path"]: one["sha256"] for one in listed} == {
        f"{URL}/{name}": digest for name, digest in expected.items()
    }
    found = store.digests(BELOW)
    del found["outputs.json"]
    assert found == expected
    assert (store.unfinished(), uploads()) == ([], [])
    assert not list(local_place(URL).glob("*.part"))
    again = await geobatch_tui.run(job(sources, store, URL, form))
    assert again.counts["done"] == 0
    assert await geobatch_tui.verify(URL) == {"checked": len(expected), "damaged": []}
    assert geobatch_tui.open_run(URL).status()["output_dir"] == URL
    (host,) = result.rates["hosts"]
    assert (host["host"], host["bytes_out"] >= sum(len(store.read(f"{BELOW}{name}")) for name in expected)) == (
        f"s3://{BUCKET}", True,
    )  # fmt: skip
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    written += b"".join(store.read(key) for key in store.names())
    assert not any(secret.encode() in written for secret in ENVIRONMENT.values())


async def test_items_of_a_catalogue_lie_beside_the_outputs(sources, store, tmp_path):
    """Those of a directory, but for where sources are; what says the same is not written again, and
    what others wrote stays."""
    listed = {"output": {"stac": True}, "job": {"name": "relief"}}
    out = tmp_path / "out"
    assert (await geobatch_tui.run(job(sources, store, str(out), **listed))).warnings == ()
    result = await geobatch_tui.run(job(sources, store, URL, **listed))
    assert (result.exit_code, result.warnings) == (0, ())
    for name in ("large.tif.json", "small.tif.json", "collection.json"):
        near, far = json.loads((out / name).read_text()), json.loads(store.read(f"{BELOW}{name}"))
        links = [link["href"] for link in far["links"] if link["rel"] == "derived_from"]
        assert links == [f"file://{sources / name.removesuffix('.json')}"][: len(links)]
        for one in (near, far):
            one["links"] = [link for link in one["links"] if link["rel"] != "derived_from"]
        assert far == near
    before = len(store.seen)
    assert (await geobatch_tui.run(job(sources, store, URL, **listed))).exit_code == 0
    assert not any(one.startswith("PUT") for one in store.seen[before:])
    store.put(f"{BELOW}small.tif.json", b"{}")
    result = await geobatch_tui.run(job(sources, store, URL, **listed))
    assert "small.tif.json was not written by geobatch" in result.warnings[0]
    assert store.read(f"{BELOW}small.tif.json") == b"{}"
    store.put(f"{BELOW}small.tif.json", b"{}", Metadata={"geobatch-outputs": "1"})
    assert (await geobatch_tui.run(job(sources, store, URL, **listed))).warnings == ()
    assert len(store.read(f"{BELOW}small.tif.json")) > 100


async def test_the_settings_of_the_job_hold_wherever_an_answer_comes_from(
    sources, store, monkeypatch
):
    """Answers of worker processes come by callbacks, in which no settings of stores hold."""
    take = uploader.Uploader.take
    monkeypatch.setattr(
        uploader.Uploader, "take", lambda self, *args: contextvars.Context().run(take, self, *args)
    )
    assert (await geobatch_tui.run(small(sources, store))).exit_code == 0
    assert store.names() == [f"{BELOW}small.tif"]


async def test_what_is_damaged_or_gone_is_made_again(sources, store):
    """``verify`` reads all; the next run heals what it found, and what is missing."""
    await geobatch_tui.run(job(sources, store, URL))
    right = store.digests(BELOW)
    store.put(f"{BELOW}small.tif", store.read(f"{BELOW}small.tif")[:-1] + b"?")
    store.client.delete_object(Bucket=BUCKET, Key=f"{BELOW}large.tif")
    checked = await geobatch_tui.verify(URL)
    assert checked == {"checked": 2, "damaged": [f"{URL}/large.tif", f"{URL}/small.tif"]}
    result = await geobatch_tui.run(job(sources, store, URL))
    assert (result.exit_code, result.counts["current"]) == (0, 0)
    assert store.digests(BELOW) == right


async def test_a_lost_ledger_is_rebuilt_from_the_bucket(sources, store):
    """By the fingerprints in metadata and files; nothing is computed. With all state lost, the
    job file alone does it."""
    await geobatch_tui.run(job(sources, store, URL))
    (state() / "ledger.db").unlink()
    repaired = await geobatch_tui.repair(URL)
    assert (repaired["adopted"], repaired["counts"]["done"]) == (2, 0)
    for path in state().rglob("*"):
        if path.is_file():
            path.unlink()
    result = await geobatch_tui.run(job(sources, store, URL))
    assert (result.counts["done"], result.items["published"]) == (0, 2)
    assert (await geobatch_tui.run(job(sources, store, URL))).counts["done"] == 0


async def test_an_object_of_others_is_in_the_way(sources, store):
    """It stays, unless it may be overwritten; it is not even fetched."""
    store.put(f"{BELOW}small.tif", b"somebody's")
    with pytest.raises(PreflightError, match="in the way"):
        await geobatch_tui.run(small(sources, store))
    assert store.read(f"{BELOW}small.tif") == b"somebody's"
    assert not any(one.startswith("GET some/prefix/small.tif") for one in store.seen[:-1])
    result = await geobatch_tui.run(small(sources, store, output={"if_exists": "overwrite"}))
    assert result.exit_code == 0
    assert store.about(f"{BELOW}small.tif")["geobatch-fp"]


async def test_an_object_that_appears_meanwhile_is_not_replaced(sources, store):
    """With "fail", by the condition of the request; its item is a dead letter."""

    def fault(method: str, key: str, query: str) -> int:
        if method == "PUT" and key == f"{BELOW}small.tif":
            store.fault = lambda *_: 0
            store.put(key, b"somebody's")
        return 0

    store.fault = fault
    result = await geobatch_tui.run(small(sources, store, output={"if_exists": "fail"}))
    assert result.dead_by_class == {"NameTakenError": 1}
    assert store.read(f"{BELOW}small.tif") == b"somebody's"


@pytest.mark.parametrize("status", [503, pytest.param(500, marks=SLOW)])
async def test_a_store_that_fails_is_waited_for(sources, store, tmp_path, status):
    """No dead letter, whatever is asked of it; the log says that it is tried again."""
    expected = await local(sources, store, tmp_path / "out")
    left = {"POST": 2, "PUT": 3}

    def fault(method: str, key: str, query: str) -> int:
        if not left.get(method) or "geobatch-probe" in key:
            return 0
        left[method] -= 1
        return status

    store.fault = fault
    result = await geobatch_tui.run(job(sources, store, URL))
    assert (result.exit_code, result.dead_by_class) == (0, {})
    assert store.digests(BELOW) == expected
    assert (state() / "log.jsonl").read_text().count("upload.retry") >= 3


async def test_a_store_that_stays_away_ends_the_run(sources, store):
    """After ``space_wait`` without a byte: what is computed stays, and the next run sends it."""
    store.fault = lambda method, key, query: 503 * (method == "PUT" and "geobatch-probe" not in key)
    result = await geobatch_tui.run(small(sources, store, engine={"space_wait": "0.2s"}))
    assert (result.exit_code, result.reason, result.dead_by_class) == (17, "store", {})
    assert store.names() == []
    store.fault = lambda *_: 0
    assert (await geobatch_tui.run(small(sources, store))).exit_code == 0


async def test_a_geotiff_goes_from_its_spools(sources, store, tmp_path, monkeypatch):
    """No copy of it is on the disk; what the store has when a run ends is not sent again."""
    expected = await local(sources, store, tmp_path / "out", "COG")
    cut = {"chunk_cols": 512, "chunk_rows": 512}
    took, take = [], uploader.Uploader.take

    def spy(self: Any, update: Any, item: Any, spools: Any = None) -> None:
        took.append((item.key, spools, Path(update.part_path).stat().st_size))
        take(self, update, item, spools)

    monkeypatch.setattr(uploader.Uploader, "take", spy)
    store.fault = lambda method, key, query: 503 * ("partNumber=3" in query)
    stopped = await geobatch_tui.run(
        job(sources, store, URL, "COG", engine={"space_wait": "0.2s", **cut})
    )
    assert (stopped.exit_code, stopped.reason) == (17, "store")
    store.fault = lambda *_: 0
    before = len(store.seen)
    again = await geobatch_tui.run(job(sources, store, URL, "COG", engine=cut))
    assert (again.exit_code, again.counts["done"]) == (0, 0)
    assert store.digests(BELOW) == expected
    sent = [one for one in store.seen[before:] if "partNumber" in one and one.startswith("PUT")]
    assert not any("partNumber=1&" in one or "partNumber=2&" in one for one in sent)
    size = len(store.read(f"{BELOW}large.tif"))
    assert size > 5 * PART
    large = [(spools, own) for key, spools, own in took if key == "large.tif"]
    assert all(spools and own < size / 3 for spools, own in large)
    assert [spools for key, spools, _ in took if key == "small.tif"] == [None]


@pytest.mark.parametrize("name", ["../x.spool", "/etc/passwd", ".part", ""])
def test_a_worker_names_spools_of_its_item_alone(name):
    """What it names is read and sent."""
    item = SimpleNamespace(key="a.tif", work_dir="/state/work/1")
    with pytest.raises(VerifyError, match="no spool"):
        uploader._within(item, name)
    assert uploader._within(item, "1-9-8.spool") == Path("/state/work/1/1-9-8.spool")


async def test_a_store_that_refuses_ends_the_run(sources, store):
    """Before anything is computed if it can be told; else at the first output, resumable."""
    store.fault = lambda method, key, query: 403 * (method == "POST")
    with pytest.raises(PreflightError, match=r"is forbidden \(403"):
        await geobatch_tui.run(small(sources, store))
    store.fault = lambda method, key, query: 403 * (method == "PUT")
    with pytest.raises(OutputGoneError, match=r"forbidden \(403"):
        await geobatch_tui.run(small(sources, store))
    store.fault = lambda *_: 0
    result = await geobatch_tui.run(small(sources, store))
    assert (result.exit_code, result.dead_by_class) == (0, {})


async def test_uploads_of_an_earlier_run_are_settled(sources, store):
    """Those of items that are gone are given up, also where the id was never learnt, and what an
    engine tried the store with that was killed; those of others are told of, and stay."""
    await geobatch_tui.run(small(sources, store))
    theirs = store.client.create_multipart_upload(Bucket=BUCKET, Key=f"{BELOW}theirs.tif")
    begun = store.client.create_multipart_upload(Bucket=BUCKET, Key=f"{BELOW}gone.tif")["UploadId"]
    for name in ("nameless.tif", ".geobatch-probe-09bbd17e18335c2b"):
        store.client.create_multipart_upload(Bucket=BUCKET, Key=f"{BELOW}{name}")
    with Ledger.open(state() / "ledger.db") as ledger:
        ledger.begin_run("before", {}, {})
        ledger.apply([
            lu.UploadBegun(7, "gone.tif", "fp", begun),
            lu.UploadBegun(8, "nameless.tif", "fp", ""),
        ])  # fmt: skip
    assert (await geobatch_tui.run(small(sources, store))).exit_code == 0
    assert store.unfinished() == [f"{BELOW}theirs.tif"]
    assert uploads() == []
    assert "1 unfinished upload below" in (state() / "log.jsonl").read_text()
    named = {"Key": f"{BELOW}theirs.tif", "UploadId": theirs["UploadId"]}
    store.client.abort_multipart_upload(Bucket=BUCKET, **named)


async def test_a_store_that_did_not_answer_is_settled_at_the_end(sources, store):
    """What earlier runs left is given up by this one, not by the next."""
    store.client.create_multipart_upload(Bucket=BUCKET, Key=f"{BELOW}.geobatch-probe-09bbd17e18")
    store.fault = lambda method, key, query: (
        503 if method == "GET" and "uploads" in query and not store.names(BELOW) else 0
    )
    result = await geobatch_tui.run(small(sources, store))
    assert (result.exit_code, result.dead_by_class) == (0, {})
    assert "uploads.unswept" in (state() / "log.jsonl").read_text()
    assert store.unfinished() == []


async def test_inputs_do_not_include_the_outputs(sources, store):
    """A prefix that holds both is read without what earlier runs wrote."""
    store.put("some/in.tif", (sources / "small.tif").read_bytes())
    source = {"inputs": [f"s3://{BUCKET}/some/"]}
    for _ in range(2):
        result = await geobatch_tui.run(job(sources, store, URL, source=source))
        assert (result.exit_code, result.items["total"]) == (0, 1)
    replaced = {"inputs": [f"{URL}/in.tif"]}
    with pytest.raises(PreflightError, match="its own output"):
        await geobatch_tui.run(job(sources, store, URL, source=replaced))


def test_commands_find_a_run_by_its_url(sources, store, here, tmp_path, monkeypatch):
    """From any directory; a URL that no run wrote to is told as such."""
    (tmp_path / "job.toml").write_text(tomli_w.dumps(_written(values(sources, store, URL))))
    monkeypatch.setenv("STORE_KEY", ENVIRONMENT["STORE_KEY"])
    here("run", "job.toml", check=0)
    assert f"{URL}/small.tif" in here("outputs", URL, "--json", check=0).stdout
    assert URL in here("status", URL, "--json", check=0).stdout
    assert "2 outputs checked" in here("verify", URL, check=0).stdout
    here("retry", f"{URL}/", check=0)
    here("run", URL, check=0)
    assert here("repair", URL, check=0).returncode == 0
    assert "no run in" in here("status", f"{URL}x", check=2).stderr
    assert "s3://bucket/prefix" in here("status", "https://host/x", check=2).stderr


def _written(made: Any) -> Any:
    """Return a job as its file has it."""
    return {**made, "storage": made["storage"]["stores"]}


@pytest.mark.slow
def test_engine_killed_50_times_in_a_chain(store, tmp_path):
    """50 SIGKILLs, most of them while parts are on their way: the same object, no upload left."""
    rng = np.random.default_rng(11)
    profile = {"width": 4200, "height": 3600, "count": 3, "dtype": "uint8"}
    profile |= {"crs": "EPSG:4326", "transform": from_origin(7, 47, 0.001, 0.001)}
    with rasterio.open(tmp_path / "large.tif", "w", driver="GTiff", **profile) as out:
        out.write(rng.integers(0, 256, (3, 3600, 4200), dtype="u1"))
    source = {"inputs": [str(tmp_path / "large.tif")]}
    words = [sys.executable, "-m", "geobatch_tui", "run", str(tmp_path / "job.toml"), "--headless"]
    for place in (str(tmp_path / "out"), URL):
        engine = {"executor": "process"}
        made = values(tmp_path, store, place, "COG", source=source, engine=engine)
        (tmp_path / "job.toml").write_text(tomli_w.dumps(_written(made)))
        if place != URL:
            subprocess.run(words, check=True, capture_output=True)
    # A slow store: parts are what a kill meets.
    store.fault = lambda method, key, query: time.sleep(0.4 * ("partNumber" in query)) or 0
    killed = while_sending = 0
    while killed < 50:
        before, wanted = len(store.seen), rng.integers(0, 5)
        end = time.monotonic() + (rng.uniform(0.5, 6) if wanted == 0 else 600)
        with subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
            sent = 0
            while run.poll() is None and time.monotonic() < end and (not wanted or sent < wanted):
                time.sleep(0.02)
                sent = sum("partNumber" in one for one in store.seen[before:])
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
                killed += 1
                while_sending += bool(sent)
                continue
        for key in store.names():  # it got through: from the start
            store.client.delete_object(Bucket=BUCKET, Key=key)
    assert while_sending > 10
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    expected = hashlib.sha256((tmp_path / "out" / "large.tif").read_bytes()).hexdigest()
    assert store.digests(BELOW) == {"large.tif": expected}
    assert (store.unfinished(), uploads()) == ([], [])
