"""Coasts and borders of the world: Natural Earth 1:110m, public domain (naturalearthdata.com).

``world.bin`` was made by ``benchmarks/make_outline.py``. It is compressed by zlib; each line is its
kind (a byte), its number of points, and the points, first absolute, then as steps: signed numbers
of ``STEP`` degrees in zigzag base 128, low digits first, as in Protocol Buffers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COAST: Final = 0
BORDER: Final = 1
STEP: Final = 0.05
"""Degrees: a twentieth is finer than a dot of braille until a region of 10 degrees fills it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A coast or a border. ``points`` are (longitude, latitude); ``bounds`` west, south, east,
    north; all in degrees."""

    kind: int
    points: tuple[tuple[float, float], ...]
    bounds: tuple[float, float, float, float]


@lru_cache(1)
def world() -> tuple[Line, ...]:
    """Return all lines; the first call takes some milliseconds."""
    data = zlib.decompress(Path(__file__).with_name("world.bin").read_bytes())
    return tuple(_lines(data))


def packed(kind: int, points: Sequence[Sequence[float]]) -> bytes:
    """Pack a line into bytes; points equal at ``STEP`` become one. Empty if only one is left."""
    whole = [(round(lon / STEP), round(lat / STEP)) for lon, lat, *_ in points]
    distinct = [
        point for index, point in enumerate(whole) if not index or point != whole[index - 1]
    ]
    if len(distinct) < 2:
        return b""
    out = bytearray([kind])
    _write(out, len(distinct))
    x = y = 0
    for u, v in distinct:
        _write(out, _zigzag(u - x))
        _write(out, _zigzag(v - y))
        x, y = u, v
    return bytes(out)


def _lines(data: bytes) -> Iterator[Line]:
    numbers = _numbers(data)
    for kind in numbers:
        x = y = 0
        points = []
        for _ in range(next(numbers)):
            x += _signed(next(numbers))
            y += _signed(next(numbers))
            points.append((x * STEP, y * STEP))
        lons, lats = zip(*points, strict=True)
        yield Line(kind, tuple(points), (min(lons), min(lats), max(lons), max(lats)))


def _numbers(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield value
            value = shift = 0


def _write(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _signed(value: int) -> int:
    return -((value + 1) >> 1) if value & 1 else value >> 1
