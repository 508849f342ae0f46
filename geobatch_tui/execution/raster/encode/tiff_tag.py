"""Tags of a TIFF directory: their codes, by the names of TIFF 6.0, and their values as bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# Types of values.
SHORT, LONG, UNDEFINED, LONG8 = 3, 4, 7, 16

# The image, and how a pixel is stored.
NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 254, 256, 257, 258
COMPRESSION, PHOTOMETRIC, FILL_ORDER, SAMPLES_PER_PIXEL = 259, 262, 266, 277
PLANAR_CONFIGURATION, PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT = 284, 317, 320, 338, 339
YCBCR_SUBSAMPLING, REFERENCE_BLACK_WHITE = 530, 532
# Strips and tiles.
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 273, 278, 279
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
# What a codec needs beside its tiles.
JPEG_TABLES, LERC_PARAMETERS = 347, 50674
# Metadata, of GDAL too, and georeference.
XMP, GDAL_METADATA, GDAL_NODATA = 700, 42112, 42113
MODEL_PIXEL_SCALE, MODEL_TIE_POINT = 33550, 33922

#: The value of a tag that is left out (TIFF 6.0, section 8).
DEFAULTS = {
    NEW_SUBFILE_TYPE: 0, FILL_ORDER: 1, SAMPLES_PER_PIXEL: 1, PLANAR_CONFIGURATION: 1,
    PREDICTOR: 1, SAMPLE_FORMAT: 1,
}  # fmt: skip
#: Compression, by GDAL's name for a codec of bytes.
COMPRESSIONS = {"NONE": 1, "LZW": 5, "DEFLATE": 8, "ZSTD": 50000}
#: SampleFormat, by numpy's letter for a kind of number.
SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
#: PhotometricInterpretation of pixels that GDAL hands on as they are stored: white or black is 0,
#: RGB, palette.
STORED_AS_THEY_ARE = frozenset({0, 1, 2, 3})


@dataclass(frozen=True, slots=True)
class TiffForm:
    """Byte order, ``<`` or ``>``, and widths of a classic TIFF or a BigTIFF, as formats of
    :mod:`struct`."""

    order: str
    big: bool

    @property
    def magic(self) -> bytes:
        """The first bytes of a little-endian file."""
        return b"II+\0\x08\0\0\0" if self.big else b"II*\0"

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def counter(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """Code, type, count, and the value or its offset."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def inline(self) -> int:
        """Bytes of the longest value that stands in its entry."""
        return 8 if self.big else 4

    def directory_size(self, entries: int) -> int:
        """Return the bytes of a directory with its pointer to the next, without values outside."""
        head, step = struct.calcsize(self.counter), struct.calcsize(self.entry)
        return head + entries * step + self.inline


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of a directory; ``value`` is little-endian."""

    code: int
    type: int
    count: int
    value: bytes


def short(code: int, *values: int) -> Tag:
    """Return a tag of 16-bit integers."""
    return Tag(code, SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def long(code: int, value: int) -> Tag:
    """Return a tag of one 32-bit integer."""
    return Tag(code, LONG, 1, struct.pack("<I", value))
