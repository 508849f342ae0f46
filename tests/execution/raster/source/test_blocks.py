"""What is read without GDAL is what GDAL reads."""

from __future__ import annotations

import contextlib
import itertools
import os
import zlib
from dataclasses import replace
from types import SimpleNamespace

import corpus
import numpy as np
import pytest
import rasterio
from damaged_blocks import blocks_of
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.source import blocks as module
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.source_facts import Facts

LAYOUTS = [
    {"tiled": True, "blockxsize": 64, "blockysize": 32},
    {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"},
    {"blockysize": 20},
    {"blockysize": 7, "interleave": "band"},
]
CODECS = ["none", "lzw", "deflate", "zstd"]


def write(path, dtype, bands=3, **options):
    """An image of 150x130 pixels that fits no block."""
    pixels = corpus.picture(bands, side=150, dtype=dtype)[:, :130]
    profile = corpus.profile_of(pixels)
    for name in ("tiled", "blockxsize", "blockysize", "interleave", "compress", "predictor"):
        profile.pop(name, None)
    with rasterio.open(path, "w", **{**profile, **options}) as dst:
        dst.write(pixels)
    return path


@contextlib.contextmanager
def held(path):
    """The file opened twice: as the engine does, and by GDAL alone."""
    with (
        opened_source.open_source(str(path)) as dataset,
        contextlib.ExitStack() as stack,
        rasterio.open(path) as plain,
    ):
        yield opened_source.OpenSource.of(str(path), Facts.of(dataset), stack, dataset), plain


def by_gdal(dataset, left, top, right, bottom):
    return dataset.read(window=((top, bottom), (left, right)))


@pytest.mark.parametrize(
    ("dtype", "compress", "layout"),
    [
        # Half of all: each two of type, codec and layout occur together.
        pytest.param(dtype, compress, layout, id=f"{dtype}-{compress}-{c}")
        for a, dtype in enumerate(["uint8", "int16", "uint32", "float32", "float64"])
        for b, compress in enumerate(CODECS)
        for c, layout in enumerate(LAYOUTS)
        if (a + b + c) % 2 == 0
    ],
)
def test_pixels_are_gdals(tmp_path, dtype, compress, layout):
    """Of every codec, predictor, type and layout; of one band and of several."""
    fitting = [1] if compress == "none" else [1, 3 if dtype.startswith("float") else 2]
    for predictor, bands in itertools.product(fitting, (1, 3)):
        options = {**layout, "compress": compress}
        if predictor != 1:
            options["predictor"] = predictor
        path = write(tmp_path / "a.tif", dtype, bands, **options)
        with held(path) as (ours, plain):
            assert ours.blocks is not None
            for bounds in ((0, 0, 150, 130), (63, 19, 65, 21), (149, 129, 150, 130)):
                np.testing.assert_array_equal(
                    ours.read_window(Window.between(*bounds)), by_gdal(plain, *bounds)
                )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 149), st.integers(0, 129)] * 2), max_size=8))
def test_any_windows_in_any_order(tmp_path_factory, corners):
    """Blocks that were put away are read again."""
    path = tmp_path_factory.getbasetemp() / "windows.tif"
    if not path.exists():
        write(path, "uint8", compress="deflate", predictor=2, **LAYOUTS[0])
    with pytest.MonkeyPatch.context() as patch, held(path) as (ours, plain):
        patch.setattr(module, "KEPT_TILES", 20_000)  # three blocks
        for x0, y0, x1, y1 in corners:
            bounds = (min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1)
            np.testing.assert_array_equal(
                ours.read_window(Window.between(*bounds)), by_gdal(plain, *bounds)
            )
        kept = ours.blocks.cached.values()
        assert ours.blocks.cached_bytes == sum(block.nbytes for block in kept) <= 20_000


@pytest.mark.parametrize("options", [
    {"compress": "jpeg", "tiled": True, "blockxsize": 64, "blockysize": 64},
    {"compress": "deflate", "nbits": 4},
    {"compress": "deflate", "endianness": "big"},
])  # fmt: skip
def test_the_rest_is_gdals(tmp_path, options):
    """Other codecs, samples that are no whole bytes, the other byte order."""
    path = write(tmp_path / "a.tif", "uint8", **options)
    with held(path) as (ours, plain):
        assert ours.blocks is None
        np.testing.assert_array_equal(
            ours.read_window(Window.between(5, 6, 99, 98)), by_gdal(plain, 5, 6, 99, 98)
        )


def test_blocks_that_are_left_out(tmp_path):
    """Are nodata, as GDAL has it."""
    path = tmp_path / "a.tif"
    profile = {**corpus.profile_of(corpus.picture(1)), "nodata": 7, "sparse_ok": True}
    with rasterio.open(path, "w", **{**profile, "compress": "deflate"}) as dst:
        dst.write(np.full((1, 20, 20), 9, np.uint8), window=((0, 20), (0, 20)))
    with held(path) as (ours, plain):
        assert ours.blocks is not None
        whole = (0, 0, plain.width, plain.height)
        assert 0 in ours.blocks.table.counts
        np.testing.assert_array_equal(
            ours.read_window(Window.between(*whole)), by_gdal(plain, *whole)
        )


def test_an_odd_stream_is_read_by_gdal(tmp_path):
    """One that holds more than its block is no damage; one that ends too soon is."""
    path = write(tmp_path / "a.tif", "uint8", compress="deflate", **LAYOUTS[0])
    good = path.read_bytes()
    offset, length = blocks_of(path)[0]
    longer = zlib.compress(zlib.decompress(good[offset : offset + length]) + b"more")
    with held(path) as (ours, plain):
        table = ours.blocks.table
        offsets = np.concatenate([[len(good)], table.offsets[1:]])
        counts = np.concatenate([[len(longer)], table.counts[1:]])
        ours.blocks.table = replace(table, offsets=offsets, counts=counts)
        path.write_bytes(good + longer)
        np.testing.assert_array_equal(
            ours.read_window(Window(0, 0, 64, 32)), by_gdal(plain, 0, 0, 64, 32)
        )
        ours.blocks.cached.clear()
        path.write_bytes(good + longer[:-4] + b"cut.")
        with pytest.raises(CorruptSourceError, match="checksum") as caught:
            ours.read_window(Window(0, 0, 150, 130))
    assert caught.value.evidence["blocks"] == [[0, 0]]


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    """Is damage, not a crash and not zeros."""
    path = write(tmp_path / "a.tif", "uint8", compress="deflate", **LAYOUTS[0])
    with held(path) as (ours, _):
        os.truncate(path, blocks_of(path)[2][0] + 3)
        with pytest.raises(CorruptSourceError):
            ours.read_window(Window(0, 0, 150, 130))


def test_a_later_window_asks_for_what_may_be_forgotten_before(tmp_path):
    """A block in the cache now may be gone when that window is read, and would be waited for by
    itself."""
    path = write(tmp_path / "a.tif", "uint8", compress="deflate", **LAYOUTS[0])
    now, later = Window(0, 0, 64, 32), Window(64, 0, 64, 32)
    with held(path) as (ours, _):
        ours.blocks.read_blocks(later)
        asked = {}
        ours.blocks.file = SimpleNamespace(
            expect=list, turn_to=lambda batches, room: asked.update(batches)
        )
        ours.blocks.turn_to({0: lambda: now, 1: lambda: later}, 10**6)
        assert len(list(asked[1]())) == len(list(asked[0]())) == 1
        ours.blocks.turn_to({1: lambda: later}, 10**6)
        assert not list(asked[1]())
