"""The formats of sources by OGR's drivers, and their protocol: what the reading of features asks.

Each method of :class:`SourceFormat` does what is right for a format that OGR reads to its end
without loss. A format overrides what is otherwise with it, in a module of its own in this room if
it is more than a little, and is named in ``FORMATS``.
"""

# ruff: noqa: ARG002  defaults look at few of their arguments
from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, override

import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError, SchemaError
from geobatch_tui.execution.vector.formats import lost_geometries
from geobatch_tui.execution.vector.ogr import layer_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo
    from geobatch_tui.execution.vector.plan import Access, VectorPlan

    #: Gives for each feature what is wrong with it, or null; it takes a batch with the planned
    #: attributes, and the same as OGR gave it.
    type BatchCheck = Callable[[pa.RecordBatch, pa.RecordBatch], pa.Array]
    #: The same, for batches that come in the order of the source, all of them.
    type SourceCheck = Callable[[pa.RecordBatch], pa.Array]
    #: Reads the features of what OGR opens, in its order (see ``read.batch_reader``).
    type Read = Callable[[Plain, VectorPlan], Iterator[pa.RecordBatch]]
    type Bounds = Sequence[float] | None

#: What a job may ask for in place of the name of an encoding: to detect it, or to take UTF-8.
AUTO, STRICT = "auto", "strict"


@dataclass(frozen=True, slots=True)
class OpenLayer:
    """A layer that OGR has opened.

    Attributes:
        path: the source.
        place: what OGR opens of it.
        name: of the layer.
        info: what OGR says of it.
        scanned: what :meth:`SourceFormat.scan` found, if it was asked.
        encoding: of its text, that OGR is to be told; empty: OGR knows it.
    """

    path: str
    place: str
    name: str
    info: LayerInfo
    scanned: tuple[int, int] | None = None
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class FeatureCount:
    """The features that OGR reads of a layer, and what it leaves out.

    Attributes:
        read: features that OGR reads; negative: it does not know.
        lost, shared: as in the plan.
        largest: bytes that OGR needs for the largest feature; 0: a chunk has room for it.
        none_left: ``where`` leaves no feature, and ``read`` are all that there are.
    """

    read: int
    lost: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    largest: int = 0
    none_left: bool = False

    @property
    def every(self) -> int:
        """Features, and records that are set aside."""
        return self.read + len(self.lost) + len(self.shared)


class SourceFormat:
    """A format that OGR reads to its end, feature by feature, without loss. It holds no state."""

    #: Whether pyarrow reads it, and OGR does not.
    is_arrow = False
    #: Whether a table without geometry is taken.
    holds_tables = False
    #: Whether a layer has a primary key with a name.
    has_key = False
    #: Whether features may have ids of their own, which OGR gives if they are unique numbers.
    has_member_ids = False
    #: Whether a file beside the source says its CRS.
    crs_beside = False
    #: Whether features are counted when a layer is opened, as OGR may end before the last.
    is_counted = False
    #: Whether OGR's own count may be trusted; else features are counted by reading them.
    knows_count = True
    #: Whether OGR ends at a feature that it cannot read also where it evaluates a condition.
    ends_early = False
    #: How chunks are read where features are reached by their number.
    by_number: Access = "drain"
    #: What warnings call a record that OGR leaves out, and what becomes of these.
    record = "record"
    lost_records = "set aside for being no features"

    # --- when the layer is opened --------------------------------------------------------------

    def scan(self, path: str, place: str) -> tuple[int, int] | None:
        """Count members, and bytes that OGR needs for the largest, before OGR opens the source;
        None: OGR parses no more than it gives."""
        return None

    def explain_no_layer(self, path: str, place: str) -> None:
        """Raise what says why OGR finds no layer in a source, if the format knows that."""

    def place_to_open(self, layer: OpenLayer) -> str:
        """Return what OGR is to open in place of ``layer.place``, which it takes for less."""
        return layer.place

    def encoding(self, layer: OpenLayer, asked: str) -> tuple[str, str]:
        """Return the encoding of the text that OGR is to be told, empty if none, and a warning;
        raise SchemaError where one is ``asked`` for, and text is always in UTF-8."""
        if asked not in {AUTO, STRICT}:
            driver = layer.info["driver"]
            raise SchemaError(
                f"op.encoding is for Shapefiles; {driver} is read as UTF-8 ({layer.path})",
                hint="leave it at auto, and recode the file first, as with iconv",
            )
        return "", ""

    def refuse_where(self, layer: OpenLayer, where: str) -> None:
        """Raise SchemaError for a condition that OGR would misunderstand."""

    def columns(self, where: str, wanted: Iterable[str]) -> list[str] | None:
        """Return the columns to ask OGR for; None: all of them.

        A driver that evaluates ``where`` itself takes fields that are not asked for as null.
        """
        return None if where else list(wanted)

    def own_ids(self, layer: OpenLayer) -> list[str]:
        """Name a column that OGR takes for the ids, if it is an attribute."""
        return []

    def is_measured(self, layer: OpenLayer) -> bool:
        """Whether geometries have M, all or some of them, as the layer says."""
        return layer.info["measured"]

    def count(self, layer: OpenLayer, where: str) -> FeatureCount:
        """Count the features of a layer, and find the records that OGR leaves out; raise
        CorruptSourceError where it is not known which these are."""
        count = layer.info["features"]
        if self.ends_early and where and count >= 0:
            read = self.count_by_reading(layer)
            if read != count:
                raise CorruptSourceError(
                    f"{layer.path} has {count} features, of which OGR reads {read}"
                )
        return FeatureCount(count)

    def count_by_reading(self, layer: OpenLayer, where: str = "") -> int:
        """Count the features that ``where`` leaves, in one pass over the attributes."""
        columns = self.columns(where, ())
        batches = layer_info.id_batches(layer.place, layer.name, columns, where, layer.encoding)
        return sum(map(len, batches))

    def has_deleted(self, place: str) -> bool:
        """Whether records may be marked as deleted: features are counted by reading then."""
        return False

    def warn(self, layer: OpenLayer, warnings: list[str]) -> None:
        """Add warnings about the files of a layer."""

    # --- how chunks are read -------------------------------------------------------------------

    def access(
        self, path: str, plan: VectorPlan, features: int, stride: int
    ) -> tuple[Access, tuple[int, ...]]:
        """Choose how chunks of so many ``features`` are read; and the ids that part them.

        Args:
            path: the source, which is no archive.
            plan: of the item.
            features: of a chunk.
            stride: features that are reached at once by their number: one record by OGR, a row
                group of GeoParquet; 0: none are.
        """
        return (self.by_number if stride and not plan.where else "drain"), ()

    def chunks_outside(
        self, path: str, plan: VectorPlan, edges: tuple[int, ...], features: int, bounds: Bounds
    ) -> tuple[int, ...]:
        """Find chunks between these ``edges`` no feature of which touches ``bounds``."""
        return ()

    def drain(
        self, item: ItemContext, plan: VectorPlan, plain: Plain, read: Read
    ) -> Iterator[pa.RecordBatch]:
        """Read all features of a source, in its order."""
        return read(plain, plan)

    # --- what OGR misreads ---------------------------------------------------------------------

    def batch_check(self, plain: Plain, plan: VectorPlan, schema: pa.Schema) -> BatchCheck | None:
        """Return what finds features that OGR misreads in any batch; None: there are none."""
        return None

    def source_check(self, plain: Plain, plan: VectorPlan) -> SourceCheck | None:
        """Return what finds them in all batches of a source in turn; None: there are none."""
        return None

    def lost_reasons(self, path: str, plan: VectorPlan) -> Iterable[str]:
        """Say of each record that OGR leaves out, as the plan numbers them, why it does."""
        return ()

    def misread(self, layer: OpenLayer, plain: Plain, features: pa.Table) -> Sequence[int]:
        """Find the features, or records, of a whole layer that OGR does not read as they are.

        ``features`` are the columns ``FID`` and ``WKB``, as OGR gives them; ``plain`` is the file.
        """
        return ()


