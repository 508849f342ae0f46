"""Damage that GDAL reads without a word is found by the checksum in the block."""

from __future__ import annotations

import contextlib
import os
import zlib
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from damaged_blocks import blocks_of, damage, written
from planning import item_of, read_whole

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.source.block_file import LocalBlocks
from geobatch_tui.execution.raster.source.block_table import BlockTable
from geobatch_tui.execution.raster.source.checksums import Checksums
from geobatch_tui.execution.raster.source_facts import Facts

LAYOUTS = [
    {"tiled": True, "blockxsize": 64, "blockysize": 64},
    {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"},
    {"blockysize": 20},
]


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@contextlib.contextmanager
def checked(path):
    """The blocks of the file at ``path``, as they were when it was opened."""
    with rasterio.open(path) as src:
        table = BlockTable.of(str(path), Facts.of(src))
    fd = os.open(path, os.O_RDONLY)
    try:
        yield Checksums.of(LocalBlocks(fd), table)
    finally:
        os.close(fd)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("op", ["raster.convert", "raster.reproject"])
def test_silent_damage_is_an_error(tmp_path, layout, dtype, op):
    """With the place of the block, by every way of reading."""
    path = written(tmp_path / "a.tif", dtype, **layout)
    damage(path, 5)
    per_row = 1 if "blockxsize" not in layout else 4
    params = {} if op == "raster.convert" else {"dst_crs": "EPSG:3035", "size": [300, 300]}
    item = item_of(path, params, op=op, output={"creation": {"blocksize": 128, "level": 5}})
    with pytest.raises(CorruptSourceError, match="checksum") as caught:
        read_whole(item)
    assert caught.value.evidence["blocks"] == [list(divmod(5, per_row))]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sound_files_pass(tmp_path, layout):
    """All blocks, the last ones with fewer rows too; each is looked at once."""
    path = written(tmp_path / "a.tif", **layout)
    with checked(path) as checks:
        assert checks.damaged(Window(0, 0, 256, 256)) == []
        assert all(checks.seen)
        path.write_bytes(b"")
        assert checks.damaged(Window(0, 0, 256, 256)) == []


def test_blocks_of_other_sizes_pass(tmp_path):
    """A stream with more than a block holds, or with something behind it, is as good to GDAL."""
    path = written(tmp_path / "a.tif", tiled=True, blockxsize=64, blockysize=64)
    data = path.read_bytes()
    offset, length = blocks_of(path)[0]
    raw = zlib.decompress(data[offset : offset + length])
    with checked(path) as checks:
        for stream in (zlib.compress(raw + b"more"), zlib.compress(raw) + b"behind"):
            path.write_bytes(data + stream)
            table = checks.table
            counts = np.concatenate([[len(stream)], table.counts[1:]])
            offsets = np.concatenate([[len(data)], table.offsets[1:]])
            table = replace(table, offsets=offsets, counts=counts)
            appended = replace(checks, table=table, seen=bytearray(len(counts)))
            assert appended.damaged(Window(0, 0, 1, 1)) == []
        path.write_bytes(data + stream[:-10])
        appended.seen[0] = 0
        assert appended.damaged(Window(0, 0, 1, 1)) == [(0, 0)]


@pytest.mark.parametrize("compress", ["lzw", "zstd", "none"])
def test_other_codecs_have_none(tmp_path, compress):
    """So GDAL is trusted."""
    path = written(tmp_path / "a.tif", compress=compress)
    with checked(path) as checks:
        assert checks is None
