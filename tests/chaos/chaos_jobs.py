"""The jobs that the experiments run: one source, one output, hundreds of small chunks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import tomli_w
from harness import Ended, call, files, start, tree_hash
from rasterio.transform import from_bounds, from_origin
from rasterio.windows import Window

import geobatch_tui
from geobatch_tui.config.layers import load_job
from geobatch_tui.execution.raster.geotiff import spool
from geobatch_tui.execution.vector.spool import segment as vector_spool

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Engine

CHUNK = 128
#: Degrees that the source covers: Europe and a bit more.
BOUNDS = (-12.0, 34.0, 38.0, 62.0)
COLUMNS, ROWS = 20, 15
VECTOR_FORMATS = ("GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq", "Shapefile")


def synthetic(path: Path, width: int = 1500, height: int = 840) -> Path:
    """RGB uint8 in EPSG:4326: waves and seeded noise, so that it neither compresses to nothing
    nor takes long to make."""
    rng = np.random.default_rng(20240601)
    rows, cols = np.mgrid[0:height, 0:width]
    bands = [np.sin(cols / (31 + b)) * np.cos(rows / (17 + 3 * b)) for b in range(3)]
    pixels = (128 + 100 * np.stack(bands) + rng.integers(0, 16, (3, height, width))).astype("uint8")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:4326",
        "transform": from_bounds(*BOUNDS, width, height),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "interleave": "pixel",
        "photometric": "rgb",
    }
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(pixels)
    return path


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, table by table."""
    tables = {name: dict(values) for name, values in base.items()}
    for name, values in changes.items():
        tables.setdefault(name, {}).update(values)
    return tables


@dataclass(frozen=True, slots=True)
class Reference:
    """What an uninterrupted run gives: its tree, its wall seconds, bytes of its largest file."""

    tree: dict[str, str]
    seconds: float
    largest: int


_REFERENCES: dict[str, Reference] = {}


@dataclass(slots=True)
class Fixture:
    """A job file, its tables, its output directory, how many chunks it has, and the mark of one in
    a spool; ``staged``: how many of the chunks are of a stage."""

    directory: Path
    path: Path
    tables: dict[str, Any]
    out: Path
    chunks: int
    magic: bytes = spool.MAGIC
    staged: int = 0

    def write(self, **changes: dict[str, Any]) -> None:
        """Write the job file, with these tables laid over it; the change stays."""
        self.tables = merged(self.tables, changes)
        self.path.write_text(tomli_w.dumps(self.tables))

    def run(
        self,
        *words: str,
        env: dict[str, str] | None = None,
        threads: bool = False,
        **how: Any,
    ) -> Ended:
        """Run the job to its end. ``threads`` take the place of worker processes, where it is the
        engine alone that is tried: outputs are the same, in half of the time."""
        env = ({"GEOBATCH_ENGINE__EXECUTOR": "thread"} if threads else {}) | (env or {})
        return call("run", str(self.path), "--headless", "--json", *words, env=env, **how)

    def run_here(self, *, retry_dead: bool = False) -> Ended:
        """Run the job to its end in this process, by threads: what others left, it goes on with."""
        began = time.monotonic()
        loaded = load_job(self.path, overrides=["engine.executor=thread"])
        result = geobatch_tui.run_sync(loaded, retry_dead=retry_dead)
        return Ended(result.exit_code, json.dumps(result.to_json()), "", time.monotonic() - began)

    def start(self, *words: str, **how: Any) -> Engine:
        """Start the job and return at once."""
        scratch = self.directory / "streams"
        scratch.mkdir(exist_ok=True)
        return start("run", str(self.path), "--headless", "--json", *words, scratch=scratch, **how)

    def plan(self) -> Any:
        """What ``geobatch plan --json`` says of the job, from this process and its threads."""
        loaded = load_job(self.path, overrides=["engine.executor=thread"])
        return asyncio.run(geobatch_tui.plan(loaded)).to_json()

    def reference(self) -> Reference:
        """An uninterrupted run of this job in a directory of its own; equal jobs share it."""
        key = self._key()
        if key not in _REFERENCES:
            out = self.directory / "reference"
            shutil.rmtree(out, ignore_errors=True)
            ended = self.run("--output", str(out), timeout=1800)
            if ended.code != 0:
                raise AssertionError(f"reference: exit {ended.code}: {ended.stderr[-4000:]}")
            sizes = [path.stat().st_size for path in files(out)]
            _REFERENCES[key] = Reference(tree_hash(out), ended.seconds, max(sizes))
        return _REFERENCES[key]

    def _key(self) -> str:
        """Digest of the sources and of all that may change output bytes."""
        tables = {name: self.tables[name] for name in ("op", "source", "engine")}
        tables["output"] = {k: v for k, v in self.tables["output"].items() if k != "dir"}
        digest = hashlib.sha256(json.dumps(tables, sort_keys=True).encode())
        for path in sorted(self.directory.glob(self.tables["source"]["inputs"][0])):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def forget(self) -> None:
        """Remove outputs and state."""
        shutil.rmtree(self.out, ignore_errors=True)


