"""Features as functions of the user take and give them: as a GeoDataFrame or a table of Arrow.

Types of columns are those of the plan in every batch, whatever values are there: in a frame they
are pandas' nullable ones and Arrow's own, as plain ones would change where a batch has a null. Of
what a frame hands on as it is, the bytes of geometries stay, and so does NaN, which pandas takes
for a null.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely
from pyproj import CRS

from geobatch_tui.errors import StepError
from geobatch_tui.execution.runtime import recorder
from geobatch_tui.execution.vector.batch.arrow_arrays import free_name, numbers
from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.kernels import wkb_loops
from geobatch_tui.execution.vector.plan import FID

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.params.own.function_code import Takes
    from geobatch_tui.execution.vector.batch.feature_batch import Features, Rows
    from geobatch_tui.execution.vector.plan import LayerPlan

#: The column of geometries, and that which tells the row of a table that a row was made of.
SHAPE, ROW = "geometry", "geobatch_row"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function made of features.

    Attributes:
        owners: of each row, the feature that it was made of: its place among those that were given.
        fields: columns by name, as they came.
        shapes: WKB; None: there are no geometries.
        crs: of a frame with geometries, as WKT, empty if it has none; None where nothing says it.
    """

    owners: NDArray[np.int64]
    fields: dict[str, pa.Array]
    shapes: pa.Array | None
    crs: str | None

    def in_order(self) -> Answer:
        """Return the rows in the order of the features that they were made of."""
        if (np.diff(self.owners) >= 0).all():
            return self
        places = np.argsort(self.owners, kind="stable")
        taken = numbers(places.astype(np.int64))
        fields = {name: column.take(taken) for name, column in self.fields.items()}
        shapes = None if self.shapes is None else self.shapes.take(taken)
        return Answer(self.owners[places], fields, shapes, self.crs)


class FeatureTable:
    """Rows of ``features``, which have the fields and the CRS of ``up``, as a function takes them.

    Those with a geometry that GEOS cannot read are set aside where a frame is made of it.
    """

    def __init__(
        self, use: str, takes: Takes, up: LayerPlan, features: Features, *, numbered: bool
    ) -> None:
        self._use = use
        self._up = up
        self._features = features
        self._is_frame = takes == "frame"
        #: Whether a table tells of each row what it was made of.
        self._numbered = numbered and not self._is_frame
        names = tuple(name for name in features.attributes.schema.names if name != FID)
        self._shape = free_name(SHAPE, names)
        self._row = free_name(ROW, (*names, self._shape))
        self._objects: dict[int, Any] = {}

    def readable(self, rows: Rows) -> Rows:
        """Read the geometries of ``rows`` once; return those that can be given."""
        features = self._features
        if not self._is_frame or self._up.is_table:
            return rows
        there = rows[features.shapes.status[rows] == wkb_loops.OK]
        shapes = geos.read(features.shapes.column, there, features.bad)
        self._objects = dict(zip(there.tolist(), shapes.tolist(), strict=True))
        return features.sound(rows)

    def given(self, rows: Rows) -> Any:
        """Return these rows as the function takes them."""
        attributes = self._features.attributes
        names = [name for name in attributes.schema.names if name != FID]
        table = pa.Table.from_batches([attributes.select(names).take(numbers(rows))])
        if self._is_frame:
            return self._frame(table, rows)
        if not self._up.is_table:
            column = self._features.shapes.column.take(numbers(rows))
            table = table.append_column(self._shape, column)
        if self._numbered:
            table = table.append_column(self._row, numbers(np.arange(len(rows))))
        return table

    def _frame(self, table: pa.Table, rows: Rows) -> Any:
        gpd, pd = _frames()
        plain = table.to_pandas(types_mapper=_dtypes().__getitem__)
        if not len(table.schema):
            plain = pd.DataFrame(index=pd.RangeIndex(len(rows)))
        if self._up.is_table:
            return gpd.GeoDataFrame(plain)
        objects = self._objects_of(rows)
        column = gpd.array.GeometryArray(objects, crs=self._up.crs or None)
        plain[self._shape] = column
        return gpd.GeoDataFrame(plain, geometry=self._shape)

    def _objects_of(self, rows: Rows) -> NDArray[np.object_]:
        objects = np.empty(len(rows), object)
        for place, row in enumerate(rows.tolist()):
            objects[place] = self._objects.get(row)
        return objects

    def answer(self, answer: Any, rows: Rows) -> Answer:
        """Read what the function gave for ``rows``. Raises StepError if it is nothing that a
        function of features gives."""
        if self._is_frame:
            return self._of_frame(answer, rows).in_order()
        return self._of_table(answer, rows).in_order()

    # --- tables ----------------------------------------------------------------------------------

    def _of_table(self, answer: Any, rows: Rows) -> Answer:
        if not isinstance(answer, pa.Table):
            raise StepError(f"{self._use} gave {type(answer).__name__} in place of a pyarrow.Table")
        self._refuse_twice(answer.column_names)
        columns = {name: _whole(answer.column(name)) for name in answer.column_names}
        owners = np.arange(len(answer))
        if self._numbered:
            owners = self._owners(columns.pop(self._row, None), len(rows))
        shapes = columns.pop(self._shape, None)
        if shapes is not None and shapes.type != pa.binary():
            try:
                shapes = shapes.cast(pa.binary())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise StepError(
                    f"{self._use} gave a column {self._shape!r} of type {shapes.type}; geometries "
                    "are WKB, of type binary"
                ) from None
        return Answer(owners, columns, shapes, None)

    def _owners(self, column: pa.Array | None, count: int) -> NDArray[np.int64]:
        if column is None:
            raise StepError(
                f"{self._use} gave a table without its column {self._row!r}, which tells what "
                "became of which feature",
                hint="keep it, as Table.filter and Table.take do",
            )
        if not pa.types.is_integer(column.type) or column.null_count:
            raise self._strayed(self._row)
        return self._within(
            column.to_numpy(zero_copy_only=False).astype(np.int64), count, self._row
        )

    def _within(self, owners: NDArray[np.int64], count: int, what: str) -> NDArray[np.int64]:
        if len(owners) and not (owners.min() >= 0 and owners.max() < count):
            raise self._strayed(what)
        return owners

    def _strayed(self, what: str) -> StepError:
        return StepError(
            f"{self._use} gave rows whose {what} is not that of a feature that it got",
            hint="keep it as it is: it tells what became of which feature",
        )

    def _refuse_twice(self, names: list[str]) -> None:
        for place, name in enumerate(names):
            if name in names[:place]:
                raise StepError(f"{self._use} gave two columns of the name {name!r}")

    # --- frames ----------------------------------------------------------------------------------

    def _of_frame(self, answer: Any, rows: Rows) -> Answer:
        gpd, pd = _frames()
        if not isinstance(answer, pd.DataFrame):
            raise StepError(f"{self._use} gave {type(answer).__name__} in place of a GeoDataFrame")
        names = [str(name) for name in answer.columns]
        self._refuse_twice(names)
        index = answer.index
        if isinstance(index, pd.MultiIndex) or not pd.api.types.is_integer_dtype(index.dtype):
            raise self._strayed("index")
        owners = self._within(index.to_numpy(dtype=np.int64), len(rows), "index")
        place = _geometry_place(answer, gpd)
        fields = {
            name: self._with_nans(
                _of_series(answer.iloc[:, n], name, self._use), name, rows[owners]
            )
            for n, name in enumerate(names)
            if n != place
        }
        if place is None:
            return Answer(owners, fields, None, None)
        shapes = answer.iloc[:, place]
        crs = "" if shapes.crs is None else str(shapes.crs.to_wkt())
        return Answer(owners, fields, self._written(shapes.to_numpy(), owners, rows), crs)

    def _with_nans(self, column: pa.Array, name: str, rows: Rows) -> pa.Array:
        """Return a column with NaN where the features have it, and the answer a null."""
        attributes = self._features.attributes
        if not pa.types.is_floating(column.type) or name not in attributes.schema.names:
            return column
        before = attributes.column(name)
        if not column.null_count or not pa.types.is_floating(before.type):
            return column
        import pyarrow.compute as pc

        lost = pc.and_(pc.is_nan(before.take(numbers(rows))), pc.is_null(column))
        return pc.if_else(pc.fill_null(lost, False), pa.scalar(math.nan, column.type), column)

    def _written(
        self, objects: NDArray[np.object_], owners: NDArray[np.int64], rows: Rows
    ) -> pa.Array:
        """Return geometries as WKB: the bytes of those that are handed on as they were given."""
        before = rows[owners]
        pairs = zip(before.tolist(), objects.tolist(), strict=True)
        made = [n for n, (row, shape) in enumerate(pairs) if self._objects.get(row) is not shape]
        column = self._features.shapes.column.take(numbers(before))
        if not made:
            return column
        values: list[bytes | None] = column.to_pylist()
        written = shapely.to_wkb(objects[made], byte_order=1, flavor="iso").tolist()
        for n, value in zip(made, written, strict=True):
            values[n] = value
        return pa.array(values, pa.binary())


