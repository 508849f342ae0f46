"""Bars of one second for a plot of throughput, from the totals that a run notes.

A smoothed rate hides what an operator must see: a second in which nothing was finished has no bar,
and a pause is another thing than a stall.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Seconds; a longer gap between two notes is a machine that slept.
_ASLEEP: Final = 60.0


class Doing(Enum):
    """What a run did in a second."""

    WORK = "work"
    STILL = "still"  #: nothing was finished, though it could have been
    HELD = "held"  #: paused, or waiting for space, memory or a store
    UNKNOWN = "unknown"  #: nobody noted it


@dataclass(frozen=True, slots=True)
class Total:
    """A count (chunks, units or bytes) at a UNIX time; ``held``: the run was paused or waited."""

    t: float
    value: float
    held: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One second from ``t`` (UNIX time): what was finished in it, and what the run did."""

    t: float
    value: float
    doing: Doing


def bars(totals: Sequence[Total], last: int) -> list[Bar]:
    """Return the bars of the ``last`` seconds that were noted, oldest first; fewer if there are.

    Notes come about once a second, and more seldom while nothing moves: what came between two is
    spread evenly. A total that falls begins anew: another run.
    """
    found: list[Bar] = []
    for before, after in pairwise(totals[-(last + 1) :]):
        seconds = after.t - before.t
        count = max(1, round(seconds))
        gained = after.value - before.value
        if gained < 0:
            gained = after.value
        # A pause begins and ends somewhere between two notes.
        doing = Doing.WORK if gained else Doing.HELD if after.held else Doing.STILL
        if seconds > _ASLEEP:
            count, gained, doing = round(_ASLEEP), 0.0, Doing.UNKNOWN
        first = after.t - count
        found += [Bar(first + at, gained / count, doing) for at in range(count)]
    return found[-last:]


def longest_still(shown: Iterable[Bar]) -> int:
    """Return the length in seconds of the longest stall among bars."""
    longest = length = 0
    for bar in shown:
        length = length + 1 if bar.doing is Doing.STILL else 0
        longest = max(longest, length)
    return longest
