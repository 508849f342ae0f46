"""Ids of the features of a GeoPackage, in ascending order; of many they are not in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


#: The first and the last id of features in turn; empty: there are none; None: they do not ascend.
type Ends = list[int] | None


def following(one: Ends, other: Ends) -> Ends:
    """Join the ends of the ids of features with those of others behind them."""
    if one is None or other is None:
        return None
    if not one or not other:
        return one or other
    return [one[0], other[1]] if one[1] < other[0] else None


def ends_of(ids: Numbers) -> Ends:
    """Return the ends of these ids."""
    if not len(ids):
        return []
    return [int(ids[0]), int(ids[-1])] if (np.diff(ids) > 0).all() else None


class RowIds:
    """Ids of ``count`` features, which are given out in turn.

    Args:
        ends: the first and the last; empty: they are numbered from 1.
        count: how many there are.
        path: of a file for a while, if one is needed.
    """

    def __init__(self, ends: list[int], count: int, path: Path) -> None:
        low, high = ends or (1, count)
        self._shift = low - 1
        self._path = None if high - low + 1 == count else path
        self._turn = 0

    def next_ids(self, ids: Numbers, count: int) -> Numbers:
        """Return the ids of the next ``count`` features, which are ``ids`` unless they are
        numbered."""
        turns = np.arange(self._turn + 1, self._turn + count + 1)
        self._turn += count
        if self._path is None:
            return turns + self._shift
        with self._path.open("ab") as file:
            file.write(ids.tobytes())
        return ids

    def of(self, turns: Numbers) -> Numbers:
        """Return the ids of features by their turns, from 1. All have been given out."""
        if self._path is None:
            return turns + self._shift
        found: Numbers = np.memmap(self._path, np.int64, "r")[turns - 1]
        return found
