"""CRC-32 by libdeflate: the number that zlib gives, nine times as fast."""

from __future__ import annotations

from typing import Any

from imagecodecs import deflate_crc32


def crc32(data: Any, value: int = 0) -> int:
    """CRC-32 of bytes, or of what lies behind those that have the CRC-32 ``value``."""
    return int(deflate_crc32(data, value))
