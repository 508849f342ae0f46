"""Ranges of expressions over whole numbers: whether each result is a finite number."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.params.calc.expression import BINARY, Band, Number, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from geobatch_tui.execution.params.calc.expression import Node

    type Range = tuple[float, float]

#: Operators and functions that give 0 or 1.
_TRUTHS = {name for name, binds in BINARY.items() if binds <= BINARY["<"]} | {
    "!", "isnan", "isnodata",
}  # fmt: skip


def are_bounded(trees: Iterable[Node], dtype: str) -> bool:
    """Whether every result of ``trees``, on bands of ``dtype`` without nodata, is a finite number.

    False where it is not known.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        return False
    limits = np.iinfo(kind)
    every = float(limits.min), float(limits.max)
    return all(_range(tree, every) is not None for tree in trees)


def _range(node: Node, band: Range) -> Range | None:
    """Return the least and the greatest value; None: it may be no finite number."""
    match node:
        case Number(value):
            return (value, value) if math.isfinite(value) else None
        case Band():
            return band
        case Operation(name, operands):
            if name in _TRUTHS:  # even of what is no number
                return 0.0, 1.0
            taken = operands[1:] if name == "?" else operands
            ranges = [_range(operand, band) for operand in taken]
            known = [one for one in ranges if one is not None]
            if len(known) < len(ranges) or name not in _RANGES:
                return None
            found = _RANGES[name](known)
            return found if found and all(map(math.isfinite, found)) else None
    return None


def _hull(ranges: Sequence[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _sum(ranges: Sequence[Range]) -> Range:
    return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def _opposite(ranges: Sequence[Range]) -> Range:
    low, high = ranges[-1]
    return -high, -low


def _product(ranges: Sequence[Range]) -> Range:
    ends = [a * b for a in ranges[0] for b in ranges[1]]
    return min(ends), max(ends)


def _quotient(ranges: Sequence[Range]) -> Range | None:
    low, high = ranges[1]
    return None if low <= 0 <= high else _product([ranges[0], (1 / high, 1 / low)])


#: The range of what an operation gives, by those of what it takes.
_RANGES: Mapping[str, Callable[[Sequence[Range]], Range | None]] = MappingProxyType(
    {
        "+": _sum,
        "sum": _sum,
        "avg": _hull,
        "min": _hull,
        "max": _hull,
        "?": _hull,
        "neg": _opposite,
        "-": lambda ranges: _sum([ranges[0], _opposite(ranges)]),
        "*": _product,
        "/": _quotient,
        "abs": lambda ranges: (0.0, max(map(abs, ranges[0]))),
        "sign": lambda _: (-1.0, 1.0),
        "rint": lambda ranges: (ranges[0][0] - 1, ranges[0][1] + 1),
        "sqrt": lambda ranges: (0.0, 1 + ranges[0][1]) if ranges[0][0] >= 0 else None,
    }
)
