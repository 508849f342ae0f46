"""Tiles that already are what the output asks for are copied, and proved."""

from __future__ import annotations

from pathlib import Path

import corpus
import numpy as np
import pytest
import rasterio
import tifffile
from assembling import publish
from planning import item_of, probe

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.raster.source import opened_source

SOURCE = {"compress": "deflate", "predictor": 2, "zlevel": 1}
OUTPUT = {"format": "COG", "creation": {"blocksize": corpus.TILE}}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def tiles_of(path):
    """The encoded tiles of the first directory, as they lie in the file."""
    with tifffile.TiffFile(path) as tiff, Path(path).open("rb") as file:
        page = tiff.pages[0]
        found = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            found.append(file.read(count))
    return found


def picture(bands=3, width=300, height=260, dtype="uint8"):
    """Sides that are no multiple of a tile's."""
    rng = np.random.default_rng(7)
    return rng.integers(0, 200, (bands, height, width)).astype(dtype)


def is_passed(path, creation=None, **more):
    output = {"format": more.pop("format", "COG")}
    output["creation"] = {"blocksize": corpus.TILE, **(creation or {})}
    return probe(path, more, op="raster.convert", output=output).notes["passthrough"]


@pytest.mark.parametrize("form", ["COG", "GTiff"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(("dtype", "predictor"), [("uint8", 2), ("uint16", 2), ("float32", 3)])
def test_tiles_are_those_of_the_source(tmp_path, form, interleave, dtype, predictor):
    """The encoder's bytes stay (ours would be others), so do the pixels; chunks do not matter."""
    options = {**SOURCE, "predictor": predictor, "interleave": interleave}
    path = corpus.write(tmp_path / "a.tif", picture(dtype=dtype), **options)
    output = {
        "format": form, "creation": {"blocksize": corpus.TILE, "interleave": interleave},
    }  # fmt: skip
    whole = item_of(path, {}, op="raster.convert", output=output)
    assert whole.plan.notes["passthrough"]
    first = publish(whole)[0]
    assert tiles_of(first) == tiles_of(path)
    with rasterio.open(path) as src, rasterio.open(first) as out:
        assert np.array_equal(src.read(), out.read())
    content = Path(first).read_bytes()
    side = corpus.TILE
    cut = item_of(path, {}, op="raster.convert", output=output, cols=side, rows=2 * side)
    assert len(cut.plan.grid) > 1
    assert Path(publish(cut)[0]).read_bytes() == content


def test_overviews_are_those_of_an_encoded_copy(tmp_path):
    """What is passed through is reduced as if it had been encoded."""
    path = corpus.write(tmp_path / "a.tif", picture(), **SOURCE)
    pyramids = []
    for creation in ({}, {"level": 6}):
        output = {"format": "COG", "creation": {"blocksize": corpus.TILE, **creation}}
        part = publish(item_of(path, {}, op="raster.convert", output=output))[0]
        with rasterio.open(part, overview_level=0) as out:
            pyramids.append(out.read())
    assert np.array_equal(*pyramids)


def test_only_what_matches_is_passed_through(tmp_path):
    """Another codec, predictor, tile, interleaving or byte order, or a wish: encoded anew."""
    path = corpus.write(tmp_path / "a.tif", picture(), **SOURCE)
    assert is_passed(path)
    assert is_passed(path, format="GTiff")
    for creation in (
        {"level": 1}, {"compress": "zstd"}, {"predictor": "no"}, {"blocksize": 2 * corpus.TILE},
        {"interleave": "band"}, {"compress": "lzw"},
    ):  # fmt: skip
        assert not is_passed(path, creation), creation
    assert not is_passed(path, dst_nodata=9)
    changes = (
        {"endianness": "BIG"}, {"tiled": False, "blockysize": 16, "blockxsize": None},
        {"compress": "zstd"}, {"predictor": 1},
    )  # fmt: skip
    for number, change in enumerate(changes):
        other = corpus.write(tmp_path / f"{number}.tif", picture(), **{**SOURCE, **change})
        assert not is_passed(other), change


def test_missing_tiles_are_made(tmp_path):
    """A sparse source has no tile to pass on: it is read and encoded."""
    pixels = picture()
    pixels[:, :128, :128] = 0
    path = corpus.write(tmp_path / "a.tif", pixels, **SOURCE, sparse_ok=True)
    assert min(len(tile) for tile in tiles_of(path)) == 0
    item = item_of(path, {}, op="raster.convert", output=OUTPUT)
    assert item.plan.notes["passthrough"]
    with rasterio.open(publish(item)[0]) as out:
        assert np.array_equal(out.read(), pixels)


def test_a_damaged_tile_fails_its_chunk(tmp_path):
    """Bytes that do not decode are never passed on: the blocks are named."""
    path = corpus.write(tmp_path / "a.tif", picture(), **SOURCE)
    with tifffile.TiffFile(path) as tiff:
        at, count = tiff.pages[0].dataoffsets[1], tiff.pages[0].databytecounts[1]
    with path.open("r+b") as file:
        file.seek(at + count // 2)
        file.write(b"\xff" * (count // 3))
    item = item_of(path, {}, op="raster.convert", output=OUTPUT)
    assert item.plan.notes["passthrough"]
    with pytest.raises(CorruptSourceError) as caught:
        publish(item)
    assert caught.value.evidence["blocks"] == [[0, 1]]


def test_a_wrong_checksum_is_damage(tmp_path):
    """A tile that decodes to other bytes than were encoded is not passed on."""
    path = corpus.write(tmp_path / "a.tif", picture(), **SOURCE)
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[0].dataoffsets[2] + tiff.pages[0].databytecounts[2]
    with path.open("r+b") as file:
        file.seek(end - 4)  # Adler-32
        file.write(b"\x00\x01\x02\x03")
    with pytest.raises(CorruptSourceError) as caught:
        publish(item_of(path, {}, op="raster.convert", output=OUTPUT))
    assert caught.value.evidence["blocks"] == [[0, 2]]


def test_nodata_is_told_of_passed_tiles(tmp_path):
    """A sparse output leaves out what is nothing but nodata, passed or not."""
    pixels = picture(bands=1)
    pixels[:, :128, :128] = 255
    path = corpus.write(tmp_path / "a.tif", pixels, **SOURCE, nodata=255)
    output = {"format": "GTiff", "creation": {"blocksize": corpus.TILE, "sparse_ok": True}}
    item = item_of(path, {}, op="raster.convert", output=output)
    assert item.plan.notes["passthrough"]
    part, _ = publish(item)
    assert [len(tile) > 0 for tile in tiles_of(part)].count(False) == (128 // corpus.TILE) ** 2
    with rasterio.open(part) as out:
        assert np.array_equal(out.read(), pixels)
