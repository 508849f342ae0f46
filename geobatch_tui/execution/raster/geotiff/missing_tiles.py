"""Makes the tiles that no chunk has made: holes, constant masks, and the upper overviews."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import batched, pairwise
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.encode.codec import codec_of
from geobatch_tui.execution.raster.geotiff.tile_index import UNSET, slots_of
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
    from geobatch_tui.execution.raster.pyramid.encode_chunk import Rows
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Threads that encode overviews: the other cores are nearly always idle by then.
THREADS = 2
#: Tiles that may be encoded and not yet in the index.
_BATCH = 16


class Completer:
    """Fills the empty slots of an index with tiles that it encodes into ``scratch``, the last of
    its ``stores``.

    At most the four children of one tile for each thread, and a few encoded tiles, are in memory.
    """

    def __init__(self, index: TileIndex, stores: Sequence[Store], scratch: ScratchStore) -> None:
        self._index = index
        self._plan = index.plan
        self._stores = stores
        self._scratch = scratch
        self._number = len(stores) - 1
        self._masked = index.masked
        self._form = TileForm.of(index.plan)
        self._codec = raw_codec_of(index.plan) if index.lossy else codec_of(index.plan)
        self._constants: dict[tuple[object, ...], Slots] = {}

    def complete(self) -> int:
        """Fill every slot; return how many tiles at full resolution were holes."""
        levels, owned = self._index.levels, self._index.owned
        holes = int((levels[0].image["store"] == UNSET).sum())
        for slots in levels[:owned]:
            self._fill(slots)
        for below, slots in pairwise(levels[owned - 1 :]):
            self._build(below, slots)
        if self._masked and self._index.planes == 1:
            for slots in levels:
                self._settle_sparse(slots)
        return holes

    def _fill(self, slots: LevelSlots) -> None:
        """Fill tiles that were never computed with nodata, transparent or masked pixels; and masks
        of chunks without an invalid pixel, which spool none."""
        for at in np.flatnonzero(slots.image["store"] == UNSET).tolist():
            plane, tile = divmod(at, len(slots.grid))
            window = slots.grid.window(tile)
            slots.image[at] = self._fill_tile(plane, window, sparse=True)
            if self._masked:
                slots.mask[tile] = self._mask_tile(window, valid=False)
        if self._masked:
            for tile in np.flatnonzero(slots.mask["store"] == UNSET).tolist():
                slots.mask[tile] = self._mask_tile(slots.grid.window(tile), valid=True)

    def _settle_sparse(self, slots: LevelSlots) -> None:
        """Leave out an image tile and its mask tile, which are interleaved, or none of them."""
        left_out = slots.image["length"] == 0
        slots.mask["length"][left_out & (slots.mask["empty"] == 1)] = 0
        for tile in np.flatnonzero(left_out & (slots.mask["empty"] == 0)).tolist():
            slots.image[tile] = self._fill_tile(0, slots.grid.window(tile), sparse=False)

    def _fill_tile(self, plane: int, window: Window, *, sparse: bool) -> Slots:
        form, key = self._form, ("fill", sparse, plane, window.shape)
        if key not in self._constants:
            # A tile that must be written has the pixels that a reader sees where there is none.
            values = form.fill if sparse else np.full_like(form.fill, form.missing)
            bands = values[form.bands(plane)]
            pixels = np.broadcast_to(bands[:, np.newaxis, np.newaxis], (len(bands), *window.shape))
            writer = TileWriter(self._plan, sparse=sparse and self._plan.encoding.sparse)
            writer.image(0, 0, 0, pixels)
            self._constants[key] = slots_of(self._number, self._stored(writer))[0]
        return self._constants[key]

    def _mask_tile(self, window: Window, *, valid: bool) -> Slots:
        key = ("mask", valid, window.shape)
        if key not in self._constants:
            writer = TileWriter(self._plan)
            writer.mask(0, 0, np.full(window.shape, valid))
            self._constants[key] = slots_of(self._number, self._stored(writer))[0]
        return self._constants[key]

    def _stored(self, writer: TileWriter) -> Rows:
        """Move the tiles of ``writer`` to the scratch file; return their index there."""
        rows = writer.rows
        if writer.payload:
            rows["offset"] += np.uint64(self._scratch.append(writer.payload))
        return rows

    def _build(self, below: LevelSlots, slots: LevelSlots) -> None:
        """Make all tiles of a level from the level below, in their order."""

        def encode(tile: int) -> TileWriter:
            writer = TileWriter(self._plan)
            pixels, valid, margins = self._children(below, slots.grid.window(tile))
            pixels, valid = reduce_for(self._plan, pixels, valid, margins)
            for plane in range(self._form.planes):
                bands = pixels[self._form.bands(plane)]
                writer.image(slots.number, tile, plane, bands)
                if self._index.lossy and slots is not self._index.levels[-1]:
                    writer.raw(slots.number, tile, plane, bands)
            if valid is not None:
                writer.mask(slots.number, tile, valid)
            return writer

        with ThreadPoolExecutor(THREADS) as pool:
            for tiles in batched(range(len(slots.grid)), _BATCH):
                for writer in pool.map(encode, tiles):
                    self._index.put(self._number, self._stored(writer))

    def _children(self, below: LevelSlots, window: Window) -> tuple[Pixels, Valid | None, Margins]:
        """Return pixels (bands, h, w) and validity under ``window``, in the level below, with the
        margins that the reduction needs."""
        reach = MARGINS.get(self._plan.encoding.overview_resampling, 0)
        whole = Window(0, 0, below.grid.width, below.grid.height)
        left, top, right, bottom = window.bounds
        own = Window.between(2 * left, 2 * top, 2 * right, 2 * bottom).clip(whole)
        padded = own.pad(reach).clip(whole)
        margins = (
            own.col_off - padded.col_off, own.row_off - padded.row_off,
            padded.right - own.right, padded.bottom - own.bottom,
        )  # fmt: skip
        pixels = np.empty((self._plan.count, *padded.shape), self._form.dtype)
        valid = np.empty(padded.shape, np.bool_) if self._masked else None
        tiles = below.raw if self._index.lossy else below.image
        for child in below.grid.under(padded):
            at = below.grid.window(child)
            part = at.clip(padded)
            place, within = part.slices_in(padded), part.slices_in(at)
            for plane in range(self._form.planes):
                tile = self._decode(tiles[plane * len(below.grid) + child], plane, at)
                pixels[self._form.bands(plane), *place] = tile[:, *within]
            if valid is not None:
                valid[place] = self._decode_mask(below.mask[child], at)[within]
        return pixels, valid, margins

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

    def _decode_mask(self, slot: np.void, window: Window) -> Valid:
        shape = (self._form.height, self._form.width // 8)
        tile = MASK_CODEC.decode(self._read_tile(slot), shape, np.dtype(np.uint8))
        return unpack_mask(tile, window)

    def _read_tile(self, slot: np.void) -> bytes:
        store: Store = self._stores[int(slot["store"])]
        data = store.read_bytes(int(slot["offset"]), int(slot["length"]))
        if crc32(data) != slot["crc"]:
            raise VerifyError("a spooled tile is damaged: its checksum differs")
        return data
