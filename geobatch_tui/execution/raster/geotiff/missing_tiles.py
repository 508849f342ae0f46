"""Makes the tiles that no chunk has made: holes, constant masks, and the upper overviews."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.encode.codec import codec_of
from geobatch_tui.execution.raster.geotiff.tile_index import UNSET
from geobatch_tui.execution.raster.kernels.convolution import MARGINS
from geobatch_tui.execution.raster.pyramid.encode_chunk import (
    MASK_CODEC,
    TileWriter,
    raw_codec_of,
    reduce_for,
)
from geobatch_tui.execution.raster.pyramid.tiles import TileForm, unpack_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.raster.geotiff.tile_index import LevelSlots, Slots, TileIndex
    from geobatch_tui.execution.raster.geotiff.tile_stores import ScratchStore, Store
    from geobatch_tui.execution.raster.kernels.convolution import Margins
    from geobatch_tui.execution.raster.pyramid.tiles import PyramidLevel
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Threads that encode overviews: the other cores are nearly always idle by then.
THREADS = 2
#: Tiles that may be encoded and not yet in the index.
_BATCH = 16


def needs_mask(index: TileIndex) -> bool:
    """Whether the item has invalid pixels that only a mask marks: computed ones, or holes."""
    if index.plan.validity not in ("mask", "none"):
        return False
    base = index.levels[0]
    return bool((base.mask["store"] != UNSET).any() or (base.image["store"] == UNSET).any())


class Completer:
    """Fills the empty slots of an index with tiles that it encodes into ``scratch``.

    ``stores`` are all stores by number; ``scratch`` is one of them, at ``scratch_number``. At most
    the four children of one tile for each thread, and a few encoded tiles, are in memory.
    """

    def __init__(
        self, index: TileIndex, stores: Sequence[Store], scratch: ScratchStore, scratch_number: int
    ) -> None:
        self._index = index
        self._plan = index.plan
        self._stores = stores
        self._scratch = scratch
        self._number = scratch_number
        self._form = TileForm.of(index.plan)
        self._codec = raw_codec_of(index.plan) if index.lossy else codec_of(index.plan)
        self._constants: dict[tuple[object, ...], Slots] = {}

    def complete(self, owned: int, *, mask: bool) -> int:
        """Fill every slot; return how many tiles at full resolution were holes."""
        holes = 0
        for slots in self._index.levels[:owned]:
            missing = self._fill_holes(slots, mask=mask)
            holes += missing if not slots.level.number else 0
            if mask:
                self._fill_masks(slots)
        for below, slots in zip(
            self._index.levels[owned - 1 :], self._index.levels[owned:], strict=False
        ):
            self._build(below, slots, mask=mask)
        if mask and self._index.planes == 1:
            for slots in self._index.levels:
                self._settle_sparse(slots)
        return holes

    def _fill_holes(self, slots: LevelSlots, *, mask: bool) -> int:
        """Fill tiles that were never computed with nodata, transparent or masked pixels."""
        level = slots.level
        holes = np.flatnonzero(slots.image["store"] == UNSET)
        for at in holes.tolist():
            plane, tile = divmod(at, level.tiles)
            slots.image[at] = self._fill_tile(level, plane, level.window(tile), sparse=True)
            if mask:
                slots.mask[tile] = self._mask_tile(level, level.window(tile), valid=False)
        return len(holes)

    def _fill_masks(self, slots: LevelSlots) -> None:
        """Fill the masks of chunks without an invalid pixel, which spool none."""
        level = slots.level
        for tile in np.flatnonzero(slots.mask["store"] == UNSET).tolist():
            slots.mask[tile] = self._mask_tile(level, level.window(tile), valid=True)

    def _settle_sparse(self, slots: LevelSlots) -> None:
        """Leave an image tile out together with its mask tile or not at all, as interleaved masks
        require."""
        left_out = slots.image["length"] == 0
        slots.mask["length"][left_out & (slots.mask["empty"] == 1)] = 0
        level = slots.level
        for tile in np.flatnonzero(left_out & (slots.mask["empty"] == 0)).tolist():
            slots.image[tile] = self._fill_tile(level, 0, level.window(tile), sparse=False)

    def _fill_tile(self, level: PyramidLevel, plane: int, window: Window, *, sparse: bool) -> Slots:
        key = ("fill", sparse, plane, window.width, window.height)
        if key not in self._constants:
            # A tile that must be written has the pixels that a reader sees where there is none.
            values = (
                self._form.fill if sparse else np.full_like(self._form.fill, self._form.missing)
            )
            bands = values[self._form.bands(plane)]
            pixels = np.broadcast_to(bands[:, np.newaxis, np.newaxis], (len(bands), *window.shape))
            writer = TileWriter(self._plan, sparse=sparse and self._plan.encoding.sparse)
            writer.image(level, 0, 0, pixels)
            self._constants[key] = self._store(writer)[0]
        return self._constants[key]

    def _mask_tile(self, level: PyramidLevel, window: Window, *, valid: bool) -> Slots:
        key = ("mask", valid, window.width, window.height)
        if key not in self._constants:
            writer = TileWriter(self._plan)
            writer.mask(level, 0, np.full(window.shape, valid))
            self._constants[key] = self._store(writer)[0]
        return self._constants[key]

    def _store(self, writer: TileWriter) -> Slots:
        """Move the tiles of ``writer`` to the scratch file; return their slots."""
        rows = writer.rows
        start = self._scratch.append(writer.payload) if writer.payload else 0
        slots = np.zeros(len(rows), self._index.levels[0].image.dtype)
        slots["store"] = self._number
        for name in ("length", "crc", "crc_raw", "empty"):
            slots[name] = rows[name]
        slots["offset"] = rows["offset"] + start
        return slots

    def _build(self, below: LevelSlots, slots: LevelSlots, *, mask: bool) -> None:
        """Make all tiles of a level from the level below, in their order."""

        def encode(tile: int) -> TileWriter:
            writer = TileWriter(self._plan)
            pixels, valid, margins = self._children(below, slots.level, tile, mask=mask)
            pixels, valid = reduce_for(self._plan, pixels, valid, margins)
            for plane in range(self._form.planes):
                bands = pixels[self._form.bands(plane)]
                writer.image(slots.level, tile, plane, bands)
                if self._index.lossy and slots is not self._index.levels[-1]:
                    writer.raw(slots.level, tile, plane, bands)
            if valid is not None:
                writer.mask(slots.level, tile, valid)
            return writer

        with ThreadPoolExecutor(THREADS) as pool:
            for tiles in batched(range(slots.level.tiles), _BATCH):
                for writer in pool.map(encode, tiles):
                    self._enter(writer)

    def _enter(self, writer: TileWriter) -> None:
        rows = writer.rows
        if len(rows):
            if writer.payload:
                rows["offset"] += np.uint64(self._scratch.append(writer.payload))
            self._index.put(self._number, rows)

    def _children(
        self, below: LevelSlots, level: PyramidLevel, tile: int, *, mask: bool
    ) -> tuple[Pixels, Valid | None, Margins]:
        """Return pixels (bands, h, w) and validity under a tile, in the level below, with the
        margins that the reduction needs."""
        lower, reach = below.level, MARGINS.get(self._plan.encoding.overview_resampling, 0)
        left, top, right, bottom = level.window(tile).bounds
        own = Window.between(2 * left, 2 * top, 2 * right, 2 * bottom).clip(lower.whole)
        padded = own.pad(reach).clip(lower.whole)
        margins = (
            own.col_off - padded.col_off, own.row_off - padded.row_off,
            padded.right - own.right, padded.bottom - own.bottom,
        )  # fmt: skip
        pixels = np.empty((self._plan.count, *padded.shape), self._form.dtype)
        valid = np.empty(padded.shape, np.bool_) if mask else None
        for down, across in padded.blocks(lower.block_width, lower.block_height).places():
            self._place(below, down * lower.across + across, padded, pixels, valid)
        return pixels, valid, margins

    def _place(
        self,
        below: LevelSlots,
        child: int,
        window: Window,
        pixels: Pixels,
        valid: Valid | None,
    ) -> None:
        """Copy the part of tile ``child`` that lies in ``window``, of which ``pixels`` and
        ``valid`` are."""
        at = below.level.window(child)
        part = at.clip(window)
        place, own = part.slices_in(window), part.slices_in(at)
        for plane in range(self._form.planes):
            slots = below.raw if self._index.lossy else below.image
            slot = slots[plane * below.level.tiles + child]
            tile = self._decode(slot, plane, at)
            pixels[self._form.bands(plane), *place] = tile[:, *own]
        if valid is not None:
            valid[place] = self._decode_mask(below.mask[child], below.level, at)[own]

    def _decode(self, slot: np.void, plane: int, window: Window) -> Pixels:
        form = self._form
        if slot["store"] == UNSET:
            # A hole: a lossy codec has no lossless tile of it.
            fill = form.fill[form.bands(plane), np.newaxis, np.newaxis]
            return np.broadcast_to(fill, (form.samples, *window.shape))
        if not slot["length"]:
            return np.full((form.samples, *window.shape), form.missing, form.dtype)
        shape = (form.height, form.width, form.samples)
        tile = self._codec.decode(self._read_tile(slot), shape, form.dtype)
        return form.unpack(tile, window)

    def _decode_mask(self, slot: np.void, level: PyramidLevel, window: Window) -> Valid:
        shape = (level.block_height, level.block_width // 8)
        tile = MASK_CODEC.decode(self._read_tile(slot), shape, np.dtype(np.uint8))
        return unpack_mask(tile, window)

    def _read_tile(self, slot: np.void) -> bytes:
        store: Store = self._stores[int(slot["store"])]
        data = store.read_bytes(int(slot["offset"]), int(slot["length"]))
        if crc32(data) != slot["crc"]:
            raise VerifyError("a spooled tile is damaged: its checksum differs")
        return data
