"""The size of a pixel in the unit of its heights, as GDAL 3.13 scales it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj import crs_lookup

if TYPE_CHECKING:
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.steps.step import Planning

#: Metres in units of heights, by the names that GDAL knows.
_METRES = {
    "": 1.0, "m": 1.0, "metre": 1.0, "meter": 1.0,
    "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "foot (international)": 0.3048,
    "us-ft": 0.3048006096012192, "foot_us": 0.3048006096012192,
    "us survey foot": 0.3048006096012192,
}  # fmt: skip
#: The equatorial radius in metres where a CRS has no ellipsoid.
_RADIUS = 6378137.0
#: Latitude in degrees beyond which a degree of longitude changes much within a raster.
_POLAR = 80.0
#: Part by which the sides of a pixel may differ, and directions be taken as if they did not.
_SQUARE = 0.01


def unturned(up: Raster) -> tuple[float, float]:
    """Return the width and height of a pixel; positive where x grows to the right and y upwards.
    Raises SchemaError if rows do not run along x."""
    a, b, _, d, e, _ = up.transform
    if b or d:
        raise SchemaError(
            "the grid is turned against its CRS, so that its rows and columns tell no slope",
            hint="the step reproject before it makes one that is not",
        )
    return a, -e


def sizes(up: Raster, params: Frozen, planning: Planning) -> tuple[float, float]:
    """Return the width and height of a pixel in the unit of the heights, as GDAL 3.13 scales them:
    in degrees by the latitude of the middle of the raster."""
    width, height = unturned(up)
    if params.xscale is not None:
        return width * params.xscale, height * params.yscale
    unit = up.units[params.band - 1]
    metres = _METRES.get(unit.lower())
    if metres is None:
        planning.warn(
            f"the unit of the heights is {unit!r}, which is not known: metres are assumed"
        )
        metres = 1.0
    crs = crs_lookup.crs_of(up.crs)
    unit_size = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    if crs.is_geographic:
        radius = crs.ellipsoid.semi_major_metre if crs.ellipsoid else _RADIUS
        latitude = _middle(up) * unit_size
        y_scale = unit_size * radius / metres
        x_scale = y_scale * math.cos(latitude)
        planning.warn(
            f"the grid is in degrees: a unit is taken for {x_scale:.7g} units of height along x "
            f"and {y_scale:.7g} along y, as at latitude {math.degrees(latitude):.6g}, its middle; "
            "xscale and yscale set others"
        )
        if abs(math.degrees(latitude)) > _POLAR:
            planning.warn(
                "so near to a pole that changes much within the raster: reproject it first"
            )
        return width * x_scale, height * y_scale
    if not crs.is_projected:
        planning.warn("the CRS is not of the Earth: its units are taken for those of the heights")
        return width, height
    scale = unit_size / metres
    if scale != 1 and not unit:
        planning.warn(
            f"heights are taken for metres, and the unit of the CRS for {unit_size:.7g} of them; "
            "xscale and yscale set others"
        )
    return width * scale, height * scale


def _middle(up: Raster) -> float:
    """Return y of the middle of the raster."""
    return up.transform[5] + up.height * up.transform[4] / 2


def say_of_squares(up: Raster, planning: Planning) -> None:
    """Warn if pixels are no squares on the ground: directions are those on a grid of squares."""
    width, height = abs(up.transform[0]), abs(up.transform[4])
    crs = crs_lookup.crs_of(up.crs)
    if crs.is_geographic and crs.axis_info:
        width *= math.cos(_middle(up) * crs.axis_info[0].unit_conversion_factor)
    if abs(width - height) > _SQUARE * height:
        turned = math.degrees(math.asin(abs(width - height) / (width + height)))
        planning.warn(
            f"pixels are taken for squares, as by GDAL, and are {width / height:.3g} times as wide "
            f"as high: directions are off by up to {turned:.2g} degrees; reproject goes before"
        )
