"""Tells GeoTIFFs that are alike but for their place, without GDAL.

To open a file takes GDAL a millisecond or two; a mosaic may have a hundred thousand. Most of them
have the same first directory, but for the places of their blocks and their tie point: what GDAL
says of one of them it says of all.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.tiff_tag import TiffForm

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes at the beginning in which the directory and its values lie, or the file is left to GDAL.
_HEAD = 16384
#: Tags that may differ: the place, where blocks lie, and what is said in words.
_OTHER = frozenset({
    tag.MODEL_TIE_POINT, tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS, tag.STRIP_OFFSETS,
    tag.STRIP_BYTE_COUNTS, tag.GDAL_METADATA, 270, 305, 306,
})  # fmt: skip
#: Directories of overviews and masks that are followed, bytes that one of them may take, and the
#: tags of theirs that matter.
_DIRECTORIES, _OTHER_BYTES = 64, 1024
_TOLD = frozenset({tag.NEW_SUBFILE_TYPE, tag.IMAGE_WIDTH, tag.IMAGE_LENGTH, tag.BITS_PER_SAMPLE})
#: Bytes of a value, by TIFF's types.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
#: A tie point at the corner of the first pixel: column, row and height 0, then x, y and height.
_TIE = 6


@dataclass(frozen=True, slots=True)
class Twin:
    """A file that is known without GDAL: what it is but for its place, and the place of its corner
    in the units of its CRS."""

    kind: bytes
    x: float
    y: float


@dataclass(slots=True)
class Twins:
    """Looks at files one after the other; keeps the names in each directory."""

    _names: dict[str, Counter[str]] = field(default_factory=dict)

    def look(self, path: str) -> Twin | None:
        """Return what ``path`` is; None if only GDAL can tell: it is no plain GeoTIFF with a tie
        point, or has other files of its name beside it, as masks and world files are. Raises
        OSError if it cannot be read."""
        directory, name = os.path.split(path)
        known = self._names.get(directory)
        if known is None:
            names = os.listdir(directory or ".")  # noqa: PTH208
            known = self._names[directory] = Counter(map(_stem, names))
        if known[_stem(name)] != 1 or not name.lower().endswith((".tif", ".tiff")):
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 -- thousands of them
            head = file.read(_HEAD)
            return _twin(head, file.fileno())


def _stem(name: str) -> str:
    return name.partition(".")[0].lower()


def _twin(head: bytes, fd: int) -> Twin | None:
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return None
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version not in (42, 43):
        return None
    form = TiffForm(order, version == 43)
    try:
        return _read(head, fd, form)
    except (struct.error, KeyError):
        return None


def _read(head: bytes, fd: int, form: TiffForm) -> Twin | None:
    """Raises struct.error or KeyError where the directory is odd, or lies beyond ``head``."""
    (offset,) = struct.unpack_from(form.pointer, head, 8 if form.big else 4)
    (count,) = struct.unpack_from(form.counter, head, offset)
    at, step = offset + struct.calcsize(form.counter), struct.calcsize(form.entry)
    state = hashlib.blake2b(head[:4], digest_size=16)
    tie: tuple[float, ...] = ()
    for start in range(at, at + count * step, step):
        code, kind, values, inline = struct.unpack_from(form.entry, head, start)
        if code in _OTHER and code != tag.MODEL_TIE_POINT:
            continue
        length = _SIZES[kind] * values
        value = inline[:length]
        if length > form.inline:
            (place,) = struct.unpack(form.pointer, inline)
            value = head[place : place + length]
            if len(value) < length:
                return None
        if code == tag.MODEL_TIE_POINT:
            if values != _TIE or kind != 12:
                return None
            tie = struct.unpack(f"{form.order}{_TIE}d", value)
        else:
            state.update(struct.pack("<HHQ", code, kind, values) + value)
    if not tie or any(tie[:3]):
        return None
    (others,) = struct.unpack_from(form.pointer, head, at + count * step)
    _read_others(head, fd, form, others, state.update)
    return Twin(state.digest(), tie[3], tie[4])


def _read_others(
    head: bytes, fd: int, form: TiffForm, offset: int, tell: Callable[[bytes], None]
) -> None:
    """Tell of the directory at ``offset`` and those behind it. Raises KeyError if they are odd."""
    for _ in range(_DIRECTORIES):
        if not offset:
            return
        offset = _read_other(head, fd, form, offset, tell)
    raise KeyError("too many directories")


def _read_other(
    head: bytes, fd: int, form: TiffForm, offset: int, tell: Callable[[bytes], None]
) -> int:
    """Tell what the directory at ``offset`` is of: a mask, or an overview, of which size. Return
    the offset of the next; 0: there is none."""
    data = head[offset : offset + _OTHER_BYTES]
    if len(data) < _OTHER_BYTES:
        data = os.pread(fd, _OTHER_BYTES, offset)
    (count,) = struct.unpack_from(form.counter, data)
    at, step = struct.calcsize(form.counter), struct.calcsize(form.entry)
    for start in range(at, at + count * step, step):
        code, kind, _, inline = struct.unpack_from(form.entry, data, start)
        if code in _TOLD:
            tell(struct.pack("<HH", code, kind) + inline)
    (after,) = struct.unpack_from(form.pointer, data, at + count * step)
    return int(after)
