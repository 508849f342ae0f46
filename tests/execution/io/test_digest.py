"""CRC-32 is zlib's, of whatever holds bytes."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import pytest

from geobatch_tui.execution.io.digest import crc32

DATA = bytes(range(256)) * 41


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, pa.py_buffer])
@pytest.mark.parametrize("size", [0, 1, 7, 4096, len(DATA)])
def test_it_is_that_of_zlib(kind, size):
    data = DATA[:size]
    assert crc32(kind(data)) == zlib.crc32(data)
    assert crc32(kind(data), 12345) == zlib.crc32(data, 12345)


def test_parts_in_turn_give_that_of_the_whole():
    rows = np.frombuffer(DATA, np.uint8)
    assert crc32(rows[1000:], crc32(rows[:1000])) == zlib.crc32(DATA)
