"""GeoJSON: features of which OGR reads no geometry, a part of it, or other numbers; and members and
records that are no features."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, override

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.batch.wkb_coordinates import validity
from geobatch_tui.execution.vector.formats.geojson import (
    collection,
    geojson_coordinates,
    text_sequence,
)
from geobatch_tui.execution.vector.formats.lost_geometries import LEFT_OUT, NO_GEOMETRY, TOO_LARGE
from geobatch_tui.execution.vector.formats.source_format import (
    FeatureCount,
    OpenLayer,
    SourceFormat,
)
from geobatch_tui.execution.vector.ogr import archive, errors, layer_info
from geobatch_tui.execution.vector.ogr.ogr_drivers import SEQUENCE
from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.formats.source_format import SourceCheck
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Bytes of the WKB of a geometry without parts.
_EMPTY = 9


class GeoJson(SourceFormat):
    """A collection of features, or a feature."""

    has_member_ids = True
    record = "member"
    #: Whether it is a text sequence.
    is_sequence = False

    @override
    def scan(self, path: str, place: str) -> tuple[int, int] | None:
        """See the protocol: OGR parses the largest feature to say what layers there are."""
        with errors.ogr_errors(path):
            return collection.objects(path, place)

    @override
    def place_to_open(self, layer: OpenLayer) -> str:
        """Return the place as that of a text sequence if it is one: OGR takes it for one feature
        if its second record is no object.

        Raises:
            CorruptSourceError: something follows the first feature.
        """
        if layer.info["features"] >= 2 or not collection.goes_on(layer.path, layer.place):
            return layer.place
        if archive.is_inside(layer.place) or not text_sequence.is_one(layer.place):
            raise CorruptSourceError(
                f"{layer.path} goes on after its first feature, which is all that OGR reads",
                hint="write one feature a line, as jq -c does, or a FeatureCollection",
            )
        return SEQUENCE + layer.place

    @override
    def count(self, layer: OpenLayer, where: str) -> FeatureCount:
        count = layer.info["features"]
        whole = count if count >= 0 else self.count_by_reading(layer)
        members, largest = layer.scanned or collection.objects(layer.path, layer.place)
        lost = collection.lost(layer.path, layer.place, whole, members)
        return FeatureCount(count, lost, largest=largest)

    @override
    def source_check(self, plain: Plain, plan: VectorPlan) -> SourceCheck | None:
        return _Check(plan, plain, is_sequence=self.is_sequence).reasons

    @override
    def lost_reasons(self, path: str, plan: VectorPlan) -> Iterable[str]:
        return collection.reasons(path, plan.place or path, plan.lost)

    @override
    def misread(
        self, layer: OpenLayer, plain: Plain, ids: pa.ChunkedArray, shapes: pa.ChunkedArray
    ) -> Sequence[int]:
        wrong = self._lost(layer, len(shapes))
        if not wrong and (shapes.null_count or geojson_coordinates.are_doubtful(plain.name())):
            marks = collection.feature_marks(plain.name(), sequence=self.is_sequence)
            read = np.concatenate([validity(chunk) for chunk in shapes.chunks])
            if len(marks) == len(read):
                flags = np.frombuffer(marks, np.uint8)
                lacking = (flags & collection.GEOMETRY > 0) & ~read
                wrong = (np.flatnonzero(lacking | (flags & collection.BROKEN > 0)) + 1).tolist()
        return wrong

    def _lost(self, layer: OpenLayer, count: int) -> list[int]:
        """Number the members that OGR leaves out as it reads ``count`` features."""
        goes_on = count < 2 and collection.goes_on(layer.path, layer.place)
        return [2] * goes_on + list(collection.lost(layer.path, layer.place, count))


class GeoJsonSeq(GeoJson):
    """A text sequence of features, with or without record separators."""

    record = "record"
    knows_count = False  # OGR counts all objects, also those that are no features
    is_sequence = True

    @override
    def scan(self, path: str, place: str) -> tuple[int, int] | None:
        return None

    @override
    def place_to_open(self, layer: OpenLayer) -> str:
        return layer.place

    @override
    def count(self, layer: OpenLayer, where: str) -> FeatureCount:
        count = self.count_by_reading(layer)
        lost = text_sequence.lost(layer.path, count)
        shared = text_sequence.shared(layer.path, lost)
        largest = collection.needed(text_sequence.largest(layer.path))
        return FeatureCount(count, lost, shared, largest)

    @override
    def lost_reasons(self, path: str, plan: VectorPlan) -> Iterable[str]:
        both = (plan.lost, plan.shared)
        return chain.from_iterable(text_sequence.reasons(path, some) for some in both)

    def _lost(self, layer: OpenLayer, count: int) -> list[int]:
        lost = text_sequence.lost(layer.path, count)
        return sorted({*lost, *text_sequence.shared(layer.path, lost)})


GEOJSON, GEOJSONSEQ = GeoJson(), GeoJsonSeq()


class _Check:
    """Compares the features of a source with what the file says of each, where they are doubtful:
    a geometry is empty or looks odd, or a number is at the end of the range of 64 bits."""

    def __init__(self, plan: VectorPlan, plain: Plain, *, is_sequence: bool) -> None:
        self._plan, self._plain, self._is_sequence = plan, plain, is_sequence
        self._marks: NDArray[np.uint8] | None = None
        self._ids = self._order = np.empty(0, np.int64)
        self._seen = 0
        self._is_doubtful = geojson_coordinates.are_doubtful(plain.name())

    def reasons(self, batch: pa.RecordBatch) -> pa.Array:
        """Give for each of the next features what is wrong with it; null: nothing."""
        start, self._seen = self._seen, self._seen + batch.num_rows
        ends = _at_ends(batch)
        if not (self._is_doubtful or _has_empty(batch.column(WKB)) or ends.any()):
            return pa.nulls(batch.num_rows, pa.string())
        if self._marks is None:
            self._marks = self._read_marks()
        if self._plan.where:
            places = self._order[np.searchsorted(self._ids, batch.column(FID), sorter=self._order)]
        else:
            places = np.arange(start, self._seen)
        marks = self._marks[places]
        reasons = np.full(batch.num_rows, None, object)
        reasons[marks & collection.BROKEN > 0] = LEFT_OUT
        reasons[(marks & collection.GEOMETRY > 0) & ~validity(batch.column(WKB))] = NO_GEOMETRY
        reasons[(marks & collection.BEYOND > 0) & ends] = TOO_LARGE
        return pa.array(reasons, pa.string())

    def _read_marks(self) -> NDArray[np.uint8]:
        """Read what each feature has; if it is not known which is which, nothing."""
        plan, place = self._plan, self._plain.place
        count = plan.count - len(plan.aside)
        if plan.where:
            # Only their ids tell which of all features are left.
            self._ids = layer_info.all_ids(place, place, plan.layer)
            self._order, count = np.argsort(self._ids), len(self._ids)
        try:
            marks = collection.feature_marks(
                self._plain.name(), sequence=self._is_sequence, lost=plan.lost
            )
        except ValueError:  # OGR takes more for JSON
            marks = b""
        return np.frombuffer(marks if len(marks) == count else bytes(count), np.uint8)


def _has_empty(shapes: pa.Array) -> bool:
    """Whether a geometry is null, or has no parts."""
    offsets = np.frombuffer(shapes.buffers()[1], np.int32)[shapes.offset :][: len(shapes) + 1]
    return bool(shapes.null_count or (np.diff(offsets) <= _EMPTY).any())


def _at_ends(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Mark features with a whole number that is the least or the largest of 64 bits."""
    import pyarrow.compute as pc

    found = np.zeros(batch.num_rows, np.bool_)
    for column in batch.columns:
        is_list = pa.types.is_list(column.type)
        values = column.flatten() if is_list else column
        if not pa.types.is_int64(values.type):
            continue
        ends = pc.min_max(values)
        if ends["min"].as_py() == collection.LEAST or ends["max"].as_py() == collection.LARGEST:
            wanted = pa.array([collection.LEAST, collection.LARGEST], pa.int64())
            at = pc.is_in(values, value_set=wanted).to_numpy(zero_copy_only=False)
            found[pc.list_parent_indices(column).to_numpy()[at] if is_list else at] = True
    return found
