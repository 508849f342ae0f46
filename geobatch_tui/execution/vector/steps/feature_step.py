"""What a step of a chain of features is: planned once for an item, then given its batches.

Two laws hold for every step, and a test tries them on all. *Cut*: what becomes of a feature depends
on that feature alone, so any batch gives the same. *Store*: between two steps lies what a file
would hold that loses nothing: fields in their declared types, geometries in ISO WKB that a reader
takes, a CRS.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.plan import FID, LayerPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.batch.feature_batch import Batch, Features
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.output_format import OutputFormat
    from geobatch_tui.execution.vector.plan import VectorPlan

#: The name of what stands first in a chain: the source itself; and its version, which is raised
#: when sources are read otherwise.
READ, READ_VERSION = "read", 1


@dataclass(frozen=True, slots=True)
class FirstFeatures:
    """The first features of a source, as they go into a chain.

    Attributes:
        plan: by which they were read.
        params: of the job.
        features: themselves.
        is_all: whether the source has no others.
    """

    plan: VectorPlan
    params: Json
    features: Features
    is_all: bool


@dataclass(slots=True)
class ChainPlanning:
    """The planning of a chain for one item.

    Attributes:
        output: the format that is written.
        warnings: sentences for the operator.
        step: which step is planned, as messages name it.
        item: key of the item.
        notes: facts for ``plan --json``.
        first: the first features of the source, with the plan that they are read by, and whether
            they are all; None: there is none to look at.
        sample: some of them as they come to the step that is planned, and whether these are all.
    """

    output: OutputFormat
    warnings: list[str] = field(default_factory=list)
    step: str = ""
    item: str = ""
    notes: dict[str, object] = field(default_factory=dict)
    first: Callable[[], FirstFeatures] | None = None
    sample: Callable[[], tuple[Features, bool]] | None = None

    def warn(self, text: str) -> None:
        """Add a warning about the step that is planned."""
        self.warnings.append(f"{self.step}: {text}")


class FeatureStep(Protocol):
    """A step. ``version`` is raised whenever the same values give other features."""

    name: str
    version: int

    @property
    def divisible(self) -> bool:
        """Whether a feature may take long, or end its worker: as GEOS may."""
        ...

    @property
    def same_shapes(self) -> bool:
        """Whether geometries are handed on as they are."""
        ...

    def may_grow(self, step: LayerPlan) -> bool:
        """Whether it makes several features of one."""
        ...

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        """Plan the step on ``up``. Raises InvalidInputError and its kin if it cannot work."""
        ...

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        """Return what the step makes of features, whose facts are its own. What it cannot take is
        set aside, what is not asked for is dropped; the plan in ``context`` has the CRS before and
        behind it."""
        ...

    def growth(self, step: LayerPlan, up: LayerPlan) -> float:
        """Return by how much the bytes of a feature grow, about and at most."""
        ...


class ShapeStep:
    """A step on geometries, that keeps fields, CRS and the number of features."""

    name: str
    version = 1
    divisible = True
    same_shapes = False

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        del planning
        require_geometry(up)
        return handed_on(up, self, self.values(params), geometry_type=self.type_of(up))

    def values(self, params: Frozen) -> Json:
        """Return what decides the geometries."""
        return {name: value for name, value in vars(params).items() if name != "name"}

    def type_of(self, up: LayerPlan) -> str:
        """Return the type of the layer that it makes."""
        return up.geometry_type

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        raise NotImplementedError

    def may_grow(self, step: LayerPlan) -> bool:
        del step
        return False

    def growth(self, step: LayerPlan, up: LayerPlan) -> float:
        del step, up
        return 1.0


def handed_on(
    up: LayerPlan, step: FeatureStep | ShapeStep, values: Json, **others: str
) -> LayerPlan:
    """Return what ``step`` hands on of ``up``, with ``others`` in place of what it has."""
    return replace(up, name=step.name, version=step.version, values=values, **others)


def require_geometry(up: LayerPlan) -> None:
    """Raise SchemaError where features have no geometry."""
    if up.is_table:
        raise SchemaError(
            "features have no geometry here",
            hint="select keeps it only where _ogr_geometry_ is among its fields; make-point makes "
            "one of two fields",
        )


def fields_of(layer: LayerPlan) -> pa.Schema:
    """Return the attributes that a step hands on."""
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(layer.schema)))


def in_hex(fields: pa.Schema) -> str:
    """Return a schema as plans hold it."""
    return str(fields.serialize().to_pybytes().hex())


def named_field(fields: pa.Schema, name: str) -> str:
    """Return the name of a field as it is written there; case does not tell names apart. Raises
    SchemaError if there is none."""
    if name in fields.names:
        return name
    same = [one for one in fields.names if one.casefold() == name.casefold()]
    if not same:
        raise SchemaError(
            f"there is no field {name!r}; there are {', '.join(map(repr, fields.names[:50]))}"
        )
    return str(same[0])


def with_fields(features: Features, columns: list[pa.Array], fields: pa.Schema) -> Features:
    """Return features with other attributes, but their ids."""
    schema = fields.append(pa.field(FID, pa.int64()))
    columns = [*columns, features.attributes.column(FID)]
    return replace(features, attributes=pa.RecordBatch.from_arrays(columns, schema=schema))


def with_column(features: Features, column: pa.Array) -> Features:
    """Return features with geometries of ``column``, whose coordinates are yet to be read."""
    return replace(features, shapes=replace(features.shapes, column=column))


def features_of(features: Features, batch: Batch) -> Features:
    """Return features with what an operation made of them as a batch."""
    return replace(
        features, shapes=batch.shapes, bad=batch.bad, dropped=batch.dropped, facts=batch.facts
    )
