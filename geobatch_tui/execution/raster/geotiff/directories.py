"""The TIFF directories of an item: image, mask, overviews, and the masks of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.codec import compression_tags
from geobatch_tui.execution.raster.encode.tiff_tag import Tag, long, short
from geobatch_tui.execution.raster.geotiff.layout import Directory
from geobatch_tui.execution.raster.pyramid.encode_chunk import MASK_CODEC

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ChunkGrid
    from geobatch_tui.execution.raster.geotiff.tags import Template
    from geobatch_tui.execution.raster.geotiff.tile_index import LevelSlots, TileIndex
    from geobatch_tui.execution.raster.plan import RasterPlan

#: NewSubfileType: bit 0 a reduced image, bit 2 a mask.
_REDUCED, _MASK = 1, 4
#: PhotometricInterpretation of a mask.
_TRANSPARENCY_MASK = 4


def directories_of(index: TileIndex, template: Template) -> list[Directory]:
    """Return the directories in file order: image, its mask, overviews, masks of overviews."""
    images = [
        Directory(_image_tags(index.plan, entry, template), entry.image["length"])
        for entry in index.levels
    ]
    if not index.masked:
        return images
    masks = [
        Directory(_mask_tags(entry.grid, reduced=entry.number > 0), entry.mask["length"])
        for entry in index.levels
    ]
    return [images[0], masks[0], *images[1:], *masks[1:]]


def plain_directories(
    plan: RasterPlan, grid: ChunkGrid, template: Template, lengths: tuple[int, int]
) -> list[Directory]:
    """Return the directories of an image by bands with tiles of ``grid``, and of its mask: each
    tile of a band and of the mask is as long as ``lengths`` say; 0: there is no mask."""
    of_image, of_mask = lengths
    tags = (*_size_tags(grid), *compression_tags(plan), *template.tags)
    image = Directory(tags, np.full(len(grid) * plan.count, of_image))
    if not of_mask:
        return [image]
    return [image, Directory(_mask_tags(grid, reduced=False), np.full(len(grid), of_mask))]


def _image_tags(plan: RasterPlan, slots: LevelSlots, template: Template) -> tuple[Tag, ...]:
    reduced = slots.number > 0
    return (
        *([long(tag.NEW_SUBFILE_TYPE, _REDUCED)] if reduced else []),
        *_size_tags(slots.grid),
        *compression_tags(plan),
        *(template.overview_tags if reduced else template.tags),
    )


def _mask_tags(grid: ChunkGrid, *, reduced: bool) -> tuple[Tag, ...]:
    return (
        long(tag.NEW_SUBFILE_TYPE, _MASK | (_REDUCED if reduced else 0)),
        *_size_tags(grid),
        short(tag.BITS_PER_SAMPLE, 1),
        short(tag.COMPRESSION, tag.COMPRESSIONS[MASK_CODEC.compress]),
        short(tag.PHOTOMETRIC, _TRANSPARENCY_MASK),
        short(tag.SAMPLES_PER_PIXEL, 1),
        short(tag.PLANAR_CONFIGURATION, 1),
        short(tag.PREDICTOR, MASK_CODEC.predictor),
        short(tag.SAMPLE_FORMAT, 1),
    )


def _size_tags(grid: ChunkGrid) -> tuple[Tag, ...]:
    sizes = {
        tag.IMAGE_WIDTH: grid.width,
        tag.IMAGE_LENGTH: grid.height,
        tag.TILE_WIDTH: grid.chunk_width,
        tag.TILE_LENGTH: grid.chunk_height,
    }
    return tuple(
        short(code, size) if size <= 0xFFFF else long(code, size) for code, size in sizes.items()
    )
