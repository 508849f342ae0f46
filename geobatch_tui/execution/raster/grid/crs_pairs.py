"""Properties that all grids of two CRSs share: determined once in a process, and used for
thousands of small files, which differ in their place alone.

Coordinates are a function of the point alone as long as there is one way between the two CRSs.
Where PROJ knows several, or would need a grid that it does not find, GDAL chooses by the area of a
source, and PROJ by itself from point to point: then each grid has to be looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.proj import coordinate_operations, crs_lookup
from geobatch_tui.execution.raster.grid import projection
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.grid.projection import Mapper

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.raster.grid.pixel_grid import Box

#: Pixels a side of the grids that stand for all: with so many, GDAL's coordinates may differ by
#: less than a millimetre.
_SIDE = 2**18


def has_one_way(src: CRS, dst: CRS) -> bool:
    """Whether PROJ knows exactly one operation from ``src`` to ``dst``, and lacks none."""
    operations = coordinate_operations.known(crs_lookup.wkt_of(src), crs_lookup.wkt_of(dst))
    return len(operations.pipelines) == 1 and operations.lacking is None and operations.best


def reference(src: CRS, dst: CRS) -> Mapper | None:
    """Return a source and a grid that cover most of the area of use of both CRSs; None if that area
    is unknown, or lies across the antimeridian."""
    shared = projection.shared_area(src, dst)
    if shared is None:
        return None
    source_box, grid_box = (projection.project_box(shared, crs) for crs in (src, dst))
    if source_box is None or grid_box is None:
        return None
    mapper = Mapper.between(
        PixelGrid(src, _transform_over(source_box), _SIDE, _SIDE),
        PixelGrid(dst, _transform_over(grid_box), _SIDE, _SIDE),
    )
    return None if mapper.centre is not None else mapper


def _transform_over(box: Box) -> tuple[float, float, float, float, float, float]:
    return (box.width / _SIDE, 0.0, box.minx, 0.0, -box.height / _SIDE, box.maxy)
