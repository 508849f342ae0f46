"""The CRS of a source and that of its output, as job and format want them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyproj import CRS

from geobatch_tui.errors import CrsError, GeobatchError, PreflightError
from geobatch_tui.execution.proj import assigned_crs, coordinate_operations
from geobatch_tui.execution.proj.assigned_crs import horizontal, parse
from geobatch_tui.execution.proj.crs_lookup import named
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.plan import TABLE

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ProbeTask
    from geobatch_tui.execution.vector.read.layer import Layer


def both(
    task: ProbeTask, layer: Layer, dst_crs: str, warnings: list[str]
) -> tuple[CRS | None, CRS | None, dict[str, str]]:
    """Find the CRS of the source and that of the output, None where unknown, and what the plan says
    of where the first comes from."""
    src, known = of_source(task, layer, warnings)
    if src is None:
        if dst_crs:
            raise CrsError(f"{task.source} has no CRS", hint=assigned_crs.NO_CRS)
        return None, None, known
    try:
        return src, _output_crs(task, src, dst_crs, warnings), known
    except GeobatchError as error:
        error.evidence = {**known, **error.evidence}
        raise


def of_source(
    task: ProbeTask, layer: Layer, warnings: list[str]
) -> tuple[CRS | None, dict[str, str]]:
    """Find the CRS of the source, None where unknown, and what the plan says of where it comes
    from."""
    if layer.geometry_type == TABLE:
        return None, {}
    assigned = assigned_crs.Assigned.of(task.source_options)
    src, crs_source = assigned_crs.choose(layer.crs or "", assigned, task.source, warnings)
    if src is None:
        warnings.append(
            "the source has no CRS; its coordinates are taken for longitude and latitude on WGS 84"
            if OUTPUT_FORMATS[task.output["format"]].is_json
            else "the source has no CRS, nor has the output"
        )
        return None, {}
    if crs_source == "file" and format_of(layer.driver).crs_beside:
        crs_source = "sidecar"
    known = assigned.notes(crs_source)
    try:
        src = horizontal(src, "the source", warnings)
        assigned_crs.require(src, str(task.source_options.get("require_crs") or ""))
    except GeobatchError as error:
        error.evidence = {**known, **error.evidence}
        raise
    return src, known


def _output_crs(task: ProbeTask, src: CRS, dst_crs: str, warnings: list[str]) -> CRS:
    """Return the horizontal CRS of the output, which is as the format wants it."""
    dst = src
    if dst_crs:
        dst = horizontal(parse(dst_crs, "dst_crs", PreflightError), "dst_crs", warnings)
        # Asked by the texts of the plan, so that chunks in this process find it cached.
        operations = coordinate_operations.known(src.to_wkt(), dst.to_wkt())
        if not operations.pipelines:
            raise CrsError(f"PROJ knows no way from {named(src)} to {named(dst)}")
        if warning := operations.missing_grid(named(dst)):
            warnings.append(warning)
    if OUTPUT_FORMATS[task.output["format"]].is_json:
        error = PreflightError if dst_crs else CrsError
        require_lonlat(dst, error, "vector.reproject with dst_crs =")
    return dst


def require_lonlat(crs: CRS, error: type[GeobatchError], how: str) -> None:
    """Raise ``error`` where a CRS is not the one that GeoJSON is in."""
    if not crs.equals(CRS.from_epsg(4326), ignore_axis_order=True):
        raise error(
            f"GeoJSON is in longitude and latitude on WGS 84 (RFC 7946), not in {named(crs)}",
            hint=f"{how} EPSG:4326, or another output.format",
        )
