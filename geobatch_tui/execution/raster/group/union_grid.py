"""Chooses the grid of a mosaic of files on several grids, and plans how each comes onto it.

The grid is that of GDAL's mosaic: its corner is the upper left of all files, its pixels are as
large as asked for. A file that lies on it is read as it is; any other is warped into the part of
the grid that it covers, as *reproject* would.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import CrsError, GeobatchError, PreflightError, SchemaError
from geobatch_tui.execution.params.frozen import pixel_of
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.raster.grid.pixel_grid import MAX_SIDE, Box, PixelGrid
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import warp_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyproj import CRS

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.raster.group.file_looks import Kind, Looks
    from geobatch_tui.execution.raster.types import Indices, Points
    from geobatch_tui.execution.raster.warp.warp_plan import Reprojection

#: Part of a pixel by which a file may lie off the grid, and by which sizes of pixels may differ
#: over a whole file.
OFF, ALIKE = 0.01, 1e-3
#: Parts of a pixel by which an edge may lie beyond another pixel without reaching it.
_SLACK = 1e-6
#: A common resolution is no finer than this part of the finest.
_FINEST = 1000


def is_asked(params: Frozen) -> bool:
    """Whether files on other grids are to be resampled."""
    if getattr(params, "resolution", "same") != "same":
        return True
    names = ("resampling", "output_crs", "bbox", "target_aligned_pixels")
    return any(getattr(params, name, None) for name in names)


@dataclass(slots=True)
class Placing:
    """Files on a grid: the window of each, (files, 4), and which of ``warps`` brings it there; -1:
    none need."""

    grid: PixelGrid
    windows: Indices
    which: Indices
    warps: list[dict[str, object]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Files:
    paths: Sequence[str]
    looks: Looks
    allow_vrt: bool
    params: Frozen
    crs: CRS

    def kind(self, number: int) -> Kind:
        return self.looks.kinds[int(self.looks.kind[number])]

    def placed(self, number: int) -> PixelGrid:
        x, y = self.looks.corners[number].tolist()
        return self.kind(number).grid((x, y))

    def warp(
        self, number: int, box: Box | None, pixel: tuple[float, float] | None
    ) -> tuple[Reprojection, list[str]]:
        """Plan the warp of a file onto the part ``box`` of the grid; None: onto GDAL's own grid.
        Raises InvalidInputError and its kin, which name it."""
        placed, path = self.placed(number), self.paths[number]
        warnings: list[str] = []
        facts = replace(self.kind(number).facts, transform=placed.transform)
        asked: Any = SimpleNamespace(
            dst_crs=crs_lookup.wkt_of(self.crs), src_nodata=None, dst_nodata=None, add_alpha=False,
            bounds=None if box is None else (box.minx, box.miny, box.maxx, box.maxy),
            bounds_crs="", extent="source", resolution=pixel, size=None,
            target_aligned_pixels=False, resampling=self.params.resampling or "nearest",
            warp_options={}, transform_options={}, error_threshold=0.001,
        )  # fmt: skip
        with contextlib.ExitStack() as stack:
            dataset = stack.enter_context(opened_source.open_source(path, allow_vrt=self.allow_vrt))
            try:
                return warp_plan.plan_reproject(dataset, facts, placed, asked, warnings), warnings
            except GeobatchError as error:
                error.args = (f"{path}: {error.message}",)
                raise


def place(paths: Sequence[str], looks: Looks, params: Frozen, *, allow_vrt: bool) -> Placing:
    """Place files that differ in nothing but their grids.

    Raises:
        SchemaError: files are in several CRSs and none is asked for; there is no common resolution;
            the grid would be too large.
        InvalidInputError and its kin: a file cannot be warped onto the grid.
    """
    files = _Files(paths, looks, allow_vrt, params, _crs_of(paths, looks, params))
    straight = np.array([_is_straight(kind, files.crs) for kind in looks.kinds])
    boxes, pixels = _boxes(files, straight[looks.kind])
    pixel = _pixel(params, pixels, straight[looks.kind], paths)
    grid = _grid(files, boxes, pixel)
    return _onto(files, grid, boxes, pixels, straight[looks.kind])


def _crs_of(paths: Sequence[str], looks: Looks, params: Frozen) -> CRS:
    if params.output_crs:
        parsed = assigned_crs.parse(params.output_crs, "output_crs", PreflightError)
        return assigned_crs.horizontal(parsed, "output_crs", [])
    first = crs_lookup.crs_of(looks.kinds[looks.kind[0]].crs)
    other = [not crs_lookup.same(crs_lookup.crs_of(kind.crs), first) for kind in looks.kinds]
    numbers = np.flatnonzero(np.array(other)[looks.kind]).tolist()
    if numbers:
        told = [
            f"  {paths[number]}: CRS "
            f"{crs_lookup.named(crs_lookup.crs_of(looks.kinds[looks.kind[number]].crs))}"
            for number in numbers[:10]
        ]
        more = f"\n  and {len(numbers) - 10} more" if len(numbers) > 10 else ""
        raise SchemaError(
            f"{len(numbers)} files are not in {crs_lookup.named(first)}, the CRS of {paths[0]}:\n"
            + "\n".join(told) + more,
            hint="output_crs says into which CRS all of them are warped",
        )  # fmt: skip
    return first


def _is_straight(kind: Kind, crs: CRS) -> bool:
    """Whether files lie north up in ``crs``."""
    a, b, d, e = kind.step
    return not (b or d) and a > 0 > e and crs_lookup.same(crs_lookup.crs_of(kind.crs), crs)


def _boxes(files: _Files, straight: Any) -> tuple[Points, Points]:
    """Return bounds (files, 4) and sizes of pixels (files, 2) of all files in the CRS."""
    looks = files.looks
    steps = np.array([(kind.step[0], -kind.step[3]) for kind in looks.kinds])[looks.kind]
    sizes = np.array([(kind.facts.width, kind.facts.height) for kind in looks.kinds])[looks.kind]
    left, top = looks.corners.T
    boxes = np.column_stack(
        [left, top - steps[:, 1] * sizes[:, 1], left + steps[:, 0] * sizes[:, 0], top]
    )
    for number in np.flatnonzero(~straight).tolist():
        grid = files.warp(number, None, None)[0].grid
        boxes[number] = (grid.box.minx, grid.box.miny, grid.box.maxx, grid.box.maxy)
        steps[number] = grid.pixel
    return boxes, steps


def _pixel(
    params: Frozen, pixels: Points, straight: Any, paths: Sequence[str]
) -> tuple[float, float]:
    """Return width and height of a pixel of the mosaic."""
    rule = params.resolution
    if not isinstance(rule, str):
        across, down = pixel_of(rule) or (0.0, 0.0)
        return across, down
    if rule == "same":
        own = np.flatnonzero(straight)
        if not len(own):
            raise SchemaError(
                "no file lies north up in the CRS of the mosaic: its pixels have no size yet",
                hint='resolution = [x, y], or "highest"',
            )
        first = pixels[own[0]]
        odd = [n for n in own.tolist() if np.abs(pixels[n] / first - 1).max() > ALIKE]
        if odd:
            told = "\n".join(
                f"  {paths[n]}: {pixels[n, 0]:.9g} x {pixels[n, 1]:.9g}" for n in odd[:10]
            )
            raise SchemaError(
                f"{len(odd)} files have pixels of another size than {paths[own[0]]}, "
                f"{first[0]:.9g} x {first[1]:.9g}:\n{told}",
                hint='resolution = "highest", "lowest", "average", "common" or [x, y]',
            )
        across, down = first.tolist()
        return across, down
    if rule == "common":
        return _common(pixels[:, 0]), _common(pixels[:, 1])
    rules = {"highest": np.amin, "lowest": np.amax, "average": np.mean}
    taken: Any = rules[rule]
    across, down = taken(pixels, axis=0).tolist()
    return across, down


def _common(sizes: Points) -> float:
    """Return the largest size that all are whole multiples of, as decimals say. Raises SchemaError
    if it is far below all of them."""
    told = [Fraction(repr(float(size))) for size in np.unique(sizes)]
    common = told[0]
    for one in told[1:]:
        denominator = math.lcm(common.denominator, one.denominator)
        common = Fraction(math.gcd(int(common * denominator), int(one * denominator)), denominator)
    if common * _FINEST < min(told):
        raise SchemaError(
            f"pixels from {float(min(told)):.9g} to {float(max(told)):.9g} have no common size",
            hint='resolution = "highest", or [x, y]',
        )
    return float(common)


def _grid(files: _Files, boxes: Points, pixel: tuple[float, float]) -> PixelGrid:
    """Return the grid over all files, or over the bounds that are asked for."""
    params, (x, y) = files.params, pixel
    minx, miny = boxes[:, :2].min(axis=0).tolist()
    maxx, maxy = boxes[:, 2:].max(axis=0).tolist()
    if params.bbox is not None:
        minx, miny, maxx, maxy = params.bbox
    if params.target_aligned_pixels:
        minx, miny = math.floor(minx / x + _SLACK) * x, math.floor(miny / y + _SLACK) * y
        maxx, maxy = math.ceil(maxx / x - _SLACK) * x, math.ceil(maxy / y - _SLACK) * y
    width, height = (maxx - minx) / x + 0.5, (maxy - miny) / y + 0.5
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise SchemaError(f"the mosaic would have {width:.0f}x{height:.0f} pixels of {x:.9g}")
    return PixelGrid(files.crs, (x, 0.0, minx, 0.0, -y, maxy), int(width), int(height))


def _onto(files: _Files, grid: PixelGrid, boxes: Points, pixels: Points, straight: Any) -> Placing:
    (x, y), looks = grid.pixel, files.looks
    left, top = grid.transform[2], grid.transform[5]
    sizes = np.array([(kind.facts.width, kind.facts.height) for kind in looks.kinds])[looks.kind]
    corners = np.column_stack([(boxes[:, 0] - left) / x, (top - boxes[:, 3]) / y])
    nearest = np.rint(corners)
    fits = straight & (np.abs(corners - nearest).max(axis=1) <= OFF)
    fits &= (np.abs(pixels / (x, y) - 1) * sizes).max(axis=1) <= ALIKE
    windows = np.column_stack([nearest.astype(np.int64), sizes])
    ends = np.column_stack([(boxes[:, 2] - left) / x, (top - boxes[:, 1]) / y])
    low = np.clip(np.floor(corners + _SLACK), 0, (grid.width, grid.height)).astype(np.int64)
    high = np.clip(np.ceil(ends - _SLACK), 0, (grid.width, grid.height)).astype(np.int64)
    windows[~fits] = np.column_stack([low, np.maximum(high - low, 0)])[~fits]
    placing = Placing(grid, windows, np.full(len(windows), -1, np.int64))
    known: dict[int, int] = {}
    for number in np.flatnonzero(~fits & (windows[:, 2:] > 0).all(axis=1)).tolist():
        kind = int(looks.kind[number])
        if straight[number] and kind in known:
            placing.which[number] = known[kind]
            continue
        planned, told = files.warp(number, _part(grid, windows[number]).box, grid.pixel)
        warp = planned.warp
        if straight[number]:  # the scale is that of the sizes, wherever a file lies
            scale = (pixels[number] / (x, y)).tolist()
            warp = replace(warp, xscale=scale[0], yscale=scale[1])
            known[kind] = len(placing.warps)
        if planned.choice.adds_alpha:
            raise CrsError(f"{files.paths[number]}: it would get an alpha band")
        placing.which[number] = len(placing.warps)
        placing.warps.append({
            "warp": warp.to_json(), "validity": planned.choice.validity,
            "nodata": planned.choice.nodata,
        })  # fmt: skip
        placing.warnings += [text for text in told if text not in placing.warnings]
    windows[~fits & (placing.which < 0)] = 0
    return placing


def _part(grid: PixelGrid, window: Indices) -> PixelGrid:
    a, _, x, _, e, y = grid.transform
    left, top, width, height = window.tolist()
    return replace(
        grid, transform=(a, 0.0, x + left * a, 0.0, e, y + top * e), width=width, height=height
    )
