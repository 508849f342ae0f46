"""The index of an item's tiles: the place of each tile's bytes, and their checksums.

Slots are ordered by level, and within a level in TIFF's tile order: plane by plane, row-major in
each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.encode.codec import codec_of
from geobatch_tui.execution.raster.pyramid.encode_chunk import LEADER, TRAILER
from geobatch_tui.execution.raster.pyramid.tiles import (
    IMAGE,
    MASK,
    RAW,
    TileForm,
    owned_levels,
    pyramid,
    tiles_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.protocol.messages import ChunkGrid
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.pyramid.encode_chunk import Rows
    from geobatch_tui.execution.raster.types import Indices, Records

UNSET = -1
#: ``store`` is the number of the store with the bytes; see ``encode_chunk.ROW`` for the others.
SLOT = np.dtype([
    ("store", "<i4"), ("offset", "<u8"), ("length", "<u4"), ("crc", "<u4"), ("crc_raw", "<u4"),
    ("empty", "<u1"),
])  # fmt: skip

type Slots = Records


def slots_of(store: int, rows: Rows) -> Slots:
    """Return the slots of tiles that lie in ``store``."""
    slots = np.empty(len(rows), SLOT)
    slots["store"] = store
    for name in ("offset", "length", "crc", "crc_raw", "empty"):
        slots[name] = rows[name]
    return slots


@dataclass(frozen=True, slots=True)
class LevelSlots:
    """The tiles of level ``number``, and the slots of its image planes, of its mask, and of the
    lossless tiles that overviews are made from where the codec is lossy."""

    number: int
    grid: ChunkGrid
    image: Slots
    mask: Slots
    raw: Slots


class TileIndex:
    """The slots of all tiles of an item; at first all are unset. ``owned`` levels come from the
    chunks of ``grid``."""

    def __init__(self, plan: RasterPlan, grid: ChunkGrid) -> None:
        self.plan, self.grid = plan, grid
        self.owned = owned_levels(plan, grid)
        self.planes = TileForm.of(plan).planes
        self.lossy = not codec_of(plan).exact
        self.frame = (LEADER, TRAILER) if plan.encoding.format == "COG" else (0, 0)
        self.levels = tuple(
            LevelSlots(
                number,
                grid,
                _unset(len(grid) * self.planes),
                _unset(len(grid)),
                _unset(len(grid) * self.planes if self.lossy else 0),
            )
            for number, grid in enumerate(pyramid(plan))
        )

    @property
    def masked(self) -> bool:
        """Whether the item has invalid pixels that only a mask marks: computed ones, or holes."""
        if self.plan.validity not in ("mask", "none"):
            return False
        base = self.levels[0]
        return bool((base.mask["store"] != UNSET).any() or (base.image["store"] == UNSET).any())

    def put(self, store: int, rows: Rows) -> None:
        """Enter tiles that lie in ``store``.

        Raises:
            VerifyError: a tile that is not in the item, or is there already.
        """
        for slots in self.levels:
            for kind, target in ((IMAGE, slots.image), (MASK, slots.mask), (RAW, slots.raw)):
                chosen = rows[(rows["level"] == slots.number) & (rows["kind"] == kind)]
                if not len(chosen):
                    continue
                at = chosen["plane"].astype(np.int64) * len(slots.grid)
                at += chosen["tile"].astype(np.int64)
                if at.max() >= len(target) or (target["store"][at] != UNSET).any():
                    raise VerifyError(f"level {slots.number}: a tile twice, or none of ours")
                target[at] = slots_of(store, chosen)

    def check_chunk(self, rows: Rows, index: int) -> None:
        """Refuse a segment that does not hold exactly the tiles of its chunk.

        Raises:
            VerifyError: naming the chunk and the level.
        """
        if (rows["level"] >= self.owned).any():
            raise VerifyError(f"chunk {index}: its segment holds levels that it does not own")
        window = self.grid.window(index)
        masked = bool((rows["kind"] == MASK).any())
        raw_level = self.owned - 1 if self.lossy and self.owned < len(self.levels) else None
        for slots in self.levels[: self.owned]:
            mine = rows[rows["level"] == slots.number]
            tiles = tiles_of(slots.grid, slots.number, window)
            image = mine[mine["kind"] == IMAGE]
            mask, raw = mine[mine["kind"] == MASK], mine[mine["kind"] == RAW]
            planes = np.repeat(np.arange(self.planes), len(tiles))
            if (
                not np.array_equal(image["tile"], np.tile(tiles, self.planes))
                or not np.array_equal(image["plane"], planes)
                or not np.array_equal(mask["tile"], tiles if masked else tiles[:0])
                or len(raw) != (len(image) if slots.number == raw_level else 0)
                or (len(raw) and (raw[["plane", "tile"]] != image[["plane", "tile"]]).any())
            ):
                raise VerifyError(
                    f"chunk {index}: its segment holds other tiles of level {slots.number} than it "
                    "should"
                )

    def sequence(self) -> tuple[Slots, Indices, Indices]:
        """Return all tiles in file order: slots, numbers of directories, numbers of tiles.

        The smallest level comes first. By pixel each image tile is followed by its mask's, by
        band the mask comes last. Directories are numbered in file order: image, its mask,
        overviews, masks of overviews.
        """
        slots, directories, tiles = [], [], []
        mask, overviews = self.masked, len(self.levels) - 1
        for entry in reversed(self.levels):
            number = entry.number
            of_image = number + (1 if mask and number else 0)
            of_mask = number + overviews + 1 if number else 1
            parts = [(entry.image, of_image)]
            if mask:
                parts.append((entry.mask, of_mask))
            join = _alternate if self.planes == 1 else np.concatenate
            slots.append(join([part for part, _ in parts]))
            directories.append(join([np.full(len(part), directory) for part, directory in parts]))
            tiles.append(join([np.arange(len(part)) for part, _ in parts]))
        return np.concatenate(slots), np.concatenate(directories), np.concatenate(tiles)


def _unset(count: int) -> Slots:
    slots = np.zeros(count, SLOT)
    slots["store"] = UNSET
    return slots


def _alternate[T: np.generic](parts: Sequence[NDArray[T]]) -> NDArray[T]:
    """Return the first of each, the second of each, and so on."""
    return np.stack(parts, axis=1).ravel()
