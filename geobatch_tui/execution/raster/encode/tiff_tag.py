"""Tags of a TIFF directory."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Integers = np.ndarray[Any, np.dtype[Any]]


SHORT, LONG, UNDEFINED, LONG8 = 3, 4, 7, 16


@dataclass(frozen=True, slots=True)
class Tag:
    """One TIFF tag; ``value`` is little-endian."""

    code: int
    type: int
    count: int
    value: bytes


def short(code: int, *values: int) -> Tag:
    """A tag of 16-bit integers."""
    return Tag(code, SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def long(code: int, value: int) -> Tag:
    """A tag of one 32-bit integer."""
    return Tag(code, LONG, 1, struct.pack("<I", value))
