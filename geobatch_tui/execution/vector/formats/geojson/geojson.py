"""GeoJSON: features of which OGR reads no geometry, a part of it, or other numbers; and members and
records that are no features."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, override

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.batch.arrow_arrays import lists_with, offsets, validity
from geobatch_tui.execution.vector.formats.geojson import (
    collection,
    geojson_coordinates,
    text_sequence,
)
from geobatch_tui.execution.vector.formats.lost_geometries import (
    LARGEST,
    LEAST,
    LEFT_OUT,
    NO_GEOMETRY,
    TOO_LARGE,
    MarksInFile,
)
from geobatch_tui.execution.vector.formats.source_format import (
    FeatureCount,
    OpenLayer,
    SourceFormat,
)
from geobatch_tui.execution.vector.ogr import archive, errors
from geobatch_tui.execution.vector.ogr.ogr_drivers import SEQUENCE
from geobatch_tui.execution.vector.plan import WKB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.formats.source_format import SourceCheck
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Bytes of the WKB of a geometry without parts.
_EMPTY = 9


class _Json(SourceFormat):
    """Features in JSON, which are compared with what OGR reads where they are doubtful: a geometry
    is empty or looks odd, or a number is at the end of the range of 64 bits."""

    has_member_ids = True
    #: Whether it is a text sequence.
    is_sequence: bool

    def _lost(self, layer: OpenLayer, count: int) -> list[int]:
        """Number what OGR leaves out as it reads ``count`` features."""
        raise NotImplementedError

    @override
    def source_check(self, plain: Plain, plan: VectorPlan) -> SourceCheck | None:
        is_doubtful = geojson_coordinates.are_doubtful(plain.name())

        def marks(count: int) -> NDArray[np.uint8]:
            try:
                found = collection.feature_marks(
                    plain.name(), sequence=self.is_sequence, lost=plan.lost
                )
            except ValueError:  # OGR takes more for JSON
                found = b""
            # Nothing is wrong if it is not known which is which.
            return np.frombuffer(found if len(found) == count else bytes(count), np.uint8)

        known = MarksInFile(plain, plan, marks, np.bitwise_or)

        def check(batch: pa.RecordBatch) -> pa.Array:
            shapes, ends = batch.column(WKB), _at_ends(batch)
            has_empty = shapes.null_count or (np.diff(offsets(shapes)) <= _EMPTY).any()
            found = known.of_next(batch, needed=bool(is_doubtful or has_empty or ends.any()))
            if found is None:
                return pa.nulls(batch.num_rows, pa.string())
            reasons = np.full(batch.num_rows, None, object)
            reasons[found & collection.BROKEN > 0] = LEFT_OUT
            reasons[(found & collection.GEOMETRY > 0) & ~validity(shapes)] = NO_GEOMETRY
            reasons[(found & collection.BEYOND > 0) & ends] = TOO_LARGE
            return pa.array(reasons, pa.string())

        return check

    @override
    def misread(self, layer: OpenLayer, plain: Plain, features: pa.Table) -> Sequence[int]:
        shapes = features.column(WKB)
        wrong = self._lost(layer, len(shapes))
        if not wrong and (shapes.null_count or geojson_coordinates.are_doubtful(plain.name())):
            marks = collection.feature_marks(plain.name(), sequence=self.is_sequence)
            read = np.concatenate([validity(chunk) for chunk in shapes.chunks])
            if len(marks) == len(read):
                flags = np.frombuffer(marks, np.uint8)
                lacking = (flags & collection.GEOMETRY > 0) & ~read
                wrong = (np.flatnonzero(lacking | (flags & collection.BROKEN > 0)) + 1).tolist()
        return wrong


class GeoJson(_Json):
    """A collection of features, or a feature."""

    record = "member"
    is_sequence = False

    @override
    def scan(self, path: str, place: str) -> tuple[int, int] | None:
        """See the protocol: OGR parses the largest feature to say what layers there are."""
        with errors.ogr_errors(path):
            return collection.objects(path, place)

    @override
    def place_to_open(self, layer: OpenLayer) -> str:
        """Return the place as that of a text sequence if it is one, which OGR takes for a feature
        if its second record is no object; raise CorruptSourceError where it goes on otherwise."""
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
    def lost_reasons(self, path: str, plan: VectorPlan) -> Iterable[str]:
        return collection.reasons(path, plan.place or path, plan.lost)

    @override
    def _lost(self, layer: OpenLayer, count: int) -> list[int]:
        goes_on = count < 2 and collection.goes_on(layer.path, layer.place)
        members, _ = collection.objects(layer.path, layer.place)
        return [2] * goes_on + list(collection.lost(layer.path, layer.place, count, members))


class GeoJsonSeq(_Json):
    """A text sequence of features, with or without record separators."""

    knows_count = False  # OGR counts all objects, also those that are no features
    is_sequence = True

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

    @override
    def _lost(self, layer: OpenLayer, count: int) -> list[int]:
        lost = text_sequence.lost(layer.path, count)
        return sorted({*lost, *text_sequence.shared(layer.path, lost)})


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
        if ends["min"].as_py() == LEAST or ends["max"].as_py() == LARGEST:
            wanted = pa.array([LEAST, LARGEST], pa.int64())
            at = pc.is_in(values, value_set=wanted)
            found |= lists_with(column, at) if is_list else at.to_numpy(zero_copy_only=False)
    return found
