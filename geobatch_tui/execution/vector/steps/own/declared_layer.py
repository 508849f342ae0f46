"""The layer that a function of the user makes of one: as it declares it, or as the plan learns it
from what it made of the first features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from geobatch_tui.errors import SchemaError, StepError
from geobatch_tui.execution.runtime.own_declaration import OwnDeclaration
from geobatch_tui.execution.vector.plan import TABLE, TAKEN
from geobatch_tui.execution.vector.steps.feature_step import fields_of, in_hex
from geobatch_tui.execution.vector.steps.field_steps import TYPES
from geobatch_tui.execution.vector.steps.own.feature_table import same_crs
from geobatch_tui.execution.vector.steps.place_steps import wkt_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.vector.plan import LayerPlan
    from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning
    from geobatch_tui.execution.vector.steps.own.feature_table import Answer

_FOLDED = {name.lower(): kind for name, kind in TYPES.items()}
ROWS = ("same", "fewer", "more")
#: Times the bytes of its features that a function takes beside them, if it does not say: a frame
#: has an object of GEOS for each.
MEMORY = {"frame": 8.0, "table": 2.0}


class DeclaredLayer(OwnDeclaration):
    """What a function of features declares, for one set of parameters.

    Its methods raise PreflightError, for all items alike, where a declaration cannot be, and
    SchemaError where it does not fit an item.
    """

    foreign = ("halo", "dtype", "bands", "nodata", "rim", "finite")
    about = "features"

    def rows(self) -> str:
        rows: Any = self.said.rows
        if rows not in ROWS:
            raise self.wrong("rows", f"is {rows!r}, not one of {', '.join(ROWS)}")
        return str(rows)

    def crs(self, up: LayerPlan, planning: ChainPlanning) -> str:
        """Return the CRS of the answer, as WKT; empty where none is known."""
        asked = self.chosen("crs")
        if asked is None:
            return up.crs
        if not isinstance(asked, str) or not asked.strip():
            raise self.wrong("crs", f"is {asked!r}, not a CRS as text")
        return wkt_of(asked, f"crs of {self.use}", planning)

    def fields(self, up: LayerPlan) -> pa.Schema | None:
        """Return the fields of the answer; None: they are to be learnt."""
        asked = self.chosen("fields")
        if asked is None:
            return None
        if not isinstance(asked, Mapping):
            raise self.wrong("fields", f"is {asked!r}; it is types by names of fields")
        before = fields_of(up)
        made = {each.name: each for each in before}
        for name, kind in asked.items():
            if not isinstance(name, str) or name in TAKEN or not name:
                raise self.wrong("fields", f"names {name!r}, which no field can be called")
            if kind is None:
                if name not in before.names:
                    raise SchemaError(
                        f"{self.use}: fields of its @step leave out {name!r}, which is not there; "
                        f"there are {', '.join(map(repr, before.names[:50]))}"
                    )
                made.pop(name, None)
            else:
                made[name] = pa.field(name, self._type(name, kind))
        return pa.schema(list(made.values()))

    def _type(self, name: str, kind: object) -> pa.DataType:
        if isinstance(kind, str) and kind.lower() in _FOLDED:
            return _FOLDED[kind.lower()]
        if isinstance(kind, pa.DataType) and not pa.types.is_null(kind):
            return kind
        raise self.wrong(
            "fields", f"has {kind!r} for {name!r}; types are {', '.join(TYPES)}, or those of Arrow"
        )


def learnt(step: LayerPlan, up: LayerPlan, answers: Sequence[Answer], *, some: bool) -> LayerPlan:
    """Return ``step`` with the fields and geometries of ``answers``. ``some``: there are features;
    else any type of a field will do.

    Raises:
        SchemaError: what they hold does not tell it.
    """
    use, before = step.values["use"], fields_of(up)
    fields = []
    for name in answers[0].fields:
        kinds = [each.fields[name].type for each in answers if name in each.fields]
        kind = _common(kinds)
        if name in TAKEN:
            raise SchemaError(f"{use} gives a field {name!r}, a name that features have here")
        if pa.types.is_null(kind) and name in before.names:
            kind = before.field(name).type
        if pa.types.is_null(kind) and some:
            raise SchemaError(
                f"{use} gives no value for field {name!r} of the first features, so its type is "
                "not known",
                hint=f'declare it: @step(fields={{"{name}": "Real"}}), with its own type',
            )
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    step = replace(step, schema=in_hex(pa.schema(fields)))
    if any(each.shapes is None for each in answers):
        return replace(step, crs="", geometry_type=TABLE)
    for each in answers:
        if each.crs and not same_crs(each.crs, step.crs):
            raise SchemaError(
                f"{use} gives geometries in another CRS than it declares",
                hint='declare it: @step(crs="EPSG:3857"), with its own',
            )
    return replace(step, geometry_type="Unknown")


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """Return the one type of fields that holds values of these."""
    plain = [plain_type(kind) for kind in kinds]
    try:
        schemas = [pa.schema([pa.field("f", kind)]) for kind in plain]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return plain[0]


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of fields for values that pandas or Arrow hold otherwise."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


#: Types among which values may go from one to another, where that loses nothing.
_ALIKE = (
    (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    (pa.types.is_date, pa.types.is_timestamp),
    (pa.types.is_time,),
    (pa.types.is_list, pa.types.is_large_list),
    (pa.types.is_struct,),
)


def _are_alike(one: pa.DataType, other: pa.DataType) -> bool:
    return any(any(a(one) for a in kinds) and any(b(other) for b in kinds) for kinds in _ALIKE)


def fitted(use: str, fields: pa.Schema, answer: Answer) -> list[pa.Array]:
    """Return the columns of an answer in the types of ``fields``. Raises StepError where it has
    others, or a value that would become another."""
    if missing := [name for name in fields.names if name not in answer.fields]:
        raise StepError(f"{use} gave no field {missing[0]!r}, which the plan has of it")
    if more := [name for name in answer.fields if name not in fields.names]:
        raise StepError(
            f"{use} gave a field {more[0]!r}, which the plan has not",
            hint="it has what the first features gave; or declare it by @step(fields=...)",
        )
    return [_fitted(use, each, answer.fields[each.name]) for each in fields]


def _fitted(use: str, field: pa.Field, column: pa.Array) -> pa.Array:
    kind = field.type
    if column.type == kind:
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), kind)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type != kind:
        made = _cast(column, kind)
        if made is None:
            what = repr(column[0].as_py())[:60] if len(column) == 1 else str(column.type)
            raise StepError(
                f"{use} gave {what} for field {field.name!r}, which is {kind} by the plan",
                hint=f'declare its type: @step(fields={{"{field.name}": ...}})',
            )
        column = made
    return column


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Return the values in another type; None: one of them would become another."""
    if not _are_alike(column.type, kind):
        return None
    try:
        return column.cast(kind, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
