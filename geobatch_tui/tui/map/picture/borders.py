"""Borders of items on the ground: where one ends and another one goes on beside it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from geobatch_tui.tui.map.picture.codes import SEAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COVERED: Final = 0.5  #: part of the smaller of two items from which on they lie on each other


class ItemGround(NamedTuple):
    """An item where it lies: west, south, east and north in degrees of longitude and latitude.

    ``is_large``: so large on the picture that its end is drawn.
    """

    item_id: int
    bounds: tuple[float, float, float, float]
    is_large: bool


def seams(
    owners: Mapping[int, int], grounds: Sequence[ItemGround], size: tuple[int, int]
) -> list[bytearray]:
    """Return rows of ``SEAM`` where a large item ends and another one begins to the right or below:
    the slab that both would be has borders then. No rows: nothing ends so.

    Args:
        owners: for pixels by number, row by row, the place in ``grounds`` of the item on top.
        grounds: items in view. The world may be in view several times, and an item with it.
        size: of the picture, in columns and rows.
    """
    if len({ground.item_id for ground in grounds}) == 1 or not any(g.is_large for g in grounds):
        return []

    @cache
    def has_border(one: int, other: int) -> bool:
        return one != other and _are_side_by_side(grounds[one], grounds[other])

    width, height = size
    rows = [bytearray(width) for _ in range(height)]
    for pixel, owner in owners.items():
        if not grounds[owner].is_large:
            continue
        y, x = divmod(pixel, width)
        right = owners.get(pixel + 1, owner) if x + 1 < width else owner
        below = owners.get(pixel + width, owner)
        if has_border(owner, right) or has_border(owner, below):
            rows[y][x] = SEAM
    return rows


def _are_side_by_side(one: ItemGround, other: ItemGround) -> bool:
    """Whether these are two items of which neither lies for the most part on the other."""
    if one.item_id == other.item_id:
        return False
    left, bottom, right, top = one.bounds
    west, south, east, north = other.bounds
    turn = 360 * round((left + right - west - east) / 720)  # to where the other one is nearest
    shared = _overlap(left, right, west + turn, east + turn) * _overlap(bottom, top, south, north)
    smaller = min((right - left) * (top - bottom), (east - west) * (north - south))
    return shared < _COVERED * smaller


def _overlap(begin: float, end: float, other_begin: float, other_end: float) -> float:
    return max(0.0, min(end, other_end) - max(begin, other_begin))
