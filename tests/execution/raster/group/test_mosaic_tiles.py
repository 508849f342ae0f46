"""Tiles of a mosaic that are copied from its files: the same pixels, and their bytes untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import publish
from chains import whole_of
from planning import item_of
from rasterio.transform import from_origin

from geobatch_tui.execution.raster.group import mosaic_tiles
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.sources.source_list import write_source_list

SIDE = 16
OUTPUT = {"creation": {"blocksize": SIDE}}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def tile(path, left, top, values, **profile):
    """Write ``values`` (bands, h, w) at a place of the grid, as the output encodes tiles."""
    bands, height, width = values.shape
    kind = np.dtype(values.dtype).kind
    alpha = profile.pop("alpha", False)
    known = {
        "driver": "GTiff", "width": width, "height": height, "count": bands,
        "dtype": values.dtype, "crs": "EPSG:32633", "tiled": True, "blockxsize": SIDE,
        "blockysize": SIDE, "compress": "deflate", "predictor": 3 if kind == "f" else 2,
        "zlevel": 9, "transform": from_origin(500_000 + 10 * left, 5_000_000 - 10 * top, 10, 10),
    } | profile  # fmt: skip
    with rasterio.open(path, "w", **known) as out:
        if alpha:
            out.colorinterp = [*out.colorinterp[:-1], rasterio.enums.ColorInterp.alpha]
        out.write(values)
    return str(path)


def mosaic(folder, paths, rule="last", *, side=0, output=OUTPUT):
    """The item of a mosaic of files."""
    listed = Path(write_source_list(paths, folder / "lists"))
    steps = {"steps": [{"name": "mosaic", "rule": rule}]}
    return item_of(listed, steps, op="raster.pipeline", output=output, cols=side, rows=side)


def stored(path):
    """The encoded tiles of a file, by their place."""
    data, tiles = Path(path).read_bytes(), {}
    with rasterio.open(path) as src:
        for (row, col), _ in src.block_windows(1):
            tags = [
                src.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1)
                for what in ("OFFSET", "SIZE")
            ]
            if None not in tags:
                start, size = map(int, tags)
                tiles[row, col] = data[start : start + size]
    return tiles


def random_files(folder, dtype, *, nodata=None, alpha=False, step=1, seed=0):
    """Files of several tiles that overlap, each at a multiple of ``step`` tiles and a half."""
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(7):
        shape = (2, int(rng.integers(1, 4)) * SIDE, int(rng.integers(1, 4)) * SIDE)
        values = rng.integers(1, 200, shape).astype(dtype)
        if nodata is not None and number % 2:
            values[:, :, : SIDE // 2] = nodata
        if alpha:
            values[-1] = np.where(rng.random(shape[1:]) < number % 3 / 2, 0, 255)
            values[:-1] *= values[-1:] > 0
        place = [int(rng.integers(0, 4 * step)) * SIDE // step for _ in range(2)]
        extra = {"nodata": nodata} | ({"alpha": True} if alpha else {})
        paths.append(tile(folder / f"{number}.tif", *place, values, **extra))
    return paths


@pytest.mark.parametrize(
    ("rule", "dtype", "how"),
    [
        ("last", "int16", {"nodata": -9}), ("first", "float32", {"nodata": np.nan}),
        ("last", "uint8", {"alpha": True}), ("first", "uint8", {"nodata": 3, "step": 2}),
    ],
)  # fmt: skip
def test_copied_tiles_change_no_pixel(tmp_path, monkeypatch, rule, dtype, how):
    """Whatever lies on top, is hidden, or lies between tiles; and any chunks give the same file."""
    paths = random_files(tmp_path, dtype, **how)
    item = mosaic(tmp_path, paths, rule)
    files = {Path(publish(mosaic(tmp_path, paths, rule, side=s))[0]).read_bytes() for s in (0, 32)}
    with rasterio.open(publish(item)[0]) as src:
        pixels = src.read()
    assert len(files) == 1
    monkeypatch.setattr(mosaic_tiles, "can_copy", lambda *_: False)
    with rasterio.open(publish(item)[0]) as src:
        computed = src.read()
    assert pixels.tobytes() == computed.tobytes() == whole_of(item)[1].tobytes()


def test_tiles_of_files_are_copied_as_they_are(tmp_path):
    """That of the only file, that of the one on top; those between files are made anew."""
    rng = np.random.default_rng(2)
    below = rng.integers(0, 255, (1, 48, 32)).astype("uint8")
    above = rng.integers(0, 255, (1, 16, 16)).astype("uint8")
    across = rng.integers(0, 255, (1, 8, 32)).astype("uint8")
    paths = [
        tile(tmp_path / "below.tif", 0, 0, below),
        tile(tmp_path / "above.tif", 16, 16, above),
        tile(tmp_path / "across.tif", 0, 40, across),
    ]
    found, own = stored(publish(mosaic(tmp_path, paths))[0]), stored(paths[0])
    assert [found[at] == own[at] for at in sorted(own)] == [True, True, True, False, False, False]
    assert found[1, 1] == stored(paths[1])[0, 0]


def test_what_cannot_be_copied_is_computed(tmp_path):
    """Another codec, predictor, or size of tiles, an asked level, another rule."""
    values = np.arange(1024, dtype="uint16").reshape(1, 32, 32)
    alike = tile(tmp_path / "alike.tif", 0, 0, values)
    others = [{"compress": "zstd"}, {"predictor": 1}, {"blockxsize": 32, "blockysize": 32}]
    made = set()
    for number, other in enumerate(others):
        path = tile(tmp_path / f"{number}.tif", 0, 0, values, **other)
        made.add(Path(publish(mosaic(tmp_path, [path]))[0]).read_bytes())
    assert len(made) == 1
    assert Path(publish(mosaic(tmp_path, [alike]))[0]).read_bytes() not in made
    level = mosaic(tmp_path, [alike], output={"creation": {"blocksize": SIDE, "level": 5}})
    assert not mosaic_tiles.can_copy(level, RasterPlan.from_json(level.plan.detail))
    mean = mosaic(tmp_path, [alike], "mean")
    assert not mosaic_tiles.can_copy(mean, RasterPlan.from_json(mean.plan.detail))
