"""States and figures of chunks as bytes, such that many chunks become one by a bitwise OR.

A chunk is two bytes. ``flags`` has one bit for its state; of many chunks it tells which states are
among them, and a table turns that into the worst. ``steps`` has one bit for the fifth of the scale
that the chunk's figure falls into; of many chunks the highest bit counts.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability.figures import duration, percent, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Code(IntEnum):
    """The look of a pixel: a state, a step of a scale, or neither."""

    ABSENT = 0  #: no chunk
    WAIT = 1
    RUN = 2
    RETRY = 3
    DONE = 4
    DEAD = 5
    RAMP_1 = 6  #: the lowest fifth of the scale of figures
    RAMP_5 = 10
    MIXED = 11  #: several workers
    UNKNOWN = 12  #: done, but the figure is not known


SEAM: Final = 16
"""Added to a code: the last pixel of an item before another item."""
SELECTED: Final = 32
"""Added to a code: inside the selection."""
CURSOR: Final = 64
"""Added to a code: under the cursor."""

STEPS: Final = 5

#: Worst first. What still has to be done hides what is done, never what went wrong.
CODES: Final = {
    ChunkState.DEAD: Code.DEAD,
    ChunkState.RETRY_WAIT: Code.RETRY,
    ChunkState.RUNNING: Code.RUN,
    ChunkState.PENDING: Code.WAIT,
    ChunkState.DONE: Code.DONE,
}
PRECEDENCE: Final = tuple(CODES)
_DONE: Final = 1 << ChunkState.DONE
_FAULTS: Final = 1 << ChunkState.DEAD | 1 << ChunkState.RETRY_WAIT | 1 << ChunkState.RUNNING


def _worst(flags: int) -> int:
    return next((CODES[state] for state in PRECEDENCE if flags >> state & 1), Code.ABSENT)


def _highest(steps: int) -> int:
    return Code.RAMP_1 + steps.bit_length() - 1 if steps else Code.UNKNOWN


def _only(steps: int) -> int:
    return Code.MIXED if steps.bit_count() > 1 else _highest(steps)


def _has_figure(flags: int) -> bool:
    return bool(flags & _DONE) and not flags & _FAULTS


#: Tables for ``bytes.translate``: a state to its flag, flags to the worst state's code.
FLAG: Final = bytes(1 << value if value < 8 else 0 for value in range(256))
WORST: Final = bytes(_worst(flags) for flags in range(256))
#: For modes that show a figure: where it is shown (255) and what is shown elsewhere.
SHOWS: Final = bytes(255 if _has_figure(flags) else 0 for flags in range(256))
OTHERS: Final = bytes(0 if _has_figure(flags) else _worst(flags) for flags in range(256))
HIGHEST: Final = bytes(_highest(steps) for steps in range(256))
ONLY: Final = bytes(_only(steps) for steps in range(256))

#: How bad a code is, for two places that share a cell of the terminal.
RANK: Final = bytes(
    {
        Code.ABSENT: 0,
        Code.UNKNOWN: 1,
        Code.DONE: 2,
        Code.MIXED: 8,
        Code.WAIT: 9,
        Code.RUN: 10,
        Code.RETRY: 11,
        Code.DEAD: 12,
    }.get(code, 3 + code - Code.RAMP_1)  # type: ignore[call-overload]
    for code in range(len(Code) + STEPS - 2)
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Figures in five steps: ``edges`` are the four values between them."""

    edges: tuple[float, float, float, float]
    low: float
    high: float

    @classmethod
    def between(cls, low: float, high: float) -> Scale:
        """Return a scale of five equal steps."""
        step = (high - low) / STEPS
        return cls((low + step, low + 2 * step, low + 3 * step, low + 4 * step), low, high)

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        """Return a scale from the 5th to the 95th percentile of a sample of the values above
        zero."""
        sample = sorted(value for value in values[:: len(values) // 20_000 + 1] if value > 0)
        if not sample:
            return cls.between(0.0, 1.0)
        last = len(sample) - 1
        return cls.between(sample[round(last * 0.05)], sample[round(last * 0.95)])

    def step(self, value: float) -> int:
        """Return the step of a value, 0 to 4."""
        return bisect_right(self.edges, value)


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of the map: states, or one figure of the chunks.

    Attributes:
        figure: column of the ledger, or "" for states.
        text: the figure for people.
        fixed: the scale, where it does not depend on the figures.
    """

    name: str
    figure: str
    text: Callable[[float], str]
    fixed: Scale | None = None

    def scale(
        self, values: Sequence[float], cells: Sequence[Sequence[tuple[int, int]]] = ()
    ) -> Scale:
        """Return a scale of the figures, or where several chunks share a cell, which shows the
        highest, of the cells: on the chunks' own scale nearly all of them were of the last step.

        Args:
            values: a figure a chunk, by position.
            cells: first and end of the positions in each.
        """
        if self.fixed is None and cells:
            parts = ([max(values[start:end], default=0.0) for start, end in runs] for runs in cells)
            values = [max(part, default=0.0) for part in parts]
        return self.fixed or Scale.of(values)

    def steps(self, values: Iterable[float], scale: Scale) -> bytes:
        """Return a byte a figure, with the bit of its step."""
        if self.name in WHO:
            return bytes(1 << (int(value) - 1) % STEPS if value else 0 for value in values)
        edges = scale.edges
        return bytes(_BITS[bisect_right(edges, value)] for value in values)

    @property
    def table(self) -> bytes:
        """Table from steps to codes, for ``bytes.translate``."""
        return ONLY if self.name in WHO else HIGHEST


#: Modes that say who did a chunk: their figures are numbers without an order.
WHO: Final = frozenset({"worker", "node"})
_BITS: Final = tuple(1 << step for step in range(STEPS))
_NO_SCALE: Final = Scale.between(0.0, 1.0)


def _worker(value: float) -> str:
    return f"{value:.0f}" if value else "-"


def _node(value: float) -> str:
    return f"node {value:.0f}" if value else "-"


def _share(value: float) -> str:
    return percent(round(value * 1000), 1000)


MODES: Final = (
    Mode("state", "", str, _NO_SCALE),
    Mode("duration", "seconds", partial(duration, fine=True)),
    Mode("attempts", "attempts", "{:.0f}".format, Scale((1.5, 2.5, 3.5, 4.5), 1, 5)),
    Mode("memory", "rss_bytes", partial(size, room=7)),
    Mode("worker", "worker", _worker, _NO_SCALE),
    Mode("node", "node", _node, _NO_SCALE),
    Mode("nodata", "nodata", _share, Scale.between(0.0, 1.0)),
)
