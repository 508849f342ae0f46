"""Copies encoded tiles of a mosaic's files, where its pixels there are those of one file.

That is so where the file that lies on top covers a tile, and hides all others, or is alone. Its
tile would be encoded as it is stored already, so it is copied, decoded once, as those of a plain
conversion are (:mod:`geobatch_tui.execution.raster.pyramid.passthrough`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.encode.codec import lossless_codec_of
from geobatch_tui.execution.raster.pyramid import passthrough
from geobatch_tui.execution.raster.pyramid.encode_chunk import TRAILER, EncodedTile
from geobatch_tui.execution.raster.pyramid.tiles import TileForm, pyramid
from geobatch_tui.execution.raster.source.member_files import known_of
from geobatch_tui.execution.raster.steps import mosaic_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.source.blocks import Blocks
    from geobatch_tui.execution.raster.source.member_files import MemberFiles
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.types import Pixels

#: Pixels (h, w, bands) of a tile of the output, and its planes as they are stored.
type Copied = tuple[Pixels, list[EncodedTile]]


def can_copy(item: ItemContext, plan: RasterPlan) -> bool:
    """Whether tiles of the output may be those of files: it is a mosaic and nothing else, of files
    that hide one another."""
    if len(plan.chain) != 1 or not mosaic_step.picks(plan.chain[0]):
        return False
    return passthrough.may_copy(plan, item.output.get("creation") or {})


def read_tiles(
    opened: OpenSource, plan: RasterPlan, window: Window, compute: Callable[[Window], Pixels]
) -> tuple[Pixels, EncodedTiles]:
    """Return the pixels (bands, h, w) of ``window``, whole tiles of the output, and those of its
    tiles that can be copied; ``compute`` gives the pixels (bands, h, w) of the others.

    Raises: as :meth:`MemberFiles.read`, and what ``compute`` does.
    """
    files = mosaic_step.files_of(plan.chain[0], opened)
    grid, form = pyramid(plan)[0], TileForm.of(plan)
    whole: Pixels = np.empty((*window.shape, plan.count), form.dtype)
    encoded: dict[tuple[int, int], EncodedTile] = {}
    others: list[Window] = []
    for number in grid.under(window):
        place = grid.window(number)
        copied = _copied(files, plan, form, place)
        if copied is None:
            others.append(place)
            continue
        pixels, planes = copied
        whole[place.slices_in(window)] = pixels
        encoded |= {(plane, number): tile for plane, tile in enumerate(planes)}
    if not encoded:
        return compute(window), {}
    for part in _in_rows(others):
        whole[part.slices_in(window)] = np.moveaxis(compute(part), 0, -1)
    return np.moveaxis(whole, -1, 0), encoded


def _copied(files: MemberFiles, plan: RasterPlan, form: TileForm, place: Window) -> Copied | None:
    """Return the tile at ``place`` as a file holds it; None if it must be computed."""
    numbers = files.under(place)
    if not numbers:
        return None
    number = mosaic_step.top_of(plan.chain[0], numbers)
    within = files.window_of(number)
    left, top = place.col_off - within.col_off, place.row_off - within.row_off
    lies = place.clip(within) == place and not (left % form.width or top % form.height)
    if not lies or not files.is_stored(number):
        return None
    opened = files.opened(number)
    blocks = opened.blocks
    if blocks is None or opened.facts.mask or not passthrough.is_alike(blocks.table, plan):
        return None
    copied = _decoded(blocks, plan, form, place, (top // form.height, left // form.width))
    if copied is None:
        return None
    pixels = np.moveaxis(copied[0], -1, 0)
    known = known_of(opened.facts, pixels)
    if known is None or known.all():
        return copied
    hidden = pixels[np.broadcast_to(~known, pixels.shape)]
    return copied if len(numbers) == 1 and _is_fill(plan, hidden) else None


def _decoded(
    blocks: Blocks, plan: RasterPlan, form: TileForm, place: Window, at: tuple[int, int]
) -> Copied | None:
    """Read the planes of the tile in row and column ``at`` of a file; None if one is not there, or
    is damaged: whoever computes the tile says what is wrong."""
    table, codec = blocks.table, lossless_codec_of(plan)
    number = at[0] * table.grid.columns + at[1]
    shape = (form.height, form.width, form.samples)
    pixels: Pixels = np.empty((*place.shape, plan.count), form.dtype)
    tiles = []
    for plane, block in enumerate(table.planes_of(number)):
        if table.length(block) < TRAILER:
            return None
        data = table.read(blocks.file, block)
        try:
            tile = codec.decode(data, shape, form.dtype, foreign=True)
        except VerifyError:
            return None
        pixels[..., form.bands(plane)] = tile[: place.height, : place.width]
        tiles.append(passthrough.encoded_tile(form, data, tile, place))
    return pixels, tiles


def _is_fill(plan: RasterPlan, hidden: Pixels) -> bool:
    """Whether pixels that are not valid are what a mosaic has there, to the bit."""
    fill = np.full(1, 0 if plan.nodata is None else plan.nodata, hidden.dtype).view(np.uint8)
    return bool((hidden.view(np.uint8).reshape(len(hidden), -1) == fill).all())


def _in_rows(places: Sequence[Window]) -> Iterator[Window]:
    """Join tiles that lie side by side; they come row by row."""
    run: Window | None = None
    for place in places:
        if run is not None and (run.right, run.row_off) == (place.col_off, place.row_off):
            run = Window.between(run.col_off, run.row_off, place.right, run.bottom)
            continue
        if run is not None:
            yield run
        run = place
    if run is not None:
        yield run
