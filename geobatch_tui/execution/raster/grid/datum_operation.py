"""Chooses the datum operation of an item, once: for its grid and for all its pixels.

Where PROJ knows several operations between two CRSs, it takes another one from point to point. So
the one that it takes in the middle of the source, by its area, is bound to the source's CRS: then
there is no other. Nothing is bound where the area makes no difference. GDAL's grid is asked for
without an area, as rasterio's warper has none either: both come from one operation, bound or not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pyproj import CRS, Transformer
from pyproj.enums import TransformDirection
from pyproj.exceptions import ProjError
from pyproj.transformer import AreaOfInterest
from rasterio import crs as rio
from rasterio._err import CPLE_BaseError  # GDAL's where rasterio has no class; no public name
from rasterio.errors import RasterioError
from rasterio.warp import transform

from geobatch_tui.execution.proj import coordinate_operations, crs_lookup
from geobatch_tui.execution.raster.grid import pixel_grid, projection
from geobatch_tui.execution.runtime.recorder import expected_gdal_errors

if TYPE_CHECKING:
    from geobatch_tui.execution.proj.coordinate_operations import Operations
    from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
    from geobatch_tui.execution.raster.types import Pair

#: Points a side of the source, and of its box in the target, at which operations are compared: the
#: way back needs more, as an operation's area may end close to the rim.
_POINTS, _POINTS_BACK = 9, 33
#: Coordinates that differ by less than this part of the largest are those of one operation.
_ALIKE = 1e-11
#: Turns in degrees by which a box may lie beside an area that is the same.
_TURNS = (-360, 0, 360)
_SHIFT, _BALLPARK = "Transformation", "Ballpark geographic offset"


@dataclass(frozen=True, slots=True)
class DatumOperation:
    """The datum operation of an item.

    ``crs`` is the source's CRS, ``bound`` to the operation where PROJ would take others too.
    ``name`` and ``accuracy`` (metres, below 0 if unknown) are PROJ's; ``name`` is empty where PROJ
    knows one way only, counted from Greenwich. ``elsewhere``: gdalwarp takes other operations too,
    where the source leaves the area of this one.
    """

    crs: CRS
    name: str = ""
    accuracy: float = -1.0
    warnings: tuple[str, ...] = ()
    bound: bool = False
    elsewhere: bool = False

    def warnings_beside(self, apart: float) -> tuple[str, ...]:
        """Return ``warnings``, and another one where gdalwarp takes another operation, so that its
        grid lies ``apart`` pixels from ours."""
        if not apart:
            return self.warnings
        note = (
            f"gdalwarp would take another datum operation here: its grid lies {apart:.3g} pixels "
            f"away; {self.name!r} is used for grid and pixels"
        )
        return (*self.warnings, note)

    def to_notes(self, apart: float) -> dict[str, object]:
        """Return the operation JSON-ready; empty where there was none to choose. ``apart`` is as in
        :meth:`warnings_beside`."""
        if not self.name:
            return {}
        return {
            "datum_operation": self.name,
            "datum_accuracy": self.accuracy,
            "datum_bound": self.bound,
            "datum_apart": apart,
            "datum_elsewhere": self.elsewhere,
        }


def choose(placed: PixelGrid, dst_crs: CRS) -> DatumOperation:
    """Choose the operation from ``placed`` to ``dst_crs``."""
    chosen = _choose(placed, dst_crs)
    lost = filter(crs_lookup.is_lost_in_gdal, (placed.crs, dst_crs))
    notes = [
        f"GDAL does not find the datum of {crs_lookup.named(each)} by its name: pixels that it "
        "warps are not shifted to or from it; give the CRS by its EPSG code, if it has one"
        for each in lost
        if not crs_lookup.same(placed.crs, dst_crs) and not chosen.bound
    ]
    return replace(chosen, warnings=(*chosen.warnings, *notes)) if notes else chosen


def _choose(placed: PixelGrid, dst_crs: CRS) -> DatumOperation:
    own, box = placed.crs, projection.lonlat_box(placed)
    if box is None or crs_lookup.same(own, dst_crs):
        return DatumOperation(own)
    known = coordinate_operations.known(crs_lookup.wkt_of(own), crs_lookup.wkt_of(dst_crs))
    # The CRS of a file has no area of use: GDAL's text leaves it out.
    own_area, dst_area = projection.box_of(known.area), projection.area_of_use(dst_crs)
    is_near = _meets(box, own_area) and _meets(box, dst_area)
    area = _area(box)
    if known.pipeline and is_near and _is_from_greenwich(own):
        return DatumOperation(own) if _holds(own_area, box) else _only(placed, dst_crs, known, area)
    try:
        by_area = Transformer.from_crs(own, dst_crs, always_xy=True, area_of_interest=area)
        by_area.transform(*placed.middle)
        # PROJ does not report an operation that computes nothing as used.
        noop = by_area.definition.startswith("proj=noop")
        used = by_area if noop else by_area.get_last_used_operation()
    except ProjError:  # none, or none there
        return DatumOperation(own)
    chosen = _chosen(placed, dst_crs, by_area, used)
    lacking = () if known.lacking is None else _lacking(own, dst_crs, area, used.accuracy)
    return replace(chosen, accuracy=used.accuracy, warnings=(*chosen.warnings, *lacking))


@dataclass(frozen=True, slots=True)
class _Sample:
    """Points that one operation moves: ``here``, over the source, to ``there``; and ``target``,
    over the box of ``there``, back to ``back``: NaN beside the source, as no pixel comes from
    there."""

    here: Pair
    there: Pair
    target: Pair
    back: Pair

    @classmethod
    def of(cls, placed: PixelGrid, operation: Transformer) -> _Sample:
        width, height = placed.width, placed.height
        here = projection.apply(placed.transform, *projection.lattice(width, height, _POINTS))
        there = projection.finite(*operation.transform(*here))
        if np.isnan(there[0]).all():
            return cls(here, there, there, here)
        box = pixel_grid.Box.around(*there)
        cols, rows = projection.lattice(box.width, box.height, _POINTS_BACK)
        target = box.minx + cols, box.miny + rows
        back = _back(operation, target)
        col, row = projection.invert(placed.transform, *back)
        inside = (abs(col - width / 2) <= width / 2 + 1) & (abs(row - height / 2) <= height / 2 + 1)
        x, y = (np.where(inside, each, np.nan) for each in back)
        return cls(here, there, target, (x, y))

    def is_moved_by(self, operation: Transformer) -> bool:
        """Whether ``operation`` moves the points to the same places."""
        there = projection.finite(*operation.transform(*self.here))
        return self.is_met_by(there, _back(operation, self.target))

    def is_met_by(self, there: Pair, back: Pair) -> bool:
        """Whether others moved the points to the same places."""
        x, y = self.back
        at = np.isfinite(x)
        return _alike(self.there, there) and _alike(
            (x[at], y[at]), (back[0][at], back[1][at]), 1e-9
        )


def _back(operation: Transformer, target: Pair) -> Pair:
    return projection.finite(*operation.transform(*target, direction=TransformDirection.INVERSE))


def _only(
    placed: PixelGrid, dst_crs: CRS, known: Operations, area: AreaOfInterest
) -> DatumOperation:
    """Return the only operation, whose area the source leaves: GDAL makes no shift out there."""
    own, name = placed.crs, known.name
    by_area = Transformer.from_crs(own, dst_crs, always_xy=True, area_of_interest=area)
    if _Sample.of(placed, Transformer.from_pipeline(known.pipeline)).is_moved_by(by_area):
        return DatumOperation(own)
    return DatumOperation(own, name, known.accuracy, (_elsewhere(name),), elsewhere=True)


def _elsewhere(name: str) -> str:
    return f"gdalwarp takes {name!r} in a part of the source only; here all of it is moved by it"


def _chosen(
    placed: PixelGrid, dst_crs: CRS, by_area: Transformer, used: Transformer
) -> DatumOperation:
    """Bind the operation that PROJ used in the middle of the source, if needed and possible.

    ``by_area`` is PROJ's transformer for the area of the source, which may change its operation
    from point to point; ``used`` is the operation that it used in the middle.
    """
    own, name = placed.crs, coordinate_operations.name_of(used)
    sample = _Sample.of(placed, used)
    there = projection.project(*sample.here, own, dst_crs)
    if sample.is_met_by(there, projection.project(*sample.target, dst_crs, own)):
        if sample.is_moved_by(by_area):
            return DatumOperation(own, name)
        return DatumOperation(own, name, warnings=(_elsewhere(name),), elsewhere=True)
    names = " to ".join(map(crs_lookup.named, (own, dst_crs)))
    several = f"PROJ knows several datum operations from {names}"
    # No shift in the middle is no reason to shift nothing elsewhere.
    by_place = name.startswith(_BALLPARK) and _alike(
        there, projection.finite(*by_area.transform(*sample.here))
    )
    unbound = by_place or projection.centre_longitude(placed) is not None
    bound = None if unbound else _bound(used, own)
    if bound is None or not _is_obeyed(bound, dst_crs, sample.here, sample.there):
        note = f"{several} and takes another one from place to place, in the middle {name!r}"
        return DatumOperation(own, name, warnings=(note,))
    note = f"{several}: {name!r} is used for the whole source"
    return DatumOperation(bound, name, warnings=(note,), bound=True)


@crs_lookup.by_text
def _is_from_greenwich(crs: CRS) -> bool:
    meridian = crs.prime_meridian
    return meridian is None or meridian.longitude == 0


def _holds(area: pixel_grid.Box | None, box: pixel_grid.Box) -> bool:
    """Whether an area of use holds a whole box, or is unknown."""
    if area is None:
        return True
    along = any(area.minx <= box.minx + turn and box.maxx + turn <= area.maxx for turn in _TURNS)
    return along and area.miny <= box.miny and box.maxy <= area.maxy


def _meets(box: pixel_grid.Box, area: pixel_grid.Box | None) -> bool:
    """Whether a box overlaps an area of use, or the area is unknown."""
    if area is None:
        return True
    along = any(box.minx + turn <= area.maxx and area.minx <= box.maxx + turn for turn in _TURNS)
    return along and box.miny <= area.maxy and area.miny <= box.maxy


def _area(box: pixel_grid.Box) -> AreaOfInterest:
    west, east = -180.0, 180.0
    if box.width < projection.ROUND:
        west, east = ((side + 180) % 360 - 180 for side in (box.minx, box.maxx))
    return AreaOfInterest(west, max(box.miny, -90.0), east, min(box.maxy, 90.0))


def _lacking(src: CRS, dst: CRS, area: AreaOfInterest, accuracy: float) -> tuple[str, ...]:
    """Return a warning where PROJ knows a better operation whose grid is not installed."""
    operations = coordinate_operations.between(src, dst, area)
    note = operations.missing_grid(crs_lookup.named(dst))
    stated = "unknown" if accuracy < 0 else f"{accuracy:g} m"
    return (f"{note}; the accuracy of the one used is {stated}",) if note else ()


def _bound(best: Transformer, src: CRS) -> CRS | None:
    """Return ``src`` with the one datum shift of ``best``; None if it has several, or none."""
    steps = [step for step in best.operations or () if step.type_name == _SHIFT]
    if len(steps) != 1:
        return None
    step, own = json.loads(steps[0].to_json()), json.loads(src.to_json())
    # By its code GDAL would look the CRS up again, without its shift.
    for each in (own, own.get("base_crs", {})):
        each.pop("id", None)
    try:
        if step["name"].startswith(_BALLPARK):
            return CRS.from_wkt(CRS.from_json_dict(_without_datum(own)).to_wkt())
        hub = CRS.from_json_dict(step["target_crs"]).to_2d()
        shift = {name: step[name] for name in ("name", "method", "parameters")}
        whole = {
            "type": "BoundCRS", "source_crs": own, "target_crs": json.loads(hub.to_json()),
            "transformation": shift,
        }  # fmt: skip
        return CRS.from_wkt(CRS.from_json_dict(whole).to_wkt())
    except (ProjError, KeyError):
        return None


def _without_datum(node: Any) -> Any:
    """Return the JSON of a CRS on the same ellipsoid, but on no known datum, which PROJ does not
    shift."""
    if isinstance(node, list):
        return [_without_datum(each) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _without_datum(value) for key, value in node.items() if key not in {"id", "ids"}}
    datum = copy.pop("datum", None) or copy.pop("datum_ensemble", None)
    if datum is not None:
        ellipsoid = datum["ellipsoid"]
        copy["datum"] = {
            "type": "GeodeticReferenceFrame", "ellipsoid": ellipsoid,
            "name": f"Unknown based on {ellipsoid['name']} ellipsoid",
        }  # fmt: skip
        if "prime_meridian" in datum:
            copy["datum"]["prime_meridian"] = datum["prime_meridian"]
    return copy


def _is_obeyed(bound: CRS, dst: CRS, here: Pair, expected: Pair) -> bool:
    """Whether PROJ, in both directions, and GDAL transform ``bound`` as the operation does."""
    if not _alike(expected, projection.project(*here, bound, dst)):
        return False
    back = projection.project(*expected, dst, bound)
    if not _alike(here, back, 1e-9):
        return False
    crs = [rio.CRS.from_wkt(crs_lookup.wkt_of(each)) for each in (bound, dst)]
    on = np.isfinite(expected[0])
    try:
        with expected_gdal_errors():
            theirs = transform(*crs, here[0][on].tolist(), here[1][on].tolist())
    except (RasterioError, CPLE_BaseError):
        return False
    return _alike((expected[0][on], expected[1][on]), (np.array(theirs[0]), np.array(theirs[1])))


def _alike(one: Pair, other: Pair, slack: float = _ALIKE) -> bool:
    for a, b in zip(one, other, strict=True):
        if (np.isnan(a) != np.isnan(b)).any():
            return False
        on = ~np.isnan(a)
        if on.any() and np.abs(a[on] - b[on]).max() > slack * max(np.abs(a[on]).max(), 1.0):
            return False
    return True
