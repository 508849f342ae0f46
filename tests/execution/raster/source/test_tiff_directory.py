"""Blocks beyond the end of a TIFF are found without decoding."""

from __future__ import annotations

import struct

import corpus
import numpy as np
import pytest
import rasterio

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.raster.source.tiff_directory import compression_of, missing_blocks


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
@pytest.mark.parametrize("tiled", [True, False])
def test_a_sound_file_misses_nothing(tmp_path, bigtiff, endianness, tiled):
    """Classic and big, both byte orders, tiles and strips."""
    layout = {"tiled": True} if tiled else {"tiled": False, "blockxsize": None, "blockysize": 16}
    path = corpus.write(tmp_path / "a.tif", bigtiff=bigtiff, endianness=endianness, **layout)
    assert missing_blocks(path) == []


def test_missing_blocks_are_those_that_gdal_cannot_read(tmp_path):
    """The list equals that of the reads that fail."""
    path = corpus.truncated(tmp_path)
    (found,) = missing_blocks(path)
    failed = []
    with rasterio.open(path) as src:
        across = -(-src.width // corpus.DAMAGED_TILE)
        for (row, col), window in src.block_windows(1):
            try:
                src.read(window=window)
            except rasterio.errors.RasterioIOError:
                failed.append(row * across + col)
    assert list(found.blocks) == failed
    assert (found.directory, found.total) == (0, 16)


def test_sparse_tiles_are_not_missing(tmp_path):
    """A tile of offset 0 and length 0 is a hole, not a loss."""
    path = tmp_path / "sparse.tif"
    profile = corpus.profile_of(corpus.picture(1), sparse_ok=True)
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(
            np.full((1, 128, 128), 7, "uint8"), window=rasterio.windows.Window(0, 0, 128, 128)
        )
    assert missing_blocks(path) == []


def test_a_table_beyond_the_end_is_damage(tmp_path):
    """The file stops before its directory: no guess, an error."""
    path = corpus.write(tmp_path / "a.tif")
    content = path.read_bytes()
    path.write_bytes(content[:9])
    with pytest.raises(CorruptSourceError, match="cut off"):
        missing_blocks(path)


def test_directories_in_a_loop_end(tmp_path):
    """A directory that names itself as the next one is refused, not followed for ever."""
    path = tmp_path / "loop.tif"
    path.write_bytes(b"II*\x00\x08\x00\x00\x00" + b"\x00\x00" + b"\x08\x00\x00\x00")
    with pytest.raises(CorruptSourceError, match="loop"):
        missing_blocks(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (1, "JBIG (TIFF compression 34661)"),
        (0, "an unknown codec (TIFF compression 0)"),
    ],
)
def test_a_compression_without_a_value_is_unknown(tmp_path, values, said):
    """The message of a hostile file does not fail itself."""
    path = tmp_path / "a.tif"
    entry = struct.pack("<HHII", 259, 3, values, 34661)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4))
    assert compression_of(path) == said
