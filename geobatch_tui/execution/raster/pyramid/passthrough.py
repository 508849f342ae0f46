"""Copies encoded tiles of a source to the output, where both are encoded alike.

A conversion that changes neither codec nor predictor, tile size or interleaving would encode the
same tiles again. So they are copied. Each is decoded once, which verifies the checksum within, and
gives the pixels for the overviews.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError, SourceChangedError, VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.raster.encode.codec import lossless_codec_of
from geobatch_tui.execution.raster.encode.tiff_tag import COMPRESSIONS
from geobatch_tui.execution.raster.pyramid.encode_chunk import TRAILER, EncodedTile
from geobatch_tui.execution.raster.pyramid.tiles import TileForm, pyramid
from geobatch_tui.execution.raster.source.block_table import BlockTable
from geobatch_tui.execution.raster.source.blocks import attach_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.source_facts import Facts
    from geobatch_tui.execution.raster.types import Pixels

#: Codecs whose streams every decoder accepts if one does.
_CODECS = ("DEFLATE", "ZSTD")
#: Options that say how hard to compress: then every tile is compressed anew.
_EFFORT = frozenset({"LEVEL", "ZLEVEL", "ZSTD_LEVEL"})


def can_copy(plan: RasterPlan) -> bool:
    """Whether tiles of ``plan`` can be those of another file: its codec loses nothing, and there is
    no mask beside them."""
    return plan.encoding.compress in _CODECS and plan.validity != "mask"


def may_copy(plan: RasterPlan, creation: Json) -> bool:
    """Whether tiles of ``plan`` may be those of a source: as :func:`can_copy`, and ``creation``,
    the user's options, do not say how hard to compress."""
    return can_copy(plan) and not _EFFORT & {str(name).upper() for name in creation}


def fits(path: str, facts: Facts, plan: RasterPlan, creation: Json) -> bool:
    """Whether the tiles of the source at ``path`` can be those of the output of ``plan``, a plain
    copy; ``creation`` are the user's options."""
    if not may_copy(plan, creation):
        return False
    table = BlockTable.of(path, facts)
    return table is not None and table.grid == pyramid(plan)[0] and is_alike(table, plan)


def is_alike(table: BlockTable, plan: RasterPlan) -> bool:
    """Whether the blocks of a source are encoded as ``plan`` requires of tiles, wherever they
    lie."""
    encoding = plan.encoding
    return (
        table.plain
        and not table.strips
        and (table.grid.chunk_width, table.grid.chunk_height)
        == (encoding.block_width, encoding.block_height)
        and table.planes == TileForm.of(plan).planes
        and table.compression == COMPRESSIONS[encoding.compress]
        and table.predictor == encoding.predictor
    )


def encoded_tile(form: TileForm, data: bytes, tile: Pixels, inside: Window) -> EncodedTile:
    """Return the tile that ``data`` decodes to, ``tile``, of which ``inside`` lies in the image.

    Beyond it a tile may hold anything; a reader sees the pixels inside."""
    whole = inside.shape == tile.shape[:2]
    seen = tile if whole else form.pack(form.unpack(tile, inside))
    return EncodedTile(data, crc32(seen), form.is_missing(seen))


def read_tiles(
    opened: OpenSource, plan: RasterPlan, window: Window, by_gdal: Callable[[Window], Pixels]
) -> tuple[Pixels, EncodedTiles]:
    """Return the pixels (bands, h, w) of ``window``, whole tiles of the output, and its encoded
    tiles.

    ``by_gdal`` reads the pixels of a tile that is not there.

    Raises:
        CorruptSourceError: tiles are damaged; its evidence lists them as [row, column].
        SourceChangedError: they are not as planned.
    """
    blocks = opened.blocks
    alike = blocks is not None and is_alike(blocks.table, plan)
    if blocks is None or not alike or blocks.table.grid != pyramid(plan)[0]:
        raise SourceChangedError(f"{opened.path}: its tiles are not those that were planned")
    grid, form, codec = blocks.table.grid, TileForm.of(plan), lossless_codec_of(plan)
    shape = (form.height, form.width, form.samples)
    whole = np.empty((*window.shape, plan.count), form.dtype)
    encoded: dict[tuple[int, int], EncodedTile] = {}
    damaged: dict[tuple[int, int], VerifyError] = {}
    numbers = grid.under(window)
    planes = (block for number in numbers for block in blocks.table.planes_of(number))
    blocks.file.expect(blocks.table.places(planes))
    for number in numbers:
        at = grid.window(number)
        rows, cols = at.slices_in(window)
        for plane, block in enumerate(blocks.table.planes_of(number)):
            bands = form.bands(plane)
            if blocks.table.length(block) < TRAILER:
                whole[rows, cols, bands] = np.moveaxis(by_gdal(at)[bands], 0, -1)
                continue
            data = blocks.table.read(blocks.file, block)
            try:
                tile = codec.decode(data, shape, form.dtype, foreign=True)
            except VerifyError as error:
                damaged.setdefault(divmod(number, grid.columns), error)
                continue
            whole[rows, cols, bands] = tile[: at.height, : at.width]
            encoded[plane, number] = encoded_tile(form, data, tile, at)
    if damaged:
        row, col = next(iter(damaged))
        corrupt = CorruptSourceError(
            f"{opened.path}: {len(damaged)} blocks cannot be read, the first is {row},{col} "
            f"(row,column): {damaged[row, col]}"
        )
        attach_blocks(corrupt, damaged)
        raise corrupt
    return np.moveaxis(whole, -1, 0), encoded
