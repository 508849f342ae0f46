"""Compresses tiles with DEFLATE by the encoder that suits each.

libdeflate looks for strings that come again. Noise has none, and most floats are noise behind their
first bytes: for them ``kernels.streams`` is three to ten times as quick, and its files
are smaller by up to 5 %. Which of the two a tile gets is tried on some of its rows: it depends on
the tile alone, and so do its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from collections.abc import Buffer

    from geobatch_tui.execution.raster.types import Pixels

#: A stream of zlib whose encoder was in a hurry, in a window of 32 KiB.
_HEAD = b"\x78\x01"
#: Tiles of fewer bytes are tried whole; of others, so many bytes, or one in so many.
_SMALL, _TRIED, _SHARE = 2**15, 2**14, 32
#: Places of a tile where rows are tried.
_PLACES = 4
#: How much longer what took a tenth of the time may be.
_LONGER = 1.02
#: What libdeflate makes smaller than its size over this is no noise.
_NOISE = 4
#: Rows of scratch beside one a plane, and numbers in a row; see the loop.
_ROWS, _NUMBERS, _WORDS = 14, 640, 200


def deflate(rows: Pixels, level: int, planes: int) -> Buffer:
    """Compress ``rows`` (h, bytes), of ``planes`` of bytes each, as a stream of zlib: by Huffman's
    codes alone if that is not much longer for a part of them, else by libdeflate at ``level``."""
    height = len(rows)
    if rows.size < _SMALL:
        own, other = plain(rows, planes), imagecodecs.deflate_encode(rows, level=level)
        return own if len(own) <= _LONGER * len(other) else other
    stretch = max(max(rows.size // _SHARE, _TRIED) // (_PLACES * rows.shape[1]), 1)
    firsts = [(2 * place + 1) * height // (2 * _PLACES) for place in range(_PLACES)]
    part = np.concatenate([rows[first : first + stretch] for first in firsts])
    searched = len(imagecodecs.deflate_encode(part, level=level))
    if _NOISE * searched > part.size and len(plain(part, planes)) <= _LONGER * searched:
        return plain(rows, planes)
    return imagecodecs.deflate_encode(rows, level=level)


def plain(rows: Pixels, planes: int) -> bytes:
    """Compress ``rows`` (h, bytes), of ``planes`` of bytes each, by Huffman's codes and runs."""
    work = np.empty((planes + _ROWS, _NUMBERS), np.int64)
    codes, heads = (np.empty((planes + 1, count), np.uint32) for count in (_NUMBERS, _WORDS))
    out = np.empty(most_words(rows.shape, planes), np.uint32)
    state = np.empty(6, np.uint64)
    flat = rows.reshape(-1)
    size = pixel_loops.deflate(flat, rows.shape[1], planes, work, codes, heads, state, out)
    check = imagecodecs.deflate_adler32(flat)
    return b"".join((_HEAD, out.view(np.uint8)[:size].data, check.to_bytes(4, "big")))


def most_words(shape: tuple[int, ...], planes: int) -> int:
    """Return how many words of 32 bits a stream has at most: that of bytes that are stored, each
    plane of a row in a block of its own."""
    height, size = shape
    blocks = height * planes + height * size // 65535 + 2
    return (height * size + 6 * blocks) // 4 + 2
