"""Shapefiles as a source: encoding of text, deleted records, lost shapes, values that are none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, override

import numpy as np

from geobatch_tui.execution.vector.formats import lost_geometries
from geobatch_tui.execution.vector.formats.shapefile import dbf_table, row_counts
from geobatch_tui.execution.vector.formats.source_format import (
    AUTO,
    STRICT,
    FeatureCount,
    SourceFormat,
)
from geobatch_tui.execution.vector.ogr import archive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from geobatch_tui.execution.vector.formats.source_format import BatchCheck, OpenLayer
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import Access, VectorPlan

#: The encoding in which OGR gives the text of a table, if it knows that of the file.
_KNOWN = "UTF-8"
#: Where a shape has the number of its points, by the remainder of its type by 10 (Z and M have the
#: same as plain ones). A point has none.
_POINTS_AT = {3: 40, 5: 40, 8: 36}
_SHAPE_HEAD = 44


class Shapefile(SourceFormat):
    """A Shapefile, with its table and index beside it."""

    crs_beside = True

    @override
    def encoding(self, layer: OpenLayer, asked: str) -> tuple[str, str]:
        if asked not in {AUTO, STRICT}:
            return asked, ""
        if layer.info["encoding"] == _KNOWN:
            return "", ""
        if asked == STRICT:
            return "", dbf_table.UNSAID
        encoding = row_counts.asked(layer, row_counts.TABLE, dbf_table.encoding_of)
        found = encoding or dbf_table.ASCII
        is_known = found in {dbf_table.UTF8, dbf_table.WINDOWS}
        return (found if is_known else ""), dbf_table.WARNINGS[found]

    @override
    def count(self, layer: OpenLayer, where: str) -> FeatureCount:
        row_counts.refuse_uneven(layer)
        return FeatureCount(layer.info["features"])

    @override
    def has_deleted(self, place: str) -> bool:
        """Whether records are marked as deleted: windows would overlap."""
        table = Path(place).with_suffix(".dbf")
        if not table.exists():
            return True
        head = np.fromfile(table, np.uint8, dbf_table.HEAD).tobytes()
        count, start, each = dbf_table.layout(head)
        if len(head) < dbf_table.HEAD or not count or not each:
            return True
        flags = np.memmap(table, np.uint8, "r")[start::each][:count]
        return bool((flags == ord("*")).any())

    @override
    def warn(self, layer: OpenLayer, warnings: list[str]) -> None:
        tables = (Path(layer.place).with_suffix(suffix) for suffix in row_counts.TABLE)
        if not archive.is_inside(layer.place) and not any(table.exists() for table in tables):
            warnings.append("there is no .dbf file: features have no attributes")
        row_counts.tell_of_rest(layer, warnings)

    @override
    def access(
        self, path: str, plan: VectorPlan, features: int, stride: int
    ) -> tuple[Access, tuple[int, ...]]:
        return ("drain" if plan.where or self.has_deleted(path) else "window"), ()

    @override
    def batch_check(self, plain: Plain, plan: VectorPlan, schema: pa.Schema) -> BatchCheck | None:
        table = dbf_table.opened(plain, plan, schema)

        def check(features: pa.RecordBatch, _: pa.RecordBatch) -> pa.Array:
            reasons = lost_geometries.reasons_by_id(
                features, lambda ids: with_points(plain.name(), ids)
            )
            return reasons if table is None else table.reasons(features, reasons)

        return check

    @override
    def misread(self, layer: OpenLayer, plain: Plain, features: pa.Table) -> Sequence[int]:
        null = list(lost_geometries.null_ids(features))
        if not (lost := list(with_points(plain.name(), null)) if null else []):
            row_counts.refuse_uneven(layer)
        return lost


def with_points(path: str, records: list[int]) -> Iterator[int]:
    """Choose the ``records`` whose shape in the file is not null, and has points."""
    index = archive.Plain(path, path).beside(*row_counts.INDEX)
    if index is None:
        return
    with index.open("rb") as places, Path(path).open("rb") as file:
        for number in records:
            places.seek(row_counts.HEAD + row_counts.ENTRY * number)
            place = places.read(4)
            if len(place) == 4:
                file.seek(int.from_bytes(place, "big") * 2)
                head = file.read(8 + _SHAPE_HEAD)
                length = max(int.from_bytes(head[4:8], "big") * 2, 4)
                if _has_points(head[8 : 8 + length]):
                    yield number


def _has_points(head: bytes) -> bool:
    """Whether a shape has points, by its first bytes; one that is cut off may have had some."""
    if len(head) < 4:
        return True
    kind = int.from_bytes(head[:4], "little")
    at = _POINTS_AT.get(kind % 10)
    if kind == 0 or at is None:
        return kind != 0
    return head[at : at + 4] != bytes(4)
