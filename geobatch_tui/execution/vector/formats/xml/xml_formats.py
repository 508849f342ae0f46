"""KML and GML as formats of sources: what OGR makes of their coordinates and values is checked."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, override

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError, UnsupportedFormatError
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.formats.source_format import FeatureCount, SourceFormat
from geobatch_tui.execution.vector.formats.xml.gml_elements import Features
from geobatch_tui.execution.vector.formats.xml.kml_elements import Placemarks
from geobatch_tui.execution.vector.formats.xml.xml_checks import Misread
from geobatch_tui.execution.vector.ogr import archive, layer_info
from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.execution.vector.formats.source_format import OpenLayer, SourceCheck
    from geobatch_tui.execution.vector.formats.xml.xml_reader import XmlReader
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Features of GML that are left out one by one; a file with more is refused.
_MOST = 10_000
#: Where XML says its encoding, and encodings that OGR reads it in.
_HEAD = 200
_ENCODED = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.-]+)", re.ASCII)
_ENCODINGS = frozenset(("utf-8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"))


class _Xml(SourceFormat):
    """A format in XML, whose elements are compared with what OGR reads."""

    def reader(self, schema: pa.Schema) -> XmlReader:
        """Make a reader of features with the attributes of ``schema``."""
        raise NotImplementedError

    @override
    def source_check(self, plain: Plain, plan: VectorPlan) -> SourceCheck | None:
        place, count = plain.place, plan.count - len(plan.aside)
        ids = partial(layer_info.all_ids, place, place, plan.layer) if plan.where else None
        reader = self.reader(batch_schema.schema_of(plan))
        misread = Misread(reader, plain, plan.layer, ids, plan.lost)

        def check(batch: pa.RecordBatch) -> pa.Array:
            return misread.reasons(batch.column(WKB), batch.column(FID).to_numpy(), count)

        return check

    @override
    def misread(
        self, layer: OpenLayer, plain: Plain, ids: pa.ChunkedArray, shapes: pa.ChunkedArray
    ) -> Sequence[int]:
        misread = Misread(self.reader(pa.schema([])), plain, layer.name, None)
        numbers = ids.to_numpy()
        reasons = misread.reasons(shapes.combine_chunks(), numbers, len(shapes))
        wrong: list[int] = numbers[~reasons.is_null().to_numpy(zero_copy_only=False)].tolist()
        return wrong


class Kml(_Xml):
    """KML, as one of OGR's two drivers reads it."""

    def __init__(self, *, is_libkml: bool) -> None:
        self._is_libkml = is_libkml

    @override
    def reader(self, schema: pa.Schema) -> XmlReader:
        return Placemarks(is_libkml=self._is_libkml)


class Gml(_Xml):
    """GML, of which OGR leaves out features whose geometry it cannot read."""

    is_counted = True
    record = "feature"
    lost_records = "set aside, as OGR cannot read their geometries"

    @override
    def reader(self, schema: pa.Schema) -> XmlReader:
        return Features(schema)

    @override
    def explain_no_layer(self, path: str, place: str) -> None:
        """Raise UnsupportedFormatError where a file is in an encoding that OGR does not know."""
        with archive.opened(path, place) as file:
            found = _ENCODED.match(file.read(_HEAD))
        if found and (encoding := found[1].decode()).lower() not in _ENCODINGS:
            raise UnsupportedFormatError(
                f"{path} is in the encoding {encoding}, as it says, which OGR does not read in GML",
                hint=f"recode it: iconv -f {encoding} -t UTF-8, and say so in its first line",
            )

    @override
    def count(self, layer: OpenLayer, where: str) -> FeatureCount:
        count = layer.info["features"]
        read = layer_info.all_ids(layer.path, layer.place, layer.name)
        lacking = count - len(read)
        if not lacking:
            return FeatureCount(count)
        # Without ids of their own, or with ids in their order, OGR numbers them.
        missing = np.setdiff1d(np.arange(count), read)
        if len(missing) == lacking <= _MOST:
            return FeatureCount(len(read), tuple((missing + 1).tolist()))
        raise CorruptSourceError(
            f"{layer.path} has {count} features, of which OGR reads {len(read)}",
            hint="repair the geometries of the others; which ones these are is not known, or they "
            "are too many",
        )

    @override
    def lost_reasons(self, path: str, plan: VectorPlan) -> Iterable[str]:
        return (f"OGR cannot read the geometry of feature {number}" for number in plan.lost)


KML, LIBKML, GML = Kml(is_libkml=False), Kml(is_libkml=True), Gml()