def raster(
    directory: Path,
    *,
    columns: int = COLUMNS,
    rows: int = ROWS,
    sources: int = 1,
    side: int = 1500,
    **changes: Any,
) -> Fixture:
    """Reproject ``sources`` synthetic rasters, ``side`` pixels wide, into ``columns`` x ``rows``
    chunks of 128x128 each, with two workers."""
    directory.mkdir(parents=True, exist_ok=True)
    source = synthetic(directory / "source-0.tif", side, side * 14 // 25)
    for number in range(1, sources):
        shutil.copyfile(source, directory / f"source-{number}.tif")
    tables = {
        "job": {"name": "chaos"},
        "source": {"inputs": ["source-*.tif"]},
        "op": {
            "name": "raster.reproject",
            "dst_crs": "EPSG:3035",
            "resampling": "cubic",
            "size": [columns * CHUNK, rows * CHUNK],
        },
        "output": {
            "dir": "out",
            "format": "COG",
            "creation": {"compress": "deflate", "blocksize": CHUNK},
        },
        "engine": {"max_workers": 2, "chunk_cols": CHUNK, "chunk_rows": CHUNK},
        "retry": {"backoff_base": "0.05s", "backoff_cap": "1s"},
        "log": {"format": "json"},
    }
    if "op" in changes:
        tables["op"] = {}
    fixture = Fixture(
        directory, directory / "job.toml", tables, directory / "out", columns * rows * sources
    )
    fixture.write(**changes)
    return fixture


def mosaic(directory: Path, **changes: Any) -> Fixture:
    """Join 80 files that overlap by 32 pixels, by the means of their values, into 300 chunks of
    128x128."""
    op = {"name": "raster.pipeline", "steps": [{"name": "mosaic", "rule": "mean"}]}
    fixture = raster(directory, side=8, op=op)
    (directory / "source-0.tif").unlink()
    whole = synthetic(directory / "whole.tif", COLUMNS * CHUNK, ROWS * CHUNK)
    with rasterio.open(whole) as src:
        wide, high = src.width // 10, src.height // 8
        for number in range(80):
            row, col = divmod(number, 10)
            window = Window(col * wide, row * high, wide + 32, high + 32)
            window = window.intersection(Window(0, 0, src.width, src.height))
            profile = {
                **src.profile, "width": window.width, "height": window.height,
                "transform": src.window_transform(window),
            }  # fmt: skip
            # Each is brighter than the one before, so that it is seen which were joined.
            pixels = src.read(window=window) // 2 + np.uint8(number)
            with rasterio.open(directory / f"source-{number:02d}.tif", "w", **profile) as dst:
                dst.write(pixels)
    fixture.write(**changes)
    return fixture


def staged(directory: Path, *, side: int = 1500, **changes: Any) -> Fixture:
    """Reproject a synthetic raster, store it in chunks of 256x256, and shade it by GDAL's hillshade
    in 300 chunks of 128x128."""
    steps = [
        {
            "name": "reproject",
            "output_crs": "EPSG:3035",
            "resampling": "cubic",
            "size": [COLUMNS * CHUNK, ROWS * CHUNK],
        },
        {"name": "materialize"},
        {"name": "hillshade", "zfactor": 3000},
    ]
    fixture = raster(directory, side=side, op={"name": "raster.pipeline", "steps": steps})
    fixture.staged = -(-COLUMNS // 2) * -(-ROWS // 2)
    fixture.chunks += fixture.staged
    fixture.write(**changes)
    return fixture


def grouped(directory: Path, files: int = 9000) -> Fixture:
    """Join ``files`` of 16x16 pixels, more than are looked at in one part, into one chunk."""
    op = {"name": "raster.pipeline", "steps": [{"name": "mosaic"}]}
    fixture = raster(directory, side=8, op=op)
    first = directory / "source-0.tif"
    profile = {
        "driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8",
        "crs": "EPSG:3035",
    }  # fmt: skip
    tie = (33922).to_bytes(2, "little") + (12).to_bytes(2, "little") + (6).to_bytes(4, "little")
    with rasterio.open(first, "w", transform=from_origin(0, 0, 10, 10), **profile) as dst:
        dst.write(np.full((1, 16, 16), 251, "uint8"))
    made = first.read_bytes()
    first.unlink()
    at = made.index(tie) + len(tie)
    place = int.from_bytes(made[at : at + 4], "little") + 24
    for number in range(files):
        row, col = divmod(number, 100)
        corner = np.array([160.0 * col, -160.0 * row], "<f8").tobytes()
        moved = made[:place] + corner + made[place + 16 :]
        pixels = bytes([1 + number % 250]) * 256
        (directory / f"source-{number:04}.tif").write_bytes(moved.replace(b"\xfb" * 256, pixels))
    fixture.chunks = 1
    fixture.write(engine={"chunk_cols": 2048, "chunk_rows": 2048})
    return fixture


def surveyed(directory: Path, parts: int = 7) -> Fixture:
    """Scale a mosaic, whose range all of its pixels have to tell, in as many ``parts``; a corner of
    it is wanted, in one chunk."""
    steps = [{"name": "mosaic"}, {"name": "scale"}, {"name": "clip", "window": [64, 64, 128, 128]}]
    fixture = raster(directory, side=8, op={"name": "raster.pipeline", "steps": steps})
    (directory / "source-0.tif").unlink()
    rng = np.random.default_rng(20240601)
    profile = {
        "driver": "GTiff", "width": 8192, "height": 8192, "count": 1, "dtype": "uint8",
        "crs": "EPSG:3035", "tiled": True, "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    for number in range(parts):
        path = directory / f"source-{number}.tif"
        profile["transform"] = from_origin(81920 * number, 0, 10, 10)
        with rasterio.open(path, "w", **profile) as dst:
            noise = rng.integers(1, 100 + number, (1, 256, 4096), "uint8")
            dst.write(noise, window=Window(0, 0, 4096, 256))
    fixture.chunks = 1
    fixture.write()
    return fixture


def polygons(path: Path, count: int) -> Path:
    """Stars of 5 to 200 corners in Europe, with a name and a number."""
    rng = np.random.default_rng(20240601)
    west, south, east, north = BOUNDS
    shapes = []
    for _ in range(count):
        turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 200)))
        sides = rng.uniform(0.05, 0.2, len(turns))
        x = rng.uniform(west + 1, east - 1) + sides * np.cos(turns)
        y = rng.uniform(south + 1, north - 1) + sides * np.sin(turns)
        shapes.append(shapely.polygons(np.column_stack([x, y])))
    names = [f"star {n}" for n in range(count)]
    frame = gpd.GeoDataFrame({"name": names, "n": range(count)}, geometry=shapes, crs=4326)
    frame.to_file(path, driver="GPKG")
    return path


def vector(
    directory: Path, form: str, *, chunks: int = 300, features: int = 60, **changes: Any
) -> Fixture:
    """Reproject polygons into one file of format ``form``, in ``chunks`` of so many features."""
    directory.mkdir(parents=True, exist_ok=True)
    crs = "EPSG:4326" if "JSON" in form else "EPSG:3035"
    polygons(directory / "source-0.gpkg", chunks * features)
    tables = {
        "job": {"name": "chaos"},
        "source": {"inputs": ["source-*.gpkg"]},
        "op": {"name": "vector.reproject", "dst_crs": crs},
        "output": {"dir": "out", "format": form, "allow_lossy": form == "Shapefile"},
        "engine": {"max_workers": 2, "chunk_features": features},
        "retry": {"backoff_base": "0.05s", "backoff_cap": "1s"},
        "log": {"format": "json"},
    }
    fixture = Fixture(
        directory,
        directory / "job.toml",
        tables,
        directory / "out",
        chunks,
        magic=vector_spool.MAGIC,
    )
    fixture.write(**changes)
    return fixture
