"""Durations, byte sizes and failure limits as people write them.

Each ``format_*`` gives the shortest text that its ``parse_*`` reads back as the same value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "ms": 0.001}
_BYTES: dict[str, int] = {
    "": 1,
    "b": 1,
    **{f"{p}b": 1000 ** (n + 1) for n, p in enumerate("kmgt")},
    **{f"{p}ib": 1024 ** (n + 1) for n, p in enumerate("kmgt")},
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[dhms])\s*", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")

DURATION_EXAMPLES = "'90s', '1m30s', '6h' or a number of seconds"
SIZE_EXAMPLES = "'512MB', '4GiB' or a number of bytes"
LIMIT_EXAMPLES = "'100' (failures) or '5%' (of all chunks)"


def parse_duration(value: str | float) -> float:
    """Parse seconds: ``"0.5s"``, ``"6h"``, ``"1m30s"``, ``"2d 3h"`` or a plain number of seconds.
    Raises ValueError for anything else, and for negative or infinite numbers."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be {DURATION_EXAMPLES}")  # noqa: TRY004 - pydantic wants it
    if isinstance(value, str):
        value = _sum_parts(value.strip())
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"must not be negative or infinite; write {DURATION_EXAMPLES}")
    return float(value)


def _sum_parts(text: str) -> float:
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    position, total, largest = 0, 0.0, math.inf
    while match := _DURATION_PART.match(text, position):
        unit = _SECONDS[match[2].lower()]
        if unit >= largest:
            raise ValueError(f"{text!r} has its parts out of order; write {DURATION_EXAMPLES}")
        position, total, largest = match.end(), total + float(match[1]) * unit, unit
    if position != len(text) or not text:
        raise ValueError(f"must be {DURATION_EXAMPLES}")
    return total


def format_duration(seconds: float) -> str:
    """Write a duration: ``90.0`` is ``"1m30s"``, ``0.5`` is ``"0.5s"``.

    Fractions stay in seconds, so that no digit is lost.
    """
    if seconds != int(seconds) or seconds < 60 or seconds >= 2**53:
        return f"{_decimal(seconds)}s"
    rest, parts = int(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _decimal(number: float) -> str:
    """Return the shortest decimal text without an exponent."""
    if number == int(number):
        return str(int(number))
    return format(Decimal(repr(number)), "f")


def parse_bytes(value: str | int) -> int:
    """Parse bytes: ``"4GiB"``, ``"512MB"``, ``"1.5 GiB"`` or a whole number. KB is 1000, KiB 1024.
    Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"must be {SIZE_EXAMPLES}")  # noqa: TRY004 - pydantic wants it
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"must not be negative; write {SIZE_EXAMPLES}")
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise ValueError(f"must be {SIZE_EXAMPLES}")
    factor = _BYTES[match[2].lower()]
    return int(match[1]) * factor if "." not in match[1] else round(float(match[1]) * factor)


def format_bytes(size: int) -> str:
    """Write a byte size in the largest binary unit that divides it, else in bytes."""
    for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{prefix}iB"
    return f"{size}B"


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """The chunks that may fail: a ``count``, or a ``share`` of all (0 to 1); one of them is set."""

    count: int | None = None
    share: float | None = None

    def __str__(self) -> str:
        if self.share is not None:
            return f"{_decimal(float(format(self.share * 100, '.12g')))}%"
        return str(self.count)


def parse_failure_limit(value: str | int) -> FailureLimit:
    """Parse a limit: ``"100"``, ``100`` or ``"5%"``. Raises ValueError for anything else, and for
    shares over 100 %."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"must be {LIMIT_EXAMPLES}")  # noqa: TRY004 - pydantic wants it
    text = str(value).strip()
    if text.isdecimal() and text.isascii():
        return FailureLimit(count=int(text))
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError(f"must be {LIMIT_EXAMPLES}")
    if float(match[1]) > 100:
        raise ValueError(f"must be at most 100%; write {LIMIT_EXAMPLES}")
    return FailureLimit(share=float(match[1]) / 100)
