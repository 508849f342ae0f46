"""The step *clip*: a part of a raster, by whole pixels, and what lies in a geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geobatch_tui.errors import (
    EmptyInputError,
    PreflightError,
    SchemaError,
    SourceChangedError,
    SourceNotFoundError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.io.digest import state_of
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid import cutline, georeference, pixel_grid, projection
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.source import metadata, opened_source
from geobatch_tui.execution.raster.steps.conversion import valid_bands
from geobatch_tui.execution.raster.steps.reproject_step import with_alpha
from geobatch_tui.execution.raster.steps.step import Block, grid_of
from geobatch_tui.execution.raster.warp import gdal_warp

if TYPE_CHECKING:
    from pyproj import CRS
    from shapely import Geometry

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.raster.steps.step import Planning, Upstream
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Part of a pixel by which a corner may lie beside a pixel's edge and count as on it, as in GDAL.
_NUDGE = 0.001


@dataclass(frozen=True, slots=True)
class Area:
    """An area in a CRS."""

    shape: Geometry
    crs: CRS

    @property
    def box(self) -> pixel_grid.Box | None:
        """The bounds of a rectangle along the axes; None of other areas."""
        return pixel_grid.Box(*self.shape.bounds) if cutline.is_rectangle(self.shape) else None


class Clip:
    """Cuts a rectangle out of a raster; pixels keep their places.

    Within a geometry that is no rectangle along the axes, and with ``add_alpha``, the rectangle is
    the one round the geometry, and pixels without a part of it inside become invalid: nodata,
    masked, or transparent.
    """

    name = "clip"
    version = 1

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        sides: cutline.Cutline | None = None
        if params.window is not None:
            asked = Window(*(int(value) for value in params.window))
        else:
            area = _area_of(up, params, planning)
            if area.box is not None and not params.add_alpha and (params.bbox or _is_upright(up)):
                asked = _window_of(up, area.box, area.crs, planning)
            else:
                sides = _sides_of(up, area, planning)
                asked = _window_round(sides.bounds)
        window = _held(up, asked, allow=params.allow_bbox_outside_source, planning=planning)
        values: dict[str, object] = {"offset": [window.col_off, window.row_off]}
        raster = _moved(up, window)
        if sides is not None:
            values["sides"] = sides.within(window).to_text()
            raster = _marking(raster, planning, alpha=params.add_alpha)
        return StepPlan(self.name, self.version, values, raster)

    def need(self, step: StepPlan, up: Raster, window: Window) -> Window:
        del up
        left, top = step.values["offset"]
        return replace(window, col_off=window.col_off + left, row_off=window.row_off + top)

    def compute(self, step: StepPlan, up: Upstream, window: Window) -> Block:
        part = self.need(step, up.raster, window)
        if "sides" not in step.values:
            return up.block(part)
        inside = _cutline(step, up).touched(part)
        if not inside.any():  # nor need it be read
            return _nothing(step.raster, window)
        return _cut(step.raster, up.raster, up.block(part), inside)

    def scratch(self, step: StepPlan, up: Raster) -> int:
        """The mask, and a copy of the pixels, with their validity where an alpha band is added."""
        if "sides" not in step.values:
            return 0
        added = step.raster.count > up.count
        return 1 + up.count * (np.dtype(up.dtype).itemsize + added) + added


def _area_of(up: Raster, params: Frozen, planning: Planning) -> Area:
    """Return the area that is asked for, in the CRS in which it is."""
    if params.bbox is not None:
        crs = _crs(params.bbox_crs, "bbox_crs", up)
        return Area(shapely.box(*(float(value) for value in params.bbox)), crs)
    if params.like:
        area = _area_like(params.like, params.like_state, planning)
    else:
        shape, named = cutline.parse(params.geometry)
        area = Area(shape, _crs(params.geometry_crs or named, "geometry_crs", up))
    return replace(area, shape=shapely.box(*area.shape.bounds)) if params.only_bbox else area


def _crs(text: str, what: str, up: Raster) -> CRS:
    return assigned_crs.parse(text, what, PreflightError) if text else grid_of(up).crs


def _area_like(path: str, state: str, planning: Planning) -> Area:
    """Return the area of another raster."""
    planning.alone = True
    try:
        if state and state_of(path) != state:
            raise SourceChangedError(f"{path} is not the file that it was when the job was read")
        with opened_source.open_source(path) as dataset:
            nothing_assigned = assigned_crs.Assigned("", "", "like")
            notices: list[str] = []
            grid, _ = georeference.place(dataset, nothing_assigned, notices)
    except UnsupportedFormatError as error:
        raise UnsupportedFormatError(
            f"like: {error.message}",
            hint="like is a raster; of a file of polygons, give the outline as geometry",
        ) from error
    except OSError as error:
        raise SourceNotFoundError(f"like: {path} cannot be read: {error.strerror}") from error
    for notice in notices:
        planning.warn(f"like: {notice}")
    x, y = projection.apply(grid.transform, *projection.corners(grid.width, grid.height))
    return Area(shapely.polygons(np.stack([x, y], axis=1)), grid.crs)


def _is_upright(up: Raster) -> bool:
    a, b, _, d, e, _ = up.transform
    return not (b or d) and a > 0 > e


def _window_of(up: Raster, box: pixel_grid.Box, crs: CRS, planning: Planning) -> Window:
    """Return the pixels under ``box``."""
    if not _is_upright(up):
        raise SchemaError(
            "a rotated or upside-down grid cannot be clipped by bbox",
            hint="clip by window, or by geometry",
        )
    own = grid_of(up).crs
    if not crs_lookup.same(crs, own):
        moved = projection.project_box(box, own, crs)
        if moved is None:
            raise SchemaError(f"the box cannot be transformed to {crs_lookup.named(own)}")
        box = moved
        planning.warn(
            f"the clip is the box, in the CRS of the input, around that in {crs_lookup.named(crs)}"
        )
    corners = np.array([box.minx, box.maxx]), np.array([box.maxy, box.miny])
    (left, right), (top, bottom) = projection.invert(up.transform, *corners)
    return _window_round((float(left), float(top), float(right), float(bottom)))


def _sides_of(up: Raster, area: Area, planning: Planning) -> cutline.Cutline:
    """Return the outline of ``area`` in pixels."""
    sides = cutline.Cutline.of(area.shape, area.crs, grid_of(up))
    if sides.added:
        planning.warn(
            f"{sides.added} points were added to the geometry's sides, which are straight in "
            f"{crs_lookup.named(area.crs)} and bend in the CRS of the input"
        )
    return sides


def _window_round(bounds: tuple[float, float, float, float]) -> Window:
    """Return the pixels round ``bounds`` in pixels, as gdal raster clip counts them."""
    left, top, right, bottom = bounds
    if not np.isfinite(bounds).all():
        raise SchemaError("the bounds of the clip are not finite")
    return Window.between(
        math.floor(left + _NUDGE),
        math.floor(top + _NUDGE),
        math.ceil(right - _NUDGE),
        math.ceil(bottom - _NUDGE),
    )


def _held(up: Raster, asked: Window, *, allow: bool, planning: Planning) -> Window:
    """Return the part of ``asked`` that lies in the input."""
    window = asked.clip(up.whole)
    if not window.size:
        raise EmptyInputError(
            f"the clip has no pixel of the input, which is {up.width}x{up.height} pixels: "
            f"offset {asked.col_off},{asked.row_off}, size {asked.width}x{asked.height}"
        )
    if window != asked:
        if not allow:
            raise SchemaError(
                f"the clip reaches beyond the input: pixels {asked.bounds} of "
                f"{up.width}x{up.height}",
                hint="allow_bbox_outside_source = true takes the part that lies in it",
            )
        planning.warn(
            f"the clip is cut to the input, pixels {window.bounds} in place of {asked.bounds}; "
            "GDAL would add pixels of nothing"
        )
    return window


def _moved(up: Raster, window: Window) -> Raster:
    """Return ``window`` of a raster."""
    a, b, c, d, e, f = up.transform
    left, top = window.col_off, window.row_off
    return replace(
        up,
        width=window.width,
        height=window.height,
        transform=(a, b, c + left * a + top * b, d, e, f + left * d + top * e),
        domains=metadata.moved(up.domains),
    )


def _marking(raster: Raster, planning: Planning, *, alpha: bool) -> Raster:
    """Return ``raster`` with a way to mark pixels outside the geometry."""
    if raster.validity == "alpha":
        return raster
    if alpha:
        return with_alpha(replace(raster, nodata=None, validity="alpha"))
    if raster.validity == "none":
        planning.warn(
            "the input has no nodata, alpha or mask: pixels outside the geometry are masked; "
            "GDAL leaves 0 there, as a value like any other"
        )
        return replace(raster, validity="mask")
    return raster


def _cutline(step: StepPlan, up: Upstream) -> cutline.Cutline:
    """Return the outline of the step, decoded once."""
    known = up.built.get("clip")
    if not isinstance(known, cutline.Cutline):
        known = up.built["clip"] = cutline.Cutline.from_text(step.values["sides"])
    return known


def _nothing(raster: Raster, window: Window) -> Block:
    """Return a block without a valid pixel."""
    outside = 0 if raster.nodata is None else raster.nodata
    pixels = np.full((raster.count, *window.shape), outside, raster.dtype)
    return Block(pixels, np.zeros(window.shape, bool) if raster.validity == "mask" else None)


def _cut(raster: Raster, up: Raster, given: Block, inside: Valid) -> Block:
    """Return the pixels of ``given`` that are ``inside``."""
    if raster.count > up.count:
        return _with_alpha(raster, up, given, inside)
    if inside.all() and raster.validity == up.validity:
        return given
    outside = 0 if raster.nodata is None else raster.nodata
    pixels: Pixels = np.where(inside, given.pixels, np.asarray(outside, raster.dtype))
    if raster.validity != "mask":
        return Block(pixels)
    return Block(pixels, inside if given.mask is None else given.mask & inside)


def _with_alpha(raster: Raster, up: Raster, given: Block, inside: Valid) -> Block:
    """Return ``given`` with alpha, which is opaque where any band is valid, as in GDAL; an invalid
    band is 0 there."""
    valid = valid_bands(up, given)
    known = inside[np.newaxis] if valid is None else valid & inside
    pixels: Pixels = np.zeros((raster.count, *inside.shape), raster.dtype)
    np.copyto(pixels[:-1], given.pixels, where=True if known.all() else known)
    np.copyto(pixels[-1], gdal_warp.opaque(raster.dtype), where=known.any(axis=0))
    return Block(pixels)
