"""Copies encoded tiles of a source to the output, where both are encoded alike.

A conversion that changes neither codec nor predictor, tile size or interleaving would encode the
same tiles again. So they are copied. Each is decoded once, which verifies the checksum within, and
gives the pixels for the overviews.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError, SourceChangedError, VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.codec import lossless_codec_of
from geobatch_tui.execution.raster.pyramid.encode_chunk import TRAILER, EncodedTile
from geobatch_tui.execution.raster.pyramid.tiles import TileForm, pyramid, tiles_of
from geobatch_tui.execution.raster.source.opened_source import attach_blocks
from geobatch_tui.execution.raster.source.tiff_directory import first_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.encode.lossless import Codec
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.pyramid.tiles import PyramidLevel
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.source.tiff_directory import Table
    from geobatch_tui.execution.raster.types import Pixels

#: Codecs whose streams every decoder accepts if one does.
CODECS = {"DEFLATE": 8, "ZSTD": 50000}
_WANTED = frozenset({
    *tag.DEFAULTS, tag.IMAGE_WIDTH, tag.IMAGE_LENGTH, tag.BITS_PER_SAMPLE, tag.COMPRESSION,
    tag.PHOTOMETRIC, tag.TILE_WIDTH, tag.TILE_LENGTH, tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS,
})  # fmt: skip
#: Options that say how hard to compress: then every tile is compressed anew.
_EFFORT = frozenset({"LEVEL", "ZLEVEL", "ZSTD_LEVEL"})


def fits(path: str, plan: RasterPlan, creation: Json) -> bool:
    """Whether the tiles of the GeoTIFF at ``path`` can be those of the output of ``plan``, a plain
    copy; ``creation`` are the user's options."""
    if _EFFORT & {str(name).upper() for name in creation}:
        return False
    return plan.validity != "mask" and _tables(path, plan) is not None


def _tables(path: str, plan: RasterPlan) -> tuple[Table, Table] | None:
    """Return offsets and lengths of the tiles; None if they are not as ``plan`` requires."""
    encoding = plan.encoding
    if encoding.compress not in CODECS:
        return None
    order, tags = first_directory(Path(path), _WANTED)
    if order != "<":
        return None
    by_band = encoding.interleave == "band" and plan.count > 1
    dtype = np.dtype(plan.dtype)
    asked = {
        tag.NEW_SUBFILE_TYPE: 0,
        tag.FILL_ORDER: 1,
        tag.IMAGE_WIDTH: plan.width,
        tag.IMAGE_LENGTH: plan.height,
        tag.BITS_PER_SAMPLE: dtype.itemsize * 8,
        tag.SAMPLE_FORMAT: tag.SAMPLE_FORMATS[dtype.kind],
        tag.SAMPLES_PER_PIXEL: plan.count,
        tag.COMPRESSION: CODECS[encoding.compress],
        tag.PREDICTOR: encoding.predictor,
        tag.TILE_WIDTH: encoding.block_width,
        tag.TILE_LENGTH: encoding.block_height,
    }
    if plan.count > 1:
        asked[tag.PLANAR_CONFIGURATION] = 2 if by_band else 1
    for code, value in asked.items():
        stated = tags.get(code, np.array([tag.DEFAULTS.get(code, -1)]))
        if not len(stated) or (stated != value).any():
            return None
    photometric = tags.get(tag.PHOTOMETRIC)
    if photometric is None or not tag.STORED_AS_THEY_ARE.issuperset(photometric.tolist()):
        return None
    offsets, counts = tags.get(tag.TILE_OFFSETS), tags.get(tag.TILE_BYTE_COUNTS)
    tiles = pyramid(plan)[0].tiles * TileForm.of(plan).planes
    if offsets is None or counts is None or not len(offsets) == len(counts) == tiles:
        return None
    return offsets, counts


@dataclass(frozen=True, slots=True)
class SourceTiles:
    """The tiles of one open source; belongs to one thread."""

    fd: int
    form: TileForm
    codec: Codec
    level: PyramidLevel
    offsets: Table
    counts: Table

    @classmethod
    def of(cls, path: str, plan: RasterPlan) -> SourceTiles:
        """Open the tiles of the file at ``path``. Raises SourceChangedError if they are not as
        planned."""
        tables = _tables(path, plan)
        if tables is None:
            raise SourceChangedError(f"{path}: its tiles are not those that were planned")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(fd, TileForm.of(plan), lossless_codec_of(plan), pyramid(plan)[0], *tables)

    def close(self) -> None:
        os.close(self.fd)

    def read_tile(self, plane: int, tile: int) -> tuple[EncodedTile, Pixels] | None:
        """Read a tile, as stored and decoded (height, width, samples); None if it is not there.

        Raises:
            VerifyError: it cannot be decoded, or its checksum is wrong.
        """
        form, at = self.form, plane * self.level.tiles + tile
        shape = (form.height, form.width, form.samples)
        length = int(self.counts[at])
        # No encoder makes more of a tile than this; a table that says so is not believed.
        if not TRAILER <= length <= 2 * int(np.prod(shape)) * form.dtype.itemsize + 1024:
            return None
        data = os.pread(self.fd, length, int(self.offsets[at]))
        decoded = self.codec.decode(data, shape, form.dtype, foreign=True)
        window = self.level.window(tile)
        whole = window.shape == (form.height, form.width)
        # Beyond the image a tile may hold anything; a reader sees the pixels inside.
        seen = decoded if whole else form.pack(form.unpack(decoded, window))
        return EncodedTile(data, crc32(seen), form.is_missing(seen)), decoded


def read_tiles(
    opened: OpenSource,
    path: str,
    plan: RasterPlan,
    window: Window,
    by_gdal: Callable[[Window], Pixels],
) -> tuple[Pixels, EncodedTiles]:
    """Return the pixels (bands, h, w) of ``window``, whole tiles of the output, and its encoded
    tiles.

    ``by_gdal`` reads the pixels of a tile that is not there.

    Raises:
        CorruptSourceError: tiles are damaged; its evidence lists them as [row, column].
    """
    tiles = opened.built.get("encoded tiles")
    if not isinstance(tiles, SourceTiles):
        tiles = opened.built["encoded tiles"] = SourceTiles.of(path, plan)
    form = tiles.form
    whole = np.empty((*window.shape, plan.count), form.dtype)
    encoded: dict[tuple[int, int], EncodedTile] = {}
    damaged: dict[tuple[int, int], VerifyError] = {}
    for number in tiles_of(tiles.level, window).tolist():
        at = tiles.level.window(number)
        rows, cols = at.slices_in(window)
        for plane in range(form.planes):
            bands = form.bands(plane)
            try:
                stored = tiles.read_tile(plane, number)
            except VerifyError as error:
                damaged.setdefault(divmod(number, tiles.level.across), error)
                continue
            if stored is None:
                whole[rows, cols, bands] = np.moveaxis(by_gdal(at)[bands], 0, -1)
            else:
                encoded[plane, number], tile = stored
                whole[rows, cols, bands] = tile[: at.height, : at.width]
    if damaged:
        raise _corrupt(path, damaged)
    return np.moveaxis(whole, -1, 0), encoded


def _corrupt(path: str, damaged: dict[tuple[int, int], VerifyError]) -> CorruptSourceError:
    places = [list(place) for place in damaged]
    error = CorruptSourceError(
        f"{path}: {len(places)} blocks cannot be read, the first is {places[0][0]},{places[0][1]} "
        f"(row,column): {next(iter(damaged.values()))}"
    )
    attach_blocks(error, places)
    return error
