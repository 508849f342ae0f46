"""The order of very many figures, of which only the part that is looked at is sorted."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections import Counter
from itertools import compress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_GROUP: Final = 8192  #: places that are sorted at once, where keys are so many
_CACHED: Final = 8  #: groups that stay sorted


class Ranking:
    """Places of figures in ascending order; those of equal figures by their place.

    The upper half of the bits of a float that is not negative is a whole number, and orders as the
    float does. Such keys are counted at once. They are cut into groups, and a group is sorted when
    a rank in it is asked for: 10^6 figures take a tenth of a second to the first screen.

    Args:
        values: figures (``array("f")``), none of them negative.
        mask: a byte for each value, 1 for those to rank; None: all.
    """

    def __init__(self, values: array[float], mask: bytes | None = None) -> None:
        words = array("H", values.tobytes())
        keys = words[1::2] if sys.byteorder == "little" else words[::2]
        self._places: Sequence[int] = range(len(values))
        self._values = values
        if mask is not None:
            keys = array("H", compress(keys, mask))
            values = array("f", compress(values, mask))
            self._places = array("L", compress(self._places, mask))
            self._values = values
        self._keys = keys
        #: Of each group the lowest key, and the rank that it begins with.
        self._lows: list[int] = []
        self._starts: list[int] = []
        self._sorted: dict[int, Sequence[int]] = {}
        self._group()

    def _group(self) -> None:
        rank = room = 0
        for key, count in sorted(Counter(self._keys).items()):
            if room < count:
                self._lows.append(key)
                self._starts.append(rank)
                room = _GROUP
            room -= count
            rank += count

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, rank: int) -> int:
        """Return the place of a rank. Raises IndexError outside."""
        return self._places[self._index(rank)]

    def value(self, rank: int) -> float:
        """Return the figure of a rank."""
        return self._values[self._index(rank)]

    def _index(self, rank: int) -> int:
        if not 0 <= rank < len(self):
            raise IndexError(rank)
        group = bisect_right(self._starts, rank) - 1
        return self._members(group)[rank - self._starts[group]]

    def _members(self, group: int) -> Sequence[int]:
        found = self._sorted.get(group)
        if found is None:
            found = self._sort(group)
            while len(self._sorted) >= _CACHED:
                self._sorted.pop(next(iter(self._sorted)))
            self._sorted[group] = found
        return found

    def _sort(self, group: int) -> Sequence[int]:
        values, low = self._values, self._lows[group]
        if len(self._lows) == 1:
            found: Sequence[int] = range(len(values))
        elif group == len(self._lows) - 1:
            found = [index for index, key in enumerate(self._keys) if key >= low]
        else:
            end = self._lows[group + 1]
            found = [index for index, key in enumerate(self._keys) if low <= key < end]
        figures = set(map(values.__getitem__, found))
        return found if len(figures) == 1 else sorted(found, key=values.__getitem__)

    def rank_of(self, place: int) -> int | None:
        """Return the rank of a place; None: it is not ranked."""
        index = place
        if not isinstance(self._places, range):
            index = bisect_right(self._places, place) - 1
        if not 0 <= index < len(self) or self._places[index] != place:
            return None
        group = bisect_right(self._lows, self._keys[index]) - 1
        value, members = self._values[index], self._members(group)
        # Equal figures stand in the order of their places.
        first = bisect_right(members, (value, index - 1), key=lambda at: (self._values[at], at))
        return self._starts[group] + first

    def above(self, value: float) -> int:
        """Return the first rank whose figure is larger than ``value``."""
        words = array("H", array("f", (value,)).tobytes())
        key = words[1] if sys.byteorder == "little" else words[0]
        group = bisect_right(self._lows, key) - 1
        if group < 0:
            return 0
        members = self._members(group)
        return self._starts[group] + bisect_right(members, value, key=self._values.__getitem__)


class Spread:
    """Percentiles of the figures above zero of a ranking, and from where on one stands out.

    Attributes:
        first: the first rank with a figure above zero.
        outliers: the first rank of an outlier: far beyond the upper quarter and the median.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self.first = ranking.above(0.0)
        self.count = len(ranking) - self.first
        self.outliers = len(ranking)
        if self.count:
            low, middle, high = (self.share(part) for part in (0.25, 0.5, 0.75))
            self.limit = max(high + 3 * (high - low), 1.5 * middle)
            self.outliers = ranking.above(self.limit)

    def share(self, part: float) -> float:
        """Return the figure below which ``part`` of them lie; 1.0 is the largest. Raises IndexError
        where there is none."""
        return self._ranking.value(self.first + round((self.count - 1) * part))
