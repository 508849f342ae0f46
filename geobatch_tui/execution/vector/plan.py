"""The plan of one vector item, as it goes through the ledger. Imports no library."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.output_format import OutputFormat

Access = Literal["fid", "window", "rows", "index", "drain", "none"]

#: Columns beside the attributes: of batches that are read, and of spooled features.
FID, WKB = "__fid", "__wkb"
GEOMETRY, BOX = "__geometry", "__bbox"
#: The column with the reason why a feature, or a record that is none, cannot be read; null: it can.
#: Not all batches have it.
UNREAD = "__unread"
#: The geometry type of a table of attributes alone; its output has no column for geometries.
TABLE = "None"
#: Names that no attribute may have.
TAKEN = frozenset({FID, WKB, GEOMETRY, BOX, UNREAD})


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a step of a chain hands on, and what decides it.

    Attributes:
        name, version: of the step; ``read`` stands first, for the source.
        values: all that its features are made from, beside those that it gets.
        schema: of the attributes, an Arrow schema in hex.
        crs: WKT; empty where unknown.
        geometry_type: of the layer, as far as it is known; or ``TABLE``.
    """

    name: str
    version: int
    values: Json
    schema: str
    crs: str
    geometry_type: str

    @property
    def is_table(self) -> bool:
        """Whether there are attributes alone."""
        return self.geometry_type == TABLE


@dataclass(frozen=True, slots=True)
class VectorPlan:
    """The plan of an item: how its features are read, and what is written.

    Attributes:
        driver: short name of OGR's driver, or ``Parquet``.
        layer: its name in the source.
        access: how a chunk reaches its features. ``fid``: a range of ids in SQL; ``window``: a
            range of records; ``rows``: whole row groups; ``index``: those that the index of a
            FlatGeobuf in a store finds in ``bounds``; ``drain``: parts on disk, that one
            sequential read of the source fills; ``none``: there are none, or
            ``where`` leaves none; nothing is read.
        edges: for ``fid``, the first id of each chunk, and the end.
        fid_column: name of the id in ``where``; empty if there is none.
        geometry_column: of the source; empty where OGR leaves it without a name.
        fields: names of the attributes, in order.
        schema: of the attributes, an Arrow schema in hex; batches that are read are cast to it.
        count: features that the source gives, after ``where``, and records that are set aside; if
            ``where`` leaves none: those of the source, all of which are filtered.
        where: as in the parameters.
        encoding: of the text in a Shapefile; empty where OGR knows it, or is not told one.
        src_crs, dst_crs: WKT; equal where nothing is transformed; empty where unknown.
        format, layer_name: of the output.
        options: of the writer, checked.
        place: what OGR opens: the source, with the name of a driver before it where OGR would take
            another, or the file in it, if it is an archive.
        written: as ``schema``, of the attributes as they are written, in the same order.
        cell: features of the source that make a row group of GeoParquet; 0 for other formats.
        lost: numbers, from 1, of records, members of a GeoJSON collection, or features of GML, that
            OGR leaves out; they follow the features, and are set aside.
        shared: numbers of records of which OGR reads the first feature only; what follows it is set
            aside, one for each, after ``lost``.
        moments_as_text: moments are read with their zones (see ``time_zones``).
        namesakes: fields of the source have one name, and get numbers as they are read.
        outside: chunks that are not read, as no feature of theirs touches ``bounds``.
        geometry_type: of the layer, as the source says; or ``TABLE``.
        id_name: name of the ids of the source in the output; empty: it has others, or none.
        id_is_key: they are the primary key of a GeoPackage; else an attribute, among ``fields``.
        geo: what GeoParquet is to say of geometries (see ``geoparquet_key``).
        chain: the steps between the source, which comes first, and the output; empty: there are
            none. Then ``fields``, ``schema``, ``dst_crs`` and ``geometry_type`` are those of the
            last (see :attr:`reading`).
    """

    driver: str
    layer: str
    access: Access
    edges: tuple[int, ...]
    fid_column: str
    geometry_column: str
    fields: tuple[str, ...]
    schema: str
    count: int
    where: str
    encoding: str
    src_crs: str
    dst_crs: str
    format: str
    layer_name: str
    options: Json
    cell: int
    place: str = ""
    written: str = ""
    lost: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    moments_as_text: bool = False
    namesakes: bool = False
    outside: tuple[int, ...] = ()
    geometry_type: str = "Unknown"
    id_name: str = ""
    id_is_key: bool = False
    geo: Json = field(default_factory=dict)
    chain: tuple[LayerPlan, ...] = ()

    @property
    def output(self) -> OutputFormat:
        """Format that is written."""
        return OUTPUT_FORMATS[self.format]

    @property
    def is_table(self) -> bool:
        """Whether there are attributes alone."""
        return self.geometry_type == TABLE

    @property
    def aside(self) -> tuple[int, ...]:
        """Numbers of the records that are set aside, as they follow the features."""
        return self.lost + self.shared

    @property
    def reading(self) -> VectorPlan:
        """The plan as the source is read, whatever steps make of it."""
        if not self.chain:
            return self
        source, fields = self.chain[0], tuple(self.chain[0].values["fields"])
        return replace(
            self,
            chain=(),
            fields=fields,
            schema=source.schema,
            written="",
            dst_crs=self.src_crs,
            geometry_type=source.geometry_type,
            id_name=str(source.values["id_name"]),
            id_is_key=bool(source.values["id_is_key"]),
        )

    def where_of_chunk(self, index: int) -> str:
        """Return the condition on the ids of a chunk, for access ``fid``, and ``where``."""
        name = quoted(self.fid_column)
        ids = f"{name} >= {self.edges[index]} AND {name} < {self.edges[index + 1]}"
        return f"({self.where}) AND {ids}" if self.where else ids

    def to_json(self) -> dict[str, Any]:
        """Return it JSON-ready, for ``ItemPlan.detail``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Json) -> VectorPlan:
        """Make a plan of what :meth:`to_json` gave."""
        lists = ("edges", "fields", "outside", "lost", "shared")
        chain = tuple(LayerPlan(**step) for step in data.get("chain", ()))
        tuples = {name: tuple(data.get(name, ())) for name in lists}
        return cls(**{**data, **tuples, "chain": chain})
