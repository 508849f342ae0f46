"""Encodes tiles without loss, and proves that each decodes to the same pixels.

Every encoded tile is decoded once and compared. DEFLATE is written by libdeflate and read back by
ISA-L, another implementation, or by libdeflate's own decoder where that is much faster. ISA-L
encodes noise four times as fast, but no tile is left to it: its levels 1 and 2 read memory that
they did not write, so that one tile in a thousand has other bytes, of the same pixels, in another
process. Noise in which a search for matches finds nothing is written by zlib-ng without a search,
by Huffman codes alone. zlib-ng writes what is mostly runs, too, such as tiles of which a small part
lies in the image, masks and classes: libdeflate puts each byte of a run into its tables.
Predictors are checked by their own recurrence: a value is the stored one plus its left neighbour,
so if that holds for every value and its true neighbour, a decoder arrives at the tile. GDAL, which
has its own decoders of all codecs, decodes a sample of the finished file.

Predictors: TIFF 6.0, section 14 (horizontal differencing), and Adobe Photoshop TIFF Technical
Note 3 (floating point).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import imagecodecs
import numpy as np
from zlib_ng import zlib_ng

from geobatch_tui.errors import OperationError, VerifyError
from geobatch_tui.execution.raster.encode.gdal_options import LEVELS
from geobatch_tui.execution.raster.encode.predicted import FLOATING, HORIZONTAL, by_band
from geobatch_tui.execution.raster.encode.tiff_tag import COMPRESSIONS
from geobatch_tui.execution.raster.encode.tile_codec import codec_errors
from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable

    #: Decompressed bytes; an array that was given to be filled is one of them.
    type Expanded = bytes | bytearray | memoryview[int]

    #: Decoders take the number of bytes to expect, or an array to fill.
    type Decoder = Callable[[bytes, int | memoryview], Expanded]

    from geobatch_tui.execution.raster.types import DType, Pixels

#: The level of DEFLATE for tiles of noise.
QUICKEST = 1
#: 2**15 bytes of window are what a decoder has to keep; at 9, most memory, a block of Huffman codes
#: spans most values.
_WINDOW_BITS, _MEMORY = 15, 9
#: Shares of its size to which a tile was compressed between which ISA-L decodes it in .8 to 1.1 of
#: libdeflate's time. Outside, in bands of floats and in images of few colours, it takes 1.3 to 3
#: times as long.
_ISAL = 0.1, 0.6
#: Rows of a tile by which a quick codec judges it, and their bytes: at least so many of both.
TRIED_ROWS, TRIED_BYTES = 8, 4096
#: Tiles that hold little come to less than this share of their bytes. zlib-ng takes .2 to .7 of
#: libdeflate's time for them, and gives .95 to 1.07 of its size (1.3 of three bands that are equal,
#: as it takes no match of three bytes); for fuller ones it takes up to 1.4 of the time. Levels 3
#: and 4 make six times as much of squares of one value as 5 does.
_LITTLE, _LITTLE_LEVEL = 0.1, 5
#: How much larger than with level 1 those rows may be by Huffman codes alone. A tile in which level
#: 1 finds no match comes to 1.0005 of its size, photographs to 1.01 and more.
AS_SMALL = 1.002


def _inflate(data: bytes, size: int | memoryview) -> Expanded:
    least, most = (share * (size if isinstance(size, int) else size.nbytes) for share in _ISAL)
    if least < len(data) < most and imagecodecs.ISAL.available:
        return imagecodecs.isal_decode(data, out=size)
    return imagecodecs.deflate_decode(data, out=size)


def _inflate_checked(data: bytes, size: int | memoryview) -> Expanded:
    return imagecodecs.deflate_decode(data, out=size)


def _deflate(raw: Pixels, level: int) -> Buffer:
    return imagecodecs.deflate_encode(raw, level=level)


def _huffman(raw: Pixels) -> bytes:
    """Encode ``raw`` as DEFLATE without matches: each byte by its Huffman code."""
    encoder = zlib_ng.compressobj(
        QUICKEST, zlib_ng.DEFLATED, _WINDOW_BITS, _MEMORY, zlib_ng.Z_HUFFMAN_ONLY
    )
    return encoder.compress(raw) + encoder.flush()


def _deflate_runs(raw: Pixels) -> bytes:
    """Encode ``raw`` as DEFLATE; quick where matches are long."""
    encoded: bytes = zlib_ng.compress(raw, _LITTLE_LEVEL)
    return encoded


_ENCODERS: dict[str, Callable[[Pixels, int], Buffer]] = {
    "NONE": lambda raw, _level: raw.tobytes(),
    "DEFLATE": _deflate,
    "ZSTD": lambda raw, level: imagecodecs.zstd_encode(raw, level=level),
    "LZW": lambda raw, _level: imagecodecs.lzw_encode(raw),
}
_DECODERS: dict[str, Decoder] = {
    "NONE": lambda data, _size: data,
    "DEFLATE": _inflate,
    "ZSTD": lambda data, size: imagecodecs.zstd_decode(data, out=size),
    "LZW": lambda data, size: imagecodecs.lzw_decode(data, out=size),
}


def check(compress: str, level: int, predictor: int, dtype: str) -> None:
    """Refuse a combination that this module cannot write.

    Raises:
        OperationError: naming the codec, level, predictor or dtype at fault.
    """
    kind = np.dtype(dtype).kind
    if compress not in COMPRESSIONS:
        raise OperationError(f"no codec {compress!r}; known: {', '.join(COMPRESSIONS)}")
    first, last = LEVELS.get(compress, (level, level))
    if not first <= level <= last:
        raise OperationError(f"{compress} has levels {first} to {last}, not {level}")
    if predictor not in (1, HORIZONTAL, FLOATING) or (predictor != 1 and compress == "NONE"):
        raise OperationError(f"predictor {predictor} does not go with {compress}")
    if (predictor == HORIZONTAL and kind == "c") or (predictor == FLOATING and kind != "f"):
        raise OperationError(f"predictor {predictor} does not go with {dtype} pixels")


@dataclass(frozen=True, slots=True)
class Codec:
    """A lossless codec: TIFF compression by name, its level, the predictor.

    ``quick``: a tile of which DEFLATE at its quickest level cannot halve a few rows is encoded at
    that level, or by Huffman codes alone if those make the rows hardly larger; one of which it
    leaves less than a tenth is encoded by the library that is quick at runs. Which it is depends on
    the tile alone.
    """

    compress: str
    level: int
    predictor: int
    quick: bool = False
    exact: ClassVar[bool] = True
    blurs: ClassVar[bool] = False

    def store(self, tile: Pixels) -> tuple[bytes, Pixels]:
        return self.encode(tile), tile

    def encode(self, tile: Pixels) -> bytes:
        """Encode a C-contiguous little-endian tile (height, width, samples), and read it back.

        The same tile always gives the same bytes, within one version of the library.

        Raises:
            VerifyError: the encoder failed, or its bytes decode to something else.
        """
        rows = _rows(tile, self.predictor)
        predicted = tile if self.predictor == 1 else _differences(rows, tile.shape[2])
        with codec_errors(f"{self.compress} could not encode a tile"):
            quickest = _quickest(predicted) if self.quick else None
            own = _ENCODERS[self.compress]
            data = bytes(quickest(predicted) if quickest else own(predicted, self.level))
        if not data:
            raise VerifyError(f"{self.compress} encoded a tile to nothing")
        raw = _expanded(f"{self.compress} tile", data, tile.nbytes, _DECODERS[self.compress])
        if not _holds(raw, rows, tile.shape[2] if self.predictor != 1 else 0):
            raise VerifyError(
                f"a tile encoded with {self.compress} (level {self.level}, predictor "
                f"{self.predictor}) decodes to other pixels"
            )
        return data

    def decode(
        self, data: bytes, shape: tuple[int, ...], dtype: DType, *, foreign: bool = False
    ) -> Pixels:
        """Return the tile that ``data`` decodes to.

        ``foreign``: the bytes have no other checksum, so the one within is verified, which ISA-L
        does not do.

        Raises:
            VerifyError: the bytes are damaged or hold another number of pixels.
        """
        size = int(np.prod(shape)) * dtype.itemsize
        careful = foreign and self.compress == "DEFLATE"
        decode = _inflate_checked if careful else _DECODERS[self.compress]
        raw = _expanded(f"{self.compress} tile", data, size, decode)
        return _unpredict(raw, shape, dtype, self.predictor)


def expand(compress: str, data: bytes, out: Pixels) -> None:
    """Decompress foreign ``data`` into ``out``, an array of bytes that it fills. The checksum of
    DEFLATE is verified.

    Raises:
        VerifyError: the bytes are damaged, or hold another number of pixels.
    """
    if compress == "NONE" and len(data) == len(out):
        out[:] = np.frombuffer(data, np.uint8)
        return
    decode = _inflate_checked if compress == "DEFLATE" else _DECODERS[compress]
    _expanded(f"{compress} block", data, memoryview(out), decode)


def _expanded(what: str, data: bytes, out: int | memoryview, decode: Decoder) -> Expanded:
    """Decompress ``data`` into ``out``, or to so many bytes; a predictor is not undone."""
    size = out if isinstance(out, int) else out.nbytes
    with codec_errors(f"a {what} cannot be decoded"):
        raw = decode(data, out)
    if len(raw) != size:
        raise VerifyError(f"a {what} holds {len(raw)} bytes, not {size}")
    return raw


def _rows(tile: Pixels, predictor: int) -> Pixels:
    """Return the rows (height, n) of whole numbers whose differences a predictor takes; bytes
    without one."""
    height, width, samples = tile.shape
    if predictor == 1:
        return tile.reshape(height, -1).view(np.uint8)
    size = tile.dtype.itemsize
    if predictor == HORIZONTAL:
        return tile.view(f"<u{size}").reshape(height, -1)
    rows: Pixels = np.empty((height, width * samples * size), np.uint8)
    pixel_loops.split_bytes(tile.view(f"<u{size}").reshape(height, -1), rows)
    return rows


def _quickest(rows: Pixels) -> Callable[[Pixels], Buffer] | None:
    """Return what encodes ``rows`` soonest if a few, evenly spread over the tile, show that DEFLATE
    can leave out little of them, or all but a little; None if they are neither."""
    count = max(TRIED_ROWS, -(-TRIED_BYTES // rows[0].nbytes))
    step = max(len(rows) // count, 1)
    some = np.ascontiguousarray(rows[step // 2 :: step])
    size = len(bytes(_deflate(some, QUICKEST)))
    if size < _LITTLE * some.nbytes:
        return _deflate_runs
    if 2 * size < some.nbytes:
        return None
    if len(_huffman(some)) <= AS_SMALL * size:
        return _huffman
    return partial(_deflate, level=QUICKEST)


def _differences(rows: Pixels, distance: int) -> Pixels:
    out = np.empty_like(rows)
    pixel_loops.differences(rows, distance, out)
    return out


def _unpredict(raw: Expanded, shape: tuple[int, ...], dtype: DType, predictor: int) -> Pixels:
    if predictor == HORIZONTAL:
        unsigned = np.frombuffer(raw, f"<u{dtype.itemsize}").reshape(shape)
        whole: Pixels = imagecodecs.delta_decode(unsigned, axis=-2)
        return whole.view(dtype)
    values: Pixels = np.frombuffer(raw, dtype).reshape(shape)
    if predictor == FLOATING and shape[2] == 1:
        # Five times as fast as imagecodecs; the bytes are written over.
        own: Pixels = np.array(np.frombuffer(raw, np.uint8))
        return by_band(own, shape, dtype, FLOATING).reshape(shape)
    return imagecodecs.floatpred_decode(values, axis=-2) if predictor == FLOATING else values


def _holds(raw: Expanded, rows: Pixels, distance: int) -> bool:
    """Whether ``raw``, decompressed, are the differences of ``rows`` over ``distance``, or, if that
    is 0, the rows. They are compared as bytes: NaN equals itself, 0.0 differs from -0.0."""
    stored = np.frombuffer(raw, rows.dtype).reshape(rows.shape)
    if not distance:
        return np.array_equal(stored, rows)
    wrong = np.zeros(1, np.uint8)
    pixel_loops.are_differences(stored, rows, distance, np.empty(rows.shape[1], rows.dtype), wrong)
    return not wrong[0]
