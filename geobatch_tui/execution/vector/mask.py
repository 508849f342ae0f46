"""A layer of areas that features are compared with, found by a spatial index."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pyproj import CRS

from geobatch_tui.errors import (
    CrsError,
    EmptyInputError,
    GeometryError,
    SchemaError,
    SourceChangedError,
)
from geobatch_tui.execution.raster.verify import digest_of
from geobatch_tui.execution.vector import formats, source
from geobatch_tui.execution.vector.lean import pyogrio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.wkb import Coordinates

    Bad = dict[int, tuple[str, str]]


class Mask:
    """Geometries of one layer, all in the CRS of the features."""

    def __init__(self, shapes: NDArray[Any]) -> None:
        self._tree = shapely.STRtree(shapes)

    def holds(
        self, found: Coordinates, rows: NDArray[np.int64], predicate: str, bad: Bad
    ) -> NDArray[np.int64]:
        """Those of ``rows`` that stand in the relation ``predicate`` (a name of GEOS) to any
        geometry of the mask. Rows that GEOS cannot compare go to ``bad``."""
        values = np.array(found.column.take(_indices(rows)).to_pylist(), dtype=object)
        shapes = shapely.from_wkb(values)
        try:
            hits = self._tree.query(shapes, predicate=predicate)[0]
        except shapely.errors.GEOSException:
            hits = self._one_by_one(shapes, rows, predicate, bad)
        chosen: NDArray[np.int64] = rows[np.unique(hits)]
        return chosen

    def _one_by_one(
        self, shapes: NDArray[Any], rows: NDArray[np.int64], predicate: str, bad: Bad
    ) -> NDArray[np.int64]:
        hits = []
        for n, shape in enumerate(shapes):
            try:
                if len(self._tree.query(shape, predicate=predicate)):
                    hits.append(n)
            except shapely.errors.GEOSException as error:
                bad[int(rows[n])] = ("GeometryError", f"GEOS: {error}")
        return np.array(hits, np.int64)


def _indices(rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])


@lru_cache(maxsize=2)
def mask_of(path: str, digest: str, layer: str, crs: str) -> Mask:
    """The mask at ``path``, once in a process.

    Args:
        path: absolute.
        digest: BLAKE2b-128 of the file as the run was planned, in hex.
        layer: its name; empty: the only one.
        crs: WKT that it must be in; empty: any.

    Raises:
        SourceChangedError: the file is another one by now.
        SchemaError: it has several layers and none is named, or not the one that is.
        CrsError: it is in another CRS.
        GeometryError: a geometry is not valid.
        EmptyInputError: it has none.
    """
    formats.drivers_of(path)
    if digest_of(path)[0] != digest:
        raise SourceChangedError(f"{path} is not the file that it was when the run was planned")
    with source.ogr_errors(path, layer):
        names = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer not in names and (layer or len(names) != 1):
            raise SchemaError(
                f"{path} has the layers {', '.join(map(repr, names[:20]))}",
                hint="say which one: op.mask_layer",
            )
        info = pyogrio.read_info(path, layer=layer or names[0])
        if crs and not CRS.from_user_input(info["crs"] or "").equals(
            CRS.from_wkt(crs), ignore_axis_order=True
        ):
            raise CrsError(
                f"{path} is not in the CRS of the source",
                hint="reproject it first, so that both mean the same lines",
            )
        with pyogrio.open_arrow(path, layer=layer or names[0], columns=[], use_pyarrow=True) as (
            meta,
            reader,
        ):
            column = reader.read_all().column(meta["geometry_name"] or "wkb_geometry")
    shapes = shapely.from_wkb(np.array(column.to_pylist(), dtype=object))
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    if not len(shapes):
        raise EmptyInputError(f"{path} has no geometries")
    if not shapely.is_valid(shapes).all():
        raise GeometryError(
            f"{path} has {int((~shapely.is_valid(shapes)).sum())} invalid geometries",
            hint="repair it first with vector.make-valid",
        )
    return Mask(shapes)
