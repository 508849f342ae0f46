"""The step *segmentize*: vertices on long segments, where GDAL puts them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.steps.feature_step import ShapeStep, with_column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.plan import LayerPlan

    type Places = NDArray[np.float64]

#: By GDAL's rule, squares of lengths are alike that differ by less than this share, and a segment
#: may be longer by a hundredth.
_ALIKE, _SLACK = 1e-5, 1e-2
#: Most vertices of a feature: a gigabyte.
_MOST = 2**26
_POINT, _LINE, _POLYGON = 1, 2, 3
_HEADER = 5


class Segmentize(ShapeStep):
    """Cuts long segments in equal parts; heights and measures on the way lie between those of the
    ends."""

    name = "segmentize"
    divisible = False

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del context
        longest = float(step.values["max_length"])
        made: dict[int, bytes] = {}
        for row in _with_long(features, longest).tolist():
            try:
                made[row] = _Segmenter(features.shapes.column[row].as_py(), longest).geometry()
            except _TooManyError as error:
                features.set_aside((row,), str(error))
        return with_column(features, geos.with_values(features.shapes.column, made))

    def growth(self, step: LayerPlan, up: LayerPlan) -> float:
        del step, up
        return 4.0


def _with_long(features: Features, longest: float) -> NDArray[np.int64]:
    """Return the rows that may have a long segment: the way from one part to the next counts as
    one."""
    shapes = features.shapes
    long = np.hypot(np.diff(shapes.x), np.diff(shapes.y)) > longest
    owners = shapes.owners_of(np.flatnonzero(long))
    marks = np.zeros(len(shapes.status), np.bool_)
    marks[owners] = True
    return features.going_on(marks)


class _TooManyError(Exception):
    """A geometry would have more vertices than are made."""


class _Segmenter:
    """Reads the WKB of a geometry from its start to its end, and writes it anew."""

    def __init__(self, data: bytes, longest: float) -> None:
        self._data, self._at, self._longest = data, 0, longest
        self._made = 0

    def geometry(self) -> bytes:
        code = self._number(1)
        base, size = code % 1000, (2, 3, 3, 4)[code // 1000]
        head = self._take(_HEADER)
        if base == _POINT:
            return head + self._take(8 * size)
        if base == _LINE:
            return head + self._line(size)
        count = self._take(4)
        parts = struct.unpack("<I", count)[0]
        each = (self._line(size) if base == _POLYGON else self.geometry() for _ in range(parts))
        return head + count + b"".join(each)

    def _line(self, size: int) -> bytes:
        count = self._number(0)
        self._at += 4
        places = np.frombuffer(self._take(8 * size * count), "<f8").reshape(count, size)
        made = self._cut(places)
        return struct.pack("<I", len(made)) + made.astype("<f8").tobytes()

    def _cut(self, places: Places) -> Places:
        if len(places) < 2:
            return places
        # In one direction, so that neighbours share what they shared.
        if tuple(places[0, :2]) < tuple(places[-1, :2]):
            return self._cut_on_the_way(places[::-1])[::-1]
        return self._cut_on_the_way(places)

    def _cut_on_the_way(self, places: Places) -> Places:
        way = np.diff(places, axis=0)
        square, limit = way[:, 0] * way[:, 0] + way[:, 1] * way[:, 1], self._longest**2
        wanted = np.floor(np.sqrt(square / limit) - _SLACK)
        wanted = np.where(square - limit > _ALIKE * limit, np.maximum(wanted, 0), 0)
        self._made += int(min(wanted.sum(), 2.0**62)) + len(places)
        if self._made > _MOST:
            raise _TooManyError(f"it would have more than {_MOST:,} vertices")
        counts = wanted.astype(np.int64) + 1
        owner = np.repeat(np.arange(len(counts)), counts)
        turn = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        made = places[owner] + turn[:, None] * (way / counts[:, None])[owner]
        made[turn == 0] = places[:-1]  # a zero keeps its sign
        return np.concatenate([made, places[-1:]])

    def _number(self, ahead: int) -> int:
        number: int = struct.unpack_from("<I", self._data, self._at + ahead)[0]
        return number

    def _take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        self._at += size
        return part
