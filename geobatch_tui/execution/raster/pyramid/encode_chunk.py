"""Encodes a chunk: its tiles at full resolution and at each overview level that it owns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.raster.encode.codec import codec_of
from geobatch_tui.execution.raster.encode.lossless import Codec
from geobatch_tui.execution.raster.kernels import convolution
from geobatch_tui.execution.raster.pyramid import halve
from geobatch_tui.execution.raster.pyramid.tiles import (
    IMAGE,
    MASK,
    RAW,
    TileForm,
    owned_levels,
    pack_mask,
    pyramid,
    spread,
    tiles_of,
)

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ChunkGrid
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.types import Pixels, Records, Valid

#: COG: the length of each tile stands before it, its last four bytes are repeated behind it. No
#: codec here gives fewer than four bytes: the smallest tile is 16x16 pixels.
LEADER = TRAILER = 4

#: Masks are nearly constant: the level hardly matters, and is fixed so that bytes never change.
MASK_CODEC = Codec("DEFLATE", 6, 1)

#: A tile in the index of a segment. ``offset`` counts from the segment's start to the tile's own
#: first byte. ``length`` 0: the tile is left out of the file (sparse). ``empty``: a reader would
#: see the same without it, or, for a mask, it has not one valid pixel. ``crc_raw`` is over the
#: decoded tile.
ROW = np.dtype([
    ("level", "<u1"), ("kind", "<u1"), ("plane", "<u2"), ("tile", "<u8"), ("offset", "<u8"),
    ("length", "<u4"), ("crc", "<u4"), ("crc_raw", "<u4"), ("empty", "<u1"),
])  # fmt: skip

type Rows = Records


@dataclass(frozen=True, slots=True)
class EncodedTile:
    """An encoded tile: its bytes, the CRC-32 of the tile that they decode to, and whether a reader
    would see the same without it."""

    data: bytes
    crc_raw: int
    empty: bool


#: Encoded tiles of full resolution, by plane and number of the tile.
EncodedTiles = Mapping[tuple[int, int], EncodedTile]


def raw_codec_of(plan: RasterPlan) -> Codec:
    """Return the codec of the lossless tiles that overviews are made from if tiles are lossy."""
    return Codec("ZSTD", 1, 3 if plan.dtype.startswith("float") else 2)


class TileWriter:
    """Encodes tiles one after the other into ``parts``, of ``size`` bytes together, and keeps their
    index."""

    def __init__(self, plan: RasterPlan, *, sparse: bool | None = None) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.form = TileForm.of(plan)
        self.codec = codec_of(plan)
        self._rows: list[tuple[int, ...]] = []
        self._raw_codec = raw_codec_of(plan)
        self._framed = plan.encoding.format == "COG"
        self._sparse = plan.encoding.sparse if sparse is None else sparse

    @property
    def payload(self) -> bytes:
        """The tiles as one."""
        return b"".join(self.parts)

    @property
    def rows(self) -> Rows:
        """Index of the tiles so far."""
        return np.array(self._rows, ROW)

    def image(self, level: int, tile: int, plane: int, pixels: Pixels) -> None:
        """Encode the pixels (samples, h, w) of one plane of a tile."""
        form, (_, height, width) = self.form, pixels.shape
        packed = form.pack(pixels)
        empty = form.is_missing(packed)
        place = (level, IMAGE, plane, tile)
        if empty and self._sparse:
            self._append(place, b"", crc32(packed), empty=True)
            return
        if self.codec.blurs:
            spread(packed, height, width)
        data, seen = self.codec.store(packed)
        if not self.codec.exact:
            form.clear_beyond(seen, height, width)
        self._append(place, data, crc32(seen), empty=empty)

    def raw(self, level: int, tile: int, plane: int, pixels: Pixels) -> None:
        """Encode the pixels (samples, h, w) of one plane of a tile without loss."""
        packed = self.form.pack(pixels)
        data = self._raw_codec.encode(packed)
        self._append((level, RAW, plane, tile), data, crc32(packed), empty=False)

    def mask(self, level: int, tile: int, valid: Valid) -> None:
        """Encode the validity (h, w) of a tile."""
        packed = pack_mask(valid, self.form.width, self.form.height)
        data = MASK_CODEC.encode(packed[:, :, np.newaxis])
        self._append((level, MASK, 0, tile), data, crc32(packed), empty=not packed.any())

    def copy(self, level: int, tile: int, plane: int, encoded: EncodedTile) -> None:
        """Take a tile that is encoded already."""
        data = b"" if encoded.empty and self._sparse else encoded.data
        self._append((level, IMAGE, plane, tile), data, encoded.crc_raw, empty=encoded.empty)

    def _append(
        self, place: tuple[int, int, int, int], data: bytes, crc_raw: int, *, empty: bool
    ) -> None:
        frames = data and self._framed
        offset = self.size + (LEADER if frames else 0)
        if frames:
            self.parts += [len(data).to_bytes(LEADER, "little"), data, data[-TRAILER:]]
        else:
            self.parts.append(data)
        self.size = offset + len(data) + (TRAILER if frames else 0)
        self._rows.append((*place, offset, len(data), crc32(data), crc_raw, empty))


def encode_chunk(
    plan: RasterPlan,
    grid: ChunkGrid,
    index: int,
    pixels: Pixels,
    valid: Valid | None,
    encoded: EncodedTiles | None = None,
) -> TileWriter:
    """Encode and read back all tiles that chunk ``index`` owns, in the order of the final file.

    Args:
        plan: the item.
        grid: its chunks.
        index: which chunk.
        pixels: (bands, h, w) of exactly the chunk's window, in the plan's dtype.
        valid: (h, w), or None where all are valid; only looked at where the plan's validity is
            ``mask`` or ``none``.
        encoded: tiles at full resolution that are not to be encoded.

    Raises:
        OperationError: shape or dtype are not the plan's.
        VerifyError: a tile does not decode to what went in.
    """
    window = grid.window(index)
    _check(plan, window.shape, pixels, valid)
    if plan.validity not in ("mask", "none") or (valid is not None and valid.all()):
        valid = None
    writer = TileWriter(plan)
    levels, owned = pyramid(plan), owned_levels(plan, grid)
    # Reductions come first: the final file starts with the smallest overview.
    layers = [(pixels, valid)]
    for _ in range(1, owned):
        layers.append(reduce_for(plan, *layers[-1]))
    for level in reversed(range(owned)):
        layer = layers.pop()
        places = _places(levels[level], tiles_of(levels[level], level, window))
        _encode_level(writer, level, places, layer, {} if level or encoded is None else encoded)
        if level == owned - 1 < len(levels) - 1 and not writer.codec.exact:
            # Once more without loss, for the overviews above.
            for plane in range(writer.form.planes):
                for tile, rows, cols in places:
                    writer.raw(level, tile, plane, layer[0][writer.form.bands(plane), rows, cols])
    return writer


def reduce_for(
    plan: RasterPlan,
    pixels: Pixels,
    valid: Valid | None,
    margins: convolution.Margins = convolution.NONE,
) -> tuple[Pixels, Valid | None]:
    """Halve pixels (bands, h, w) and validity, but for their ``margins``, as the plan asks for."""
    return halve.reduce(
        pixels,
        valid,
        resampling=plan.encoding.overview_resampling,
        nodata=plan.nodata,
        alpha=plan.validity == "alpha",
        margins=margins,
    )


def _check(plan: RasterPlan, shape: tuple[int, int], pixels: Pixels, valid: Valid | None) -> None:
    if pixels.shape != (plan.count, *shape) or pixels.dtype != np.dtype(plan.dtype):
        raise OperationError(
            f"a chunk of {pixels.shape} {pixels.dtype} was computed where "
            f"{(plan.count, *shape)} {plan.dtype} is planned"
        )
    if valid is not None and (valid.shape != shape or valid.dtype != np.bool_):
        raise OperationError(
            f"validity is {valid.shape} {valid.dtype} where {shape} bool is planned"
        )


def _encode_level(
    writer: TileWriter,
    level: int,
    places: list[tuple[int, slice, slice]],
    layer: tuple[Pixels, Valid | None],
    encoded: EncodedTiles,
) -> None:
    """Encode a level. Interleaved by pixel, each tile is followed by its mask; by band, the masks
    come last."""
    (pixels, valid), form = layer, writer.form
    for plane in range(form.planes):
        for tile, rows, cols in places:
            if (plane, tile) in encoded:
                writer.copy(level, tile, plane, encoded[plane, tile])
            else:
                writer.image(level, tile, plane, pixels[form.bands(plane), rows, cols])
            if form.planes == 1 and valid is not None:
                writer.mask(level, tile, valid[rows, cols])
    if form.planes > 1 and valid is not None:
        for tile, rows, cols in places:
            writer.mask(level, tile, valid[rows, cols])


def _places(grid: ChunkGrid, tiles: list[int]) -> list[tuple[int, slice, slice]]:
    """Return each tile with its rows and columns in a chunk that starts with the first."""
    first = grid.window(tiles[0])
    return [(tile, *grid.window(tile).slices_in(first)) for tile in tiles]
