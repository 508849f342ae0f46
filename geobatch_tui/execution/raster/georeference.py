"""Where a source lies: its CRS and transform, or why nobody can tell."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from pyproj.exceptions import CRSError as ProjError

from geobatch_tui.errors import CrsError, GeobatchError
from geobatch_tui.execution.quiet import filters
from geobatch_tui.execution.raster import mapping
from geobatch_tui.execution.raster.grids import Source

if TYPE_CHECKING:
    from pyproj import CRS
    from rasterio.io import DatasetReader


def place(dataset: DatasetReader, assigned: str, told: list[str]) -> Source:
    """The horizontal CRS, transform and size of ``dataset``.

    ``assigned`` stands in for the file's own CRS if not empty; ``told`` gets warnings.

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
    if transform.is_degenerate:
        raise CrsError(f"{dataset.name} has a degenerate geotransform {tuple(transform)[:6]}")
    crs = _crs(dataset, assigned)
    numbers = tuple(float(value) for value in transform)[:6]
    return Source(
        horizontal(crs, "the source", told),
        numbers,  # type: ignore[arg-type]
        dataset.width,
        dataset.height,
    )


def _crs(dataset: DatasetReader, assigned: str) -> CRS:
    if assigned:
        return parse(assigned, "src_crs", CrsError)
    own = dataset.crs
    text = own.to_wkt() if own is not None else ""
    if not text:
        raise CrsError(f"{dataset.name} has no CRS")
    crs = parse(text, f"the CRS of {dataset.name}", CrsError)
    if crs.is_engineering:
        raise CrsError(f"{dataset.name} is in a local CRS ({crs.name!r}), not on the Earth")
    return crs


def parse(text: str, what: str, error: type[GeobatchError]) -> CRS:
    """``text`` as a CRS; raises ``error`` where PROJ does not know it."""
    try:
        return mapping.crs_of(text)
    except ProjError as cause:
        raise error(f"{what} {text[:80]!r} is not a CRS that PROJ knows: {cause}") from cause


def horizontal(crs: CRS, what: str, told: list[str]) -> CRS:
    """The horizontal part of ``crs``, with a warning where there is another."""
    flat = _flat(crs.srs)
    if flat is None:
        return crs
    told.append(f"{what} has a vertical CRS ({crs.name!r}): heights are not transformed")
    return flat


@lru_cache(maxsize=64)
def _flat(text: str) -> CRS | None:
    """The horizontal part of the CRS of a text; None if there is no other."""
    crs = flat = mapping.crs_of(text)
    if crs.is_compound:
        flat = crs.sub_crs_list[0]
    if len(flat.axis_info) > 2:
        flat = flat.to_2d()
    return None if flat == crs else flat


def require(placed: Source, wanted: str) -> None:
    """Raises CrsError if the source is not in ``wanted`` (empty: any will do)."""
    if not wanted:
        return
    crs = parse(wanted, "require_crs", CrsError)
    if not placed.crs.equals(crs, ignore_axis_order=True):
        raise CrsError(
            f"the source is in {placed.crs.name!r}, require_crs asks for {crs.name!r}",
            hint="leave it out of this job, or drop source.require_crs",
        )
