"""Runs on URLs that a function of the user signs: late, anew when refused, and never written down."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from object_server import served
from rasterio.transform import from_origin
from stac_server import collection, item

import geobatch_tui
from geobatch_tui.config.layers import load_job, make_job
from geobatch_tui.errors import ConfigError

SIGN = """from pathlib import Path

def sign(url):
    return url + "?mine=1&sig=" + Path(__file__).with_name("key").read_text()
"""


@pytest.fixture
def store(tmp_path):
    """A raster of many blocks that a store gives to signed URLs only."""
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint16",
               "crs": "EPSG:32632", "transform": from_origin(0, 0, 10, 10), "tiled": True,
               "blockxsize": 64, "blockysize": 64, "compress": "deflate"}  # fmt: skip
    pixels = np.random.default_rng(3).integers(0, 9999, (1, 512, 512), "uint16")
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as out:
        out.write(pixels)
    (tmp_path / "sign.py").write_text(SIGN)
    (tmp_path / "key").write_text("canary-one")
    with served() as objects:
        objects.data["a.tif"] = (tmp_path / "a.tif").read_bytes()
        objects.signature = "canary-one"
        value = item("scene", data=objects.url("a.tif"))
        (tmp_path / "items.json").write_text(collection([value]))
        yield objects


def job_file(tmp_path, sign="sign.py:sign", executor="thread", more=""):
    path = tmp_path / "job.toml"
    path.write_text(
        f'source.inputs = [{{ stac = "items.json", sign = "{sign}" }}]\n{more}'
        'op.name = "raster.convert"\noutput.dir = "out"\nengine.max_workers = 1\n'
        f'engine.executor = "{executor}"\nengine.chunk_cols = 256\nengine.chunk_rows = 256\n'
    )
    return path


@pytest.mark.parametrize("executor", ["thread", "process"])
async def test_a_signature_that_expires_is_made_anew(store, tmp_path, executor):
    """In mid-run, without an attempt counted; the pixels are those of the file."""
    loaded = load_job(job_file(tmp_path, executor=executor), environ={})

    def expiring(method, path, number):
        if number == 3:
            (tmp_path / "key").write_text("canary-two")
            store.signature = "canary-two"
        return ""

    store.fault = expiring
    result = await geobatch_tui.run(loaded)
    assert (result.exit_code, store.signature) == (0, "canary-two")
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "out/scene.tif") as two:
        assert (one.read() == two.read()).all()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in files if b"canary" in path.read_bytes()]
    assert b'"attempt": 2' not in (tmp_path / "out/.geobatch/log.jsonl").read_bytes()


@pytest.mark.parametrize(
    "body", ["1 / 0", "7", "'https://h.example/other.tif?sig=canary'", "'ftp://h/a.tif'"]
)
async def test_a_function_that_fails_is_named(store, tmp_path, body):
    """What it said is not: it may be the secret."""
    (tmp_path / "sign.py").write_text(f"def sign(url):\n    return {body}\n")
    result = await geobatch_tui.run(load_job(job_file(tmp_path), environ={}))
    (letter,) = result.dead_letters
    assert "could not sign" in letter["error_message"]
    assert "canary" not in letter["error_message"]


def test_code_is_run_by_the_rule_of_steps(tmp_path):
    """It lies beside the job file, or the user allows it."""
    (tmp_path / "items.json").write_text(collection([]))
    for sign, reason in (("os:system", "installed package"), ("/tmp/x/sign.py:sign", "sign: ")):
        with pytest.raises(ConfigError, match=reason):
            load_job(job_file(tmp_path, sign), environ={})
        allowed = job_file(tmp_path, sign, more="source.allow_code = true\n")
        assert any("signed by code" in text for text in load_job(allowed, environ={}).warnings)
    with pytest.raises(ConfigError, match="sign is"):
        make_job({
            "source": {"inputs": [{"stac": "/a.json", "sign": "nonsense"}]},
            "op": {"name": "raster.convert"},
            "output": {"dir": "/out"},
        })  # fmt: skip