class _Types(dict[pa.DataType, Any]):
    """Types of columns in frames, by those of Arrow."""

    def __missing__(self, kind: pa.DataType) -> Any:
        return _frames()[1].ArrowDtype(kind)


@cache
def _dtypes() -> _Types:
    pd = _frames()[1]
    names = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    found = {pa.type_for_alias(name.lower()): getattr(pd, f"{name}Dtype")() for name in names}
    others = {
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(na_value=pd.NA),
    }
    return _Types(found | others)


@cache
def _frames() -> tuple[Any, Any]:
    """Return geopandas and pandas, which are loaded where a function takes frames."""
    with recorder.compiling():
        import geopandas as gpd
        import pandas as pd
    return gpd, pd


def _geometry_place(frame: Any, gpd: Any) -> int | None:
    """Return the place of the active geometry among the columns; None: there is none."""
    if not isinstance(frame, gpd.GeoDataFrame) or frame.active_geometry_name is None:
        return None
    return int(frame.columns.get_loc(frame.active_geometry_name))


def _of_series(series: Any, name: str, use: str) -> pa.Array:
    """Return a column of a frame as an array of Arrow."""
    if series.dtype.name == "geometry":
        raise StepError(
            f"{use} gave a second column of geometries, {name!r}: features have one",
            hint="drop it, or give it as text by Series.to_wkt()",
        )
    try:
        made = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise StepError(
            f"{use} gave values in column {name!r} that no type of Arrow holds: {error}",
            hint='give them one, as by Series.astype("Int64")',
        ) from None
    return _whole(made)


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


@cache
def same_crs(one: str, other: str) -> bool:
    """Whether two CRSs, as WKT, are one, in whatever order their axes are told."""
    if one == other:
        return True
    if not one or not other:
        return False
    return bool(CRS.from_wkt(one).equals(CRS.from_wkt(other), ignore_axis_order=True))
