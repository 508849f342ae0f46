"""Splits dead chunks 2 x 2: plans their items anew, in chunks half as wide and half as high.

A chunk that is dead after that covers a quarter of the area, and so does its hole where holes are
filled. All chunks of such an item are computed again: a grid of chunks is regular, and pixels do
not depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import ConfigError
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.orchestration.state.session import reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json


_TILE: Final = 512  #: default side of a tile

Pair = tuple[int, int]


def tile_of(creation: Json) -> Pair:
    """Return columns and rows of a tile of the output: a chunk is never smaller."""
    side = creation.get("blocksize") or _TILE
    return int(creation.get("blockxsize") or side), int(creation.get("blockysize") or side)


def halved(chunk: Pair, tile: Pair) -> Pair | None:
    """Return half of a chunk's width and height, in whole tiles; None: it is one tile already."""
    cols, rows = (
        min(side, -(-side // (2 * step)) * step) for side, step in zip(chunk, tile, strict=True)
    )
    return None if (cols, rows) == chunk else (cols, rows)


def splitting(
    directory: Path, creation: Json, classes: Sequence[str], keys: Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Plan the splitting of dead chunks of a raster job: return the ids of items to plan anew, and
    ``KEY=VALUE`` that give the new size of chunks.

    Args:
        directory: the output directory of the run.
        creation: the job's ``output.creation``.
        classes: only letters of these error classes; empty: of any.
        keys: only these chunks, by the ledger's names; empty: all.

    Raises:
        ConfigError: none of them can be split.
        StateError: the ledger cannot be read.
    """
    chosen: dict[int, Pair] = {}
    with reading(directory) as reader:
        for letter in reader.all_letters() if reader else ():
            name = letter.record.get("chunk") or letter.record.get("item")
            if (classes and letter.error_class not in classes) or (keys and name not in keys):
                continue
            item = reader.item(letter.item_id) if reader else None
            if letter.chunk_id is None or item is None or item.state is ItemState.PUBLISHED:
                continue
            grid = item.plan.get("grid") or {}
            half = halved((grid["chunk_width"], grid["chunk_height"]), tile_of(creation))
            if half is not None:
                chosen[letter.item_id] = half
    if not chosen:
        raise ConfigError(
            "none of these dead letters can be split",
            hint="only chunks of a raster can, of more than one tile, whose output is held back",
        )
    cols, rows = (min(sides) for sides in zip(*chosen.values(), strict=True))
    return tuple(chosen), (f"engine.chunk_cols={cols}", f"engine.chunk_rows={rows}")
