"""Geometries of a second file: what features are compared with, or cut at.

They are prepared, so that a comparison looks at the few edges that matter, and found by an index of
their boxes. GEOS completes what it prepares as it is used, so each thread has its own.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import shapely
from pyproj import CRS

from geobatch_tui.errors import (
    CorruptSourceError,
    CrsError,
    EmptyInputError,
    GeometryError,
    SchemaError,
    SourceChangedError,
)
from geobatch_tui.execution.io.digest import digest_of, short_digest
from geobatch_tui.execution.vector.formats.lost_geometries import listed
from geobatch_tui.execution.vector.formats.source_format import OpenLayer, format_of
from geobatch_tui.execution.vector.ogr import archive, errors, ogr_drivers, stream
from geobatch_tui.execution.vector.ogr.layer_info import layer_info, layer_names
from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from shapely import Geometry

    from geobatch_tui.execution.vector.geometry.geos import Test

    type Shapes = NDArray[np.object_]

#: By predicate of a feature on the mask: the function of GEOS on the mask and the feature.
_ASKED = {
    "intersects": shapely.intersects,
    "disjoint": shapely.intersects,
    "within": shapely.contains,
    "contains": shapely.within,
    "touches": shapely.touches,
    "covered_by": shapely.covers,
}
#: Files that a thread keeps open at a time.
_KEPT = 2


class Mask:
    """Geometries that lie in the CRS of the features."""

    def __init__(self, shapes: Shapes) -> None:
        shapely.prepare(shapes)
        self._shapes = shapes
        self._tree = shapely.STRtree(shapes)

    def test(self, predicate: str) -> Test:
        """Make a function that marks features that lie to any geometry of the mask as
        ``predicate``, a name of GEOS, says; ``disjoint``: to none of it."""
        asked = _ASKED[predicate]

        def holds(features: Shapes) -> NDArray[np.bool_]:
            at, near = self._tree.query(features)
            marks = np.zeros(len(features), np.bool_)
            marks[at[asked(self._shapes[near], features[at])]] = True
            return ~marks if predicate == "disjoint" else marks

        return holds

    def near(self, shape: Geometry) -> Shapes:
        """Return the geometries whose boxes touch that of ``shape``."""
        near: Shapes = self._shapes[np.sort(self._tree.query(shape))]
        return near


class Area:
    """The ground that polygons cover, in pieces that have at most corners in common."""

    def __init__(self, shapes: Shapes) -> None:
        self._pieces = Mask(shapely.get_parts(shapely.union_all(shapes)))
        self.meets = self._pieces.test("intersects")
        self._in_a_piece = self._pieces.test("covered_by")

    def covers(self, features: Shapes) -> NDArray[np.bool_]:
        """Mark the features that lie in it; parts of one may lie in several pieces."""
        covered = self._in_a_piece(features)
        for n in np.flatnonzero(~covered & (shapely.get_num_geometries(features) > 1)).tolist():
            covered[n] = bool(shapely.covers(self._near(features[n]), features[n]))
        return covered

    def cut(self, shape: Geometry) -> Geometry:
        """Cut off what of ``shape`` lies outside of the area."""
        return shapely.intersection(shape, self._near(shape))

    def _near(self, shape: Geometry) -> Geometry:
        pieces = self._pieces.near(shape)
        return pieces[0] if len(pieces) == 1 else shapely.multipolygons(pieces)


#: Masks and areas that a thread keeps, the latest last.
_local = threading.local()


def _once[T](make: Callable[[Shapes], T], *key: str) -> T:
    kept: dict[tuple[object, ...], object] = _local.__dict__.setdefault("kept", {})
    name = (make, *key)
    if name not in kept:
        made = make(_read(*key, polygons=make is Area))
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        kept[name] = made
    return cast("T", kept[name])


def mask_of(path: str, digest: str, layer: str, crs: str) -> Mask:
    """Read the mask at ``path``, which is absolute, once in a thread.

    Args:
        path: of the file.
        digest: its BLAKE2b-128 as the run was planned, in hex.
        layer: its name; empty: the only one.
        crs: WKT that it must be in; empty: any.

    Raises:
        SourceChangedError: the file is another one by now.
        SchemaError: it has several layers and none is named, or not the one that is.
        CrsError: it is in another CRS.
        GeometryError: a geometry is not valid.
        EmptyInputError: it has none.
    """
    return _once(Mask, path, digest, layer, crs)


def area_of(path: str, digest: str, layer: str, crs: str) -> Area:
    """Read the area of the polygons at ``path``, as :func:`mask_of` does the mask. Raises also
    GeometryError where one is no polygon."""
    return _once(Area, path, digest, layer, crs)


def _read(path: str, digest: str, layer: str, crs: str, *, polygons: bool) -> Shapes:
    ogr_drivers.drivers_of(path)
    place = ogr_drivers.place_of(path)
    if digest_of(path, short_digest())[0] != digest:
        raise SourceChangedError(f"{path} is not the file that it was when the run was planned")
    if archive.is_inside(place):
        archive.check(path)
    with errors.ogr_errors(path, layer):
        names = layer_names(place)
        if layer not in names and (layer or len(names) != 1):
            raise SchemaError(
                f"{path} has the layers {', '.join(map(repr, names[:20]))}",
                hint=f"say which one: op.{'like' if polygons else 'mask'}_layer",
            )
        name = layer or names[0]
        opened = OpenLayer(path, place, name, layer_info(place, name, count=True))
        if crs and not CRS.from_user_input(opened.info["crs"] or "").equals(
            CRS.from_wkt(crs), ignore_axis_order=True
        ):
            raise CrsError(
                f"{path} is not in the CRS of the source",
                hint="reproject it first, so that both mean the same lines",
            )
        column = _whole_column(opened)
    raw = np.array(column.to_pylist(), dtype=object)
    shapes: Shapes = shapely.from_wkb(raw, on_invalid="ignore")
    lacking = shapely.is_missing(shapes) & np.array([one is not None for one in raw], bool)
    _refuse_broken(path, (np.flatnonzero(lacking) + 1).tolist())
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    _refuse(path, shapes, polygons=polygons)
    return shapes


def _whole_column(layer: OpenLayer) -> pa.ChunkedArray:
    """Read the geometries of a layer; raise CorruptSourceError where OGR leaves out records or
    geometries: features would be chosen, or cut, by what is left."""
    path, place, form = layer.path, layer.place, format_of(layer.info["driver"])
    with stream.opened(place, layer=layer.name, columns=[], return_fids=True) as (meta, reader):
        table = reader.read_all()
    shapes = table.column(meta["geometry_name"] or stream.UNNAMED)
    features = pa.table({FID: table.column(meta["fid_column"]), WKB: shapes})
    if form.is_counted and len(shapes) != layer.info["features"]:
        raise _broken(path, "their numbers are not known")
    with archive.Plain(path, place, os.environ.get("CPL_TMPDIR")) as plain:
        _refuse_broken(path, form.misread(layer, plain, features))
    return shapes


def _refuse_broken(path: str, wrong: Sequence[int]) -> None:
    if wrong:
        raise _broken(path, f"broken: {listed(wrong)}")


def _broken(path: str, which: str) -> CorruptSourceError:
    return CorruptSourceError(
        f"{path}: OGR cannot read all of its features; {which}",
        hint="repair or remove these: nothing may be left out of what others are compared with",
    )


def _refuse(path: str, shapes: Shapes, *, polygons: bool) -> None:
    if not len(shapes):
        raise EmptyInputError(f"{path} has no geometries")
    if polygons and (others := int((~np.isin(shapely.get_type_id(shapes), (3, 6))).sum())):
        raise GeometryError(
            f"{path} has {others} geometries that are no polygons: they enclose no area",
            hint="name a layer of polygons, or choose features with vector.filter and its mask",
        )
    if wrong := int((~shapely.is_valid(shapes)).sum()):
        raise GeometryError(
            f"{path} has {wrong} invalid geometries", hint="repair it first with vector.make-valid"
        )
