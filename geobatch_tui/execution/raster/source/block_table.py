"""Where the blocks of a GeoTIFF lie and how they are encoded, read from its first directory.

GDAL knows this too, and tells none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.raster.source.tiff_directory import first_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.source_facts import Facts

#: TIFF's numbers of the codecs that are decoded here, by name.
_CODECS = {1: "NONE", 5: "LZW", 8: "DEFLATE", 32946: "DEFLATE", 50000: "ZSTD"}
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL, _STRIPS, _SAMPLES, _ROWS, _STRIP_COUNTS, _PLANAR = 266, 273, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_COUNTS = 317, 322, 323, 324, 325
_FORMAT = 339
_DEFAULTS = {
    _SUBFILE: 0, _PHOTOMETRIC: 1, _FILL: 1, _SAMPLES: 1, _PLANAR: 1, _PREDICTOR: 1, _FORMAT: 1,
}  # fmt: skip
_WANTED = frozenset({
    *_DEFAULTS, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _STRIPS, _ROWS, _STRIP_COUNTS, _TILE_WIDTH,
    _TILE_HEIGHT, _TILES, _TILE_COUNTS,
})  # fmt: skip
_FORMATS = {"u": 1, "i": 2, "f": 3}
#: White is 0 or black is, RGB, palette: pixels that GDAL hands on as they are stored.
_PHOTOMETRICS = frozenset({0, 1, 2, 3})


@dataclass(frozen=True, slots=True)
class BlockTable:
    """The blocks of one image.

    ``width`` and ``height`` are those of a block in pixels, ``across`` and ``down`` count the
    blocks of a plane, of which there are ``planes`` with ``samples`` bands each. ``rows`` is the
    height of the image. ``bits`` are those of a sample. ``compress`` is empty for a codec that is
    not decoded here. ``plain``: pixels are stored as numpy's own, but for codec and ``predictor``.
    ``strips``: the last row of blocks ends with the image. ``offsets`` and ``counts`` are in bytes,
    one for each block.
    """

    width: int
    height: int
    across: int
    down: int
    planes: int
    samples: int
    rows: int
    bits: int
    compress: str
    predictor: int
    plain: bool
    strips: bool
    offsets: Any
    counts: Any

    @classmethod
    def of(cls, path: str, facts: Facts) -> BlockTable | None:
        """Of the file at ``path``, of which GDAL says ``facts``; None if it is no GeoTIFF, or its
        blocks cannot be told."""
        if facts.driver != "GTiff":
            return None
        try:
            order, tags = first_directory(Path(path), _WANTED)
        except CorruptSourceError:
            return None  # GDAL has its own words for it
        return _table(order, tags, facts)

    @property
    def full_size(self) -> int:
        """Bytes of a decoded block of full height."""
        return self.height * -(-self.width * self.samples * self.bits // 8)

    def length(self, at: int) -> int:
        """Bytes of block ``at``; 0 if it is left out, or claims more than any encoder makes."""
        length = int(self.counts[at])
        return length if length <= 2 * self.full_size + 1024 else 0

    def under(self, left: int, top: int, right: int, bottom: int) -> Iterator[tuple[int, int]]:
        """Row and column of the blocks under these bounds in pixels."""
        for row in range(max(top, 0) // self.height, min(-(-bottom // self.height), self.down)):
            for col in range(max(left, 0) // self.width, min(-(-right // self.width), self.across)):
                yield row, col

    def planes_of(self, row: int, col: int) -> range:
        """The blocks at a place, one for each plane."""
        plane = self.across * self.down
        return range(row * self.across + col, plane * self.planes, plane)


def _table(order: str, tags: dict[int, Any], facts: Facts) -> BlockTable | None:
    one = {tag: _one(tags, tag) for tag in _WANTED}
    image = one[_WIDTH], one[_HEIGHT], one[_SAMPLES]
    if image != (facts.width, facts.height, facts.count) or not one[_BITS]:
        return None
    strips = _TILES not in tags
    if strips:
        block = facts.width, min(one[_ROWS] or facts.height, facts.height)
        offsets, counts = tags.get(_STRIPS), tags.get(_STRIP_COUNTS)
    else:
        block = one[_TILE_WIDTH], one[_TILE_HEIGHT]
        offsets, counts = tags[_TILES], tags.get(_TILE_COUNTS)
    if not all(block) or offsets is None or counts is None:
        return None
    across, down = -(-facts.width // block[0]), -(-facts.height // block[1])
    planes = facts.count if one[_PLANAR] == 2 else 1
    if not len(offsets) == len(counts) == across * down * planes:
        return None
    return BlockTable(
        *block,
        across=across,
        down=down,
        planes=planes,
        samples=facts.count // planes,
        rows=facts.height,
        bits=one[_BITS],
        compress=_CODECS.get(one[_COMPRESSION], ""),
        predictor=one[_PREDICTOR],
        plain=order == "<" and _is_plain(tags, one, facts),
        strips=strips,
        offsets=offsets,
        counts=counts,
    )


def _is_plain(tags: dict[int, Any], one: dict[int, int], facts: Facts) -> bool:
    if facts.dtype.startswith("complex"):
        return False
    dtype = np.dtype(facts.dtype)
    alike = all(len(set(np.atleast_1d(tags.get(tag, 0)).tolist())) == 1 for tag in (_BITS, _FORMAT))
    floating = dtype.kind == "f"
    return (
        alike
        and one[_BITS] == dtype.itemsize * 8
        and one[_FORMAT] == _FORMATS[dtype.kind]
        and (one[_SUBFILE], one[_FILL]) == (0, 1)
        and one[_PHOTOMETRIC] in _PHOTOMETRICS
        and one[_PREDICTOR] in ((1, 3) if floating else (1, 2))
    )


def _one(tags: dict[int, Any], tag: int) -> int:
    """The value of a tag, the first of several, or its default; 0 if there is none."""
    found = tags.get(tag)
    return int(found[0]) if found is not None and len(found) else _DEFAULTS.get(tag, 0)