class Csv(SourceFormat):
    """Text with a geometry in a field, which OGR may not be able to read."""

    holds_tables = True

    @override
    def columns(self, where: str, wanted: Iterable[str]) -> list[str] | None:
        return None  # one of the columns has the text of the geometry

    @override
    def batch_check(self, plain: Plain, plan: VectorPlan, schema: pa.Schema) -> BatchCheck | None:
        # In a field WKT, or one after which OGR names the geometry.
        field = plan.geometry_column.removeprefix("geom_").upper() or "WKT"

        def check(features: pa.RecordBatch, read: pa.RecordBatch) -> pa.Array:
            rows = lost_geometries.null_rows(features)
            named = [n for n, name in enumerate(read.schema.names) if name.upper() == field]
            texts = read.column(named[0]) if named else pa.nulls(read.num_rows)
            values = {row: texts[row].as_py() for row in rows}
            lost = [row for row, text in values.items() if isinstance(text, str) and text.strip()]
            return lost_geometries.reasons(features, lost)

        return check


class FileGeodatabase(SourceFormat):
    """A file geodatabase, in which OGR goes to a record by its number."""

    holds_tables = has_key = True
    by_number = "window"


#: By names of OGR's drivers, and ``Parquet``, which pyarrow reads: the module in this room that has
#: the format, and its name. A worker loads the modules of its own sources: all of them would take
#: 25 ms of each run.
FORMATS: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "CSV": ("source_format", "Csv"),
        "ESRI Shapefile": ("shapefile.shapefile", "Shapefile"),
        "FlatGeobuf": ("flatgeobuf.flatgeobuf", "FlatGeobuf"),
        "GML": ("xml.xml_formats", "Gml"),
        "GPKG": ("geopackage", "GeoPackage"),
        "GeoJSON": ("geojson.geojson", "GeoJson"),
        "GeoJSONSeq": ("geojson.geojson", "GeoJsonSeq"),
        "KML": ("xml.xml_formats", "Kml"),
        "LIBKML": ("xml.xml_formats", "LibKml"),
        "OpenFileGDB": ("source_format", "FileGeodatabase"),
        "Parquet": ("geoparquet", "GeoParquet"),
        "SQLite": ("geopackage", "Sqlite"),
    }
)


@cache
def format_of(driver: str) -> SourceFormat:
    """Return the format that a driver reads; one that has nothing of its own if it is unknown."""
    module, name = FORMATS.get(driver, ("source_format", "SourceFormat"))
    form: SourceFormat = getattr(import_module(f"{__package__}.{module}"), name)()
    return form
