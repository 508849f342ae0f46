"""Reads the georeference of a source: its CRS and transform, or the reason why it has none."""

from __future__ import annotations

import math
import os
import warnings
from typing import TYPE_CHECKING

from geobatch_tui.errors import CrsError
from geobatch_tui.execution.proj.assigned_crs import NO_CRS, Assigned, CrsSource, choose, horizontal
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.runtime.recorder import filters

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

#: Drivers of formats without a CRS: it is in a file beside them.
_BARE = frozenset({"AAIGrid", "BMP", "GIF", "JPEG", "PNG", "WEBP"})
#: Drivers that take the CRS of a file beside them before their own, unless they are told not to.
_BESIDE_FIRST = frozenset({"GTiff", "JP2OpenJPEG"})
#: Suffixes of such files: behind the whole name, and in place of its suffix.
_BEHIND, _INSTEAD = ".aux.xml", (".tab", ".TAB", ".Tab")


def place(
    dataset: DatasetReader, assigned: Assigned, notices: list[str]
) -> tuple[PixelGrid, CrsSource]:
    """Read the horizontal CRS, transform and size of ``dataset``, and where its CRS comes from.

    ``notices`` gets warnings.

    Raises:
        CrsError: no CRS, one that is not of the Earth, no transform, or only ground control points
            or RPCs.
    """
    transform = dataset.transform
    if transform.is_identity:
        from rasterio.errors import NotGeoreferencedWarning

        with filters, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            points, _ = dataset.gcps
            rpcs = dataset.rpcs
        if points or rpcs:
            what = f"{len(points)} ground control points" if points else "RPCs"
            raise CrsError(
                f"{dataset.name} has only {what}, no geotransform",
                hint="rectify it first: gdalwarp -order 1 or -rpc",
            )
        raise CrsError(
            f"{dataset.name} has no geotransform: nobody knows where its pixels lie",
            hint="assign one: gdal_translate -a_ullr, or a world file",
        )
    if not all(math.isfinite(value) for value in tuple(transform)[:6]):
        raise CrsError(
            f"{dataset.name} has a geotransform that is no number: {tuple(transform)[:6]}",
            hint="assign another: gdal_translate -a_ullr",
        )
    if transform.is_degenerate:
        raise CrsError(f"{dataset.name} has a degenerate geotransform {tuple(transform)[:6]}")
    own = dataset.crs
    text = own.to_wkt() if own is not None else ""
    crs, crs_source = choose(text, assigned, dataset.name, notices)
    if crs is None:
        raise CrsError(f"{dataset.name} has no CRS", hint=NO_CRS)
    if crs.is_engineering:
        raise CrsError(
            f"{dataset.name} is in a local CRS ({crs.name!r}), not on the Earth", hint=NO_CRS
        )
    if crs_source == "file" and _is_beside(dataset, text):
        crs_source = "sidecar"
    numbers = tuple(float(value) for value in transform)[:6]
    return PixelGrid(
        horizontal(crs, "the source", notices),
        numbers,  # type: ignore[arg-type]
        dataset.width,
        dataset.height,
    ), crs_source


def _is_beside(dataset: DatasetReader, text: str) -> bool:
    """Whether the CRS of ``dataset``, the WKT ``text``, comes from a file beside it."""
    if dataset.driver in _BARE:
        return True
    if dataset.driver not in _BESIDE_FIRST:
        return False
    # GDAL's list of files would look for dozens: for a small source that takes as long as its CRS.
    stem = os.path.splitext(dataset.name)[0]  # noqa: PTH122
    names = (dataset.name + _BEHIND, *(stem + suffix for suffix in _INSTEAD))
    if not any(os.path.exists(name) for name in names):  # noqa: PTH110
        return False
    import rasterio

    with rasterio.open(
        dataset.name, driver=dataset.driver, sharing=False, GEOREF_SOURCES="INTERNAL"
    ) as alone:
        inside = alone.crs
    return inside is None or inside.to_wkt() != text
