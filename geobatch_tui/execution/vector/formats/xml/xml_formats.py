"""KML and GML as formats of sources: what OGR makes of their coordinates and values is checked.

It takes text that is no number for 0, or leaves out the place; and of several geometries in the
place of one it takes the first, or the last: all without a word. So the file itself is read (see
``kml_elements`` and ``gml_elements``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, override
from xml.parsers.expat import ExpatError

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError, UnsupportedFormatError
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.batch.arrow_arrays import validity
from geobatch_tui.execution.vector.formats.lost_geometries import (
    FIELD,
    MOST_SET_ASIDE,
    NO_GEOMETRY,
    MarksInFile,
    listed,
)
from geobatch_tui.execution.vector.formats.source_format import FeatureCount, SourceFormat
from geobatch_tui.execution.vector.formats.xml.gml_elements import Features
from geobatch_tui.execution.vector.formats.xml.kml_elements import Placemarks
from geobatch_tui.execution.vector.formats.xml.xml_reader import BROKEN, MORE, SOME, VALUE
from geobatch_tui.execution.vector.ogr import archive, layer_info
from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.formats.source_format import OpenLayer, SourceCheck
    from geobatch_tui.execution.vector.formats.xml.xml_reader import XmlReader
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import VectorPlan

OTHER_VALUE = (
    f"{FIELD}s have a whole number beyond the range of 64 bits, or a day or time that there is "
    "none of: OGR reads another value, or null"
)
NO_NUMBERS = "not all of its coordinates are numbers, and OGR reads others in their place"
TOO_MANY = "it has several geometries, or rings, in the place of one, which is all that OGR reads"
_REASONS = {BROKEN: NO_NUMBERS, MORE: TOO_MANY, VALUE: OTHER_VALUE}
#: Where XML says its encoding, and encodings that OGR reads it in.
_HEAD = 200
_ENCODED = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.-]+)", re.ASCII)
_ENCODINGS = frozenset(("utf-8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"))


class _Xml(SourceFormat):
    """A format in XML, whose elements are compared with what OGR reads."""

    def reader(self, schema: pa.Schema) -> XmlReader:
        """Make a reader of features with the attributes of ``schema``."""
        raise NotImplementedError

    def _read(self, plain: Plain, schema: pa.Schema) -> XmlReader:
        """Read a file; raise CorruptSourceError where it is no XML."""
        reader = self.reader(schema)
        try:
            reader.read(plain.name())
        except (ExpatError, ValueError, LookupError) as error:
            raise CorruptSourceError(
                f"{plain.path} cannot be read to its end: {error}",
                hint="repair it as XML: what stands behind that place would be left out",
            ) from error
        return reader

    @override
    def source_check(self, plain: Plain, plan: VectorPlan) -> SourceCheck | None:
        reader = self._read(plain, batch_schema.schema_of(plan))

        def marks(count: int) -> NDArray[np.uint8]:
            return _marks(reader, plain, plan.layer, count, plan.lost)

        known = MarksInFile(plain, plan, marks, np.maximum)

        def check(batch: pa.RecordBatch) -> pa.Array:
            shapes = batch.column(WKB)
            found = known.of_next(batch, needed=bool(shapes.null_count or reader.lines))
            return _reasons(shapes, found)

        return check

    @override
    def misread(self, layer: OpenLayer, plain: Plain, features: pa.Table) -> Sequence[int]:
        reader = self._read(plain, pa.schema([]))
        shapes = features.column(WKB).combine_chunks()
        if not shapes.null_count and not reader.lines:
            return ()
        reasons = _reasons(shapes, _marks(reader, plain, layer.name, len(shapes)))
        return list(features.column(FID).filter(reasons.is_valid()).to_pylist())


class Kml(_Xml):
    """KML, as one of OGR's two drivers reads it."""

    _is_libkml = False

    @override
    def reader(self, schema: pa.Schema) -> XmlReader:
        return Placemarks(is_libkml=self._is_libkml)


class LibKml(Kml):
    """KML, as the other one reads it."""

    _is_libkml = True


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
        if len(missing) == lacking <= MOST_SET_ASIDE:
            return FeatureCount(len(read), tuple((missing + 1).tolist()))
        raise CorruptSourceError(
            f"{layer.path} has {count} features, of which OGR reads {len(read)}",
            hint="repair the geometries of the others; which ones these are is not known, or they "
            "are too many",
        )

    @override
    def lost_reasons(self, path: str, plan: VectorPlan) -> Iterable[str]:
        return (f"OGR cannot read the geometry of feature {number}" for number in plan.lost)


def _marks(
    reader: XmlReader, plain: Plain, layer: str, count: int, lost: tuple[int, ...] = ()
) -> NDArray[np.uint8]:
    """Return the marks of the ``count`` features that OGR reads, in order; it leaves out ``lost``.
    Raises CorruptSourceError where it is not known which of these are broken."""
    marks, lines = reader.marks(layer, plain.place), reader.lines
    if marks is not None and len(marks) == count + len(lost):
        return np.delete(np.frombuffer(bytes(marks), np.uint8), np.array(lost, int) - 1)
    if lines:
        raise CorruptSourceError(
            f"{plain.path} has coordinates that are no numbers, or values or geometries "
            f"that OGR leaves out, in lines {listed(lines)}",
            hint="repair or remove these: which of its features they are is not known",
        )
    return np.zeros(count, np.uint8)


def _reasons(shapes: pa.Array, marks: NDArray[np.uint8] | None) -> pa.Array:
    """Give for each feature what is wrong with it, by its geometry as OGR reads it; null: nothing,
    as without ``marks``."""
    if marks is None:
        return pa.nulls(len(shapes), pa.string())
    unread = (marks == SOME) & ~validity(shapes)
    reasons = [
        NO_GEOMETRY if one else _REASONS.get(other)
        for one, other in zip(unread.tolist(), marks.tolist(), strict=True)
    ]
    return pa.array(reasons, pa.string())
