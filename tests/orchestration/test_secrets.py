"""Canaries in every place where a secret can be: none sings in anything that is written or shown."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import rasterio
from object_server import served
from rasterio.transform import from_origin
from stac_server import collection, item

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import GeobatchError, PreflightError
from geobatch_tui.orchestration.api import plan
from geobatch_tui.orchestration.run.options import Options
from geobatch_tui.orchestration.run.runner import execute
from geobatch_tui.tui.jobs.draft import Draft

CANARIES = {"user": "canary-1-user", "query": "canary2query", "variable": "canary/3/variable",
            "config": "canary-4-config", "href": "canary5href"}  # fmt: skip


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A raster and a catalogue in a store, which is asked with secrets of two kinds."""
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 1, "dtype": "uint8",
               "crs": "EPSG:32632", "transform": from_origin(0, 0, 10, 10)}  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as out:
        out.write(np.ones((1, 32, 32), "uint8"))
    monkeypatch.setenv("MY_TOKEN", CANARIES["config"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARIES["variable"])
    with served() as objects:
        data = (tmp_path / "a.tif").read_bytes()
        value = item("scene", data="a.tif")
        value["links"] = [{"rel": "self", "href": f"https://h/x?token={CANARIES['href']}"}]
        value["properties"]["note"] = f"https://h/x?sig={CANARIES['href']}"
        objects.data |= {
            "a.tif": data, "b.tif": b"no raster", "items.json": collection([value]).encode()
        }  # fmt: skip
        yield objects


def job(store, out, *inputs):
    root = store.url("").rstrip("/")
    return make_job({
        "source": {"inputs": list(inputs)},
        "op": {"name": "raster.convert"},
        "output": {"dir": str(out), "manifest": True, "stac": True},
        "engine": {"max_workers": 1, "executor": "process"},
        "log": {"level": "debug"},
        "retry": {"max_attempts": 1},
        "storage": {"stores": {root: {"token": "env:MY_TOKEN"}}},
    })  # fmt: skip


def refuse_canaries(*texts: str | bytes) -> None:
    for text in texts:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
        assert [name for name, secret in CANARIES.items() if secret.encode() in data] == []


async def test_a_run_tells_no_secret(store, tmp_path):
    """One raster is published, one object is none; what a catalogue holds is no secret of ours, and
    goes without its signatures all the same."""
    told: list[str] = []
    loaded = job(store, tmp_path / "out", {"stac": store.url("items.json")}, store.url("b.tif"))
    report = await plan(loaded)
    refuse_canaries(json.dumps(report.to_json(), default=str), *map(str, report.explain()))
    result = await execute(loaded, Options(log_stream=told.append))
    assert (result.exit_code, len(told) > 3) == (12, True)
    refuse_canaries(json.dumps(result.to_json()), *told)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"scene.tif", "scene.tif.json", "ledger.db", "log.jsonl"} <= {one.name for one in files}
    refuse_canaries(*(path.read_bytes() for path in files))
    screen = [str(asdict(field)) for field in Draft.of_run(loaded.to_json()).fields()]
    refuse_canaries(*screen, json.dumps(loaded.to_json()))


@pytest.mark.parametrize("url", ["http://{user}:{user}@h/a.tif", "http://{user}@h/a.tif",
                                 "https://h/a.tif?sig=1&a={query}", "https://h/a.tif?mine={query}",
                                 "https://h/a.tif#{query}"])  # fmt: skip
async def test_a_url_with_a_secret_is_refused_before_anything_is_written(store, tmp_path, url):
    """A user, or a query of whatever name: nobody knows which of them are secret."""
    loaded = job(store, tmp_path / "out", store.url("a.tif"), url.format(**CANARIES))
    for call in (plan(loaded), geobatch_tui.run(loaded)):
        with pytest.raises(PreflightError) as caught:
            await call
        error: GeobatchError = caught.value
        refuse_canaries(str(error), error.hint)
    assert not (tmp_path / "out").exists()
