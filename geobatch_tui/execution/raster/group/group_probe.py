"""Places the files of a group on one grid, that of a mosaic or a stack, and plans this step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.frozen import step_version
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster import source_raster, validity
from geobatch_tui.execution.raster.group import union_grid
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.source import size_checks
from geobatch_tui.execution.raster.source.member_files import packed
from geobatch_tui.execution.raster.steps.band_steps import TYPES, picked_bands, typed
from geobatch_tui.execution.raster.steps.grids.member_warps import NUMBERS
from geobatch_tui.execution.raster.steps.mosaic_step import STACK
from geobatch_tui.execution.raster.steps.step import Source
from geobatch_tui.execution.raster.warp import warp_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
    from geobatch_tui.execution.raster.group.file_looks import Kind, Looks
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Indices

#: Files that an error names.
_SHOWN = 10
#: Cells of the pattern of all edges up to which coverage is looked at; beyond it there is a mask.
_CELLS = 2**24


@dataclass(frozen=True, slots=True)
class Group:
    """The files of a group on the grid of the first.

    Attributes:
        paths: of all files, in their order.
        looks: what they are.
        first: the first file, which stays open.
        allow_vrt: whether a file may be a VRT.
    """

    paths: Sequence[str]
    looks: Looks
    first: Source
    allow_vrt: bool

    @classmethod
    def of(
        cls, paths: Sequence[str], looks: Looks, dataset: DatasetReader, *, allow_vrt: bool
    ) -> Group:
        """Return the group; ``dataset`` is its first file."""
        kind, (x, y) = looks.kinds[looks.kind[0]], looks.corners[0].tolist()
        facts, _ = source_raster.facts_of_source(dataset)
        return cls(paths, looks, Source(dataset, facts, kind.grid((x, y))), allow_vrt)

    @property
    def warnings(self) -> list[str]:
        """Those of all files, each once."""
        return list(dict.fromkeys(text for kind in self.looks.kinds for text in kind.warnings))

    @property
    def known(self) -> dict[str, object]:
        """Notes about all files, as where their CRS comes from: those of the last."""
        return {key: value for kind in self.looks.kinds for key, value in kind.known.items()}

    def check_blocks(self, max_bytes: int) -> None:
        """Raise MemoryBudgetError if a block of a file takes more than ``max_bytes``."""
        for number, kind in enumerate(self.looks.kinds):
            if kind.block_bytes > max_bytes:
                path = self.paths[int(np.argmax(self.looks.kind == number))]
                size_checks.refuse_large_block(path, kind.block_bytes, kind.facts.block, max_bytes)

    def others(self, params: Frozen) -> list[str]:
        """Return what is different in files that no resampling makes alike."""
        reasons = [self._differs(kind, params) for kind in self.looks.kinds]
        numbers = np.flatnonzero(np.array([bool(why) for why in reasons])[self.looks.kind])
        return [f"{self.paths[n]}: {reasons[self.looks.kind[n]]}" for n in numbers.tolist()]

    def windows(self, params: Frozen) -> tuple[Indices, list[str]]:
        """Return (files, 4): column and row from the corner of the first file's grid, width and
        height; and of each file that does not lie on this grid what is different."""
        looks, grid = self.looks, self.first.placed
        x, _, left, _, y, top = grid.transform
        places = (looks.corners - (left, top)) / (x, y)
        nearest = np.rint(places)
        reasons = [self._differs(kind, params) or self._apart(kind) for kind in looks.kinds]
        off = np.abs(places - nearest).max(axis=1) > union_grid.OFF
        others = off | np.array([bool(why) for why in reasons])[looks.kind]
        told = []
        for number in np.flatnonzero(others).tolist():
            why = reasons[looks.kind[number]] or (
                "its corner lies between pixels of the first file "
                f"({places[number, 0]:.3f}, {places[number, 1]:.3f})"
            )
            told.append(f"{self.paths[number]}: {why}")
        sizes = np.array([(kind.facts.width, kind.facts.height) for kind in looks.kinds])
        return np.column_stack([nearest.astype(np.int64), sizes[looks.kind]]), told

    def _differs(self, kind: Kind, params: Frozen) -> str:
        """Return in which kind of pixels a kind of files differs from the first; empty: none."""
        facts, first = kind.facts, self.first.facts
        wanted = getattr(params, "output_data_type", None)
        for name, own, other in (
            ("type", facts.dtype, first.dtype),
            ("bands", facts.count, first.count),
            ("nodata", repr(facts.nodatavals), repr(first.nodatavals)),
            ("alpha", facts.alpha, first.alpha),
        ):
            if own != other and not (name == "type" and wanted):
                return f"{name} {own}, where the first file has {other}"
        picks = getattr(params, "rule", "last") in {"last", "first"}
        if wanted and picks and not np.can_cast(facts.dtype, TYPES[wanted], "safe"):
            return f"type {facts.dtype}, whose values {wanted} cannot all hold"
        return ""

    def _apart(self, kind: Kind) -> str:
        """Return how the grid of a kind of files differs from that of the first."""
        facts, grid = kind.facts, self.first.placed
        crs = crs_lookup.crs_of(kind.crs)
        if not crs_lookup.same(crs, grid.crs):
            return f"CRS {crs_lookup.named(crs)}, not {crs_lookup.named(grid.crs)}"
        (a, b, d, e), (x, _, _, _, y, _) = kind.step, grid.transform
        spread = max(abs(a / x - 1) * facts.width, abs(e / y - 1) * facts.height)
        if b or d or spread > union_grid.ALIKE:
            return f"pixels of {a:.9g} x {-e:.9g}, where the first file has {x:.9g} x {-y:.9g}"
        return ""


def plan_group(group: Group, name: str, params: Frozen, planning: Planning) -> StepPlan:
    """Return the first step of a chain: ``name`` is mosaic or stack.

    Raises:
        SchemaError: files differ in CRS, pixels, type or bands; or their union cannot be held.
    """
    dataset, facts = group.first.dataset, group.first.facts
    values: dict[str, object] = {"allow_vrt": group.allow_vrt}
    grid, windows = _placed(group, params, planning, values)
    choice = validity.choose(
        facts, src_nodata=None, dst_nodata=None, add_alpha=False, outside="warps" in values
    )
    planning.warnings += choice.warnings
    raster = source_raster.raster_of(dataset, choice, grid, planning.warnings, moved=True)
    if raster.validity == "none":
        if not _covers(windows, grid, alone=name == STACK):
            raster = replace(raster, validity="mask")
            planning.warn("the files leave gaps, and have no nodata: the output gets a mask")
        elif any(kind.facts.mask for kind in group.looks.kinds):
            raster = replace(raster, validity="mask")
    rows = np.column_stack([windows, group.looks.statuses])
    values["files"] = packed(rows)
    if name == STACK:
        return StepPlan(name, step_version(name), values, _stacked(raster, group.paths))
    values["rule"] = params.rule
    planning.notes["files"] = len(rows)
    return StepPlan(name, step_version(name), values, _reduced(raster, params, planning))


def _placed(
    group: Group, params: Frozen, planning: Planning, values: dict[str, object]
) -> tuple[PixelGrid, Indices]:
    """Return the grid of the mosaic or stack, and the window of each file; ``values`` gets how
    files on other grids come onto it."""
    dataset, facts, placed = group.first.dataset, group.first.facts, group.first.placed
    asked = union_grid.is_asked(params)
    windows, others = (None, group.others(params)) if asked else group.windows(params)
    if others:
        shown = "\n".join(f"  {text}" for text in others[:_SHOWN])
        more = len(others) - _SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        raise SchemaError(
            f"{len(others)} files do not lie on the grid of {dataset.name}:\n{shown}{rest}",
            hint=_hint(others),
        )
    if windows is not None:
        return _grown(placed, windows), windows
    placing = union_grid.place(group.paths, group.looks, params, allow_vrt=group.allow_vrt)
    planning.warnings += placing.warnings
    if placing.warps:
        corners = np.ascontiguousarray(group.looks.corners, "<f8").view("<i8")
        values["warped"] = packed(np.column_stack([placing.which, corners]), NUMBERS)
        values["warps"] = placing.warps
        planning.notes["resampled_files"] = int((placing.which >= 0).sum())
        warp_plan.check_resampling(
            dataset.name, facts.dtype, params.resampling or "nearest", planning.warnings,
            palette=source_raster.colormap_of(dataset) is not None,
        )  # fmt: skip
    return placing.grid, placing.windows


def _grown(first: PixelGrid, windows: Indices) -> PixelGrid:
    """Return the grid of the first file grown to that of all; ``windows`` are moved onto it."""
    left, top = windows[:, :2].min(axis=0).tolist()
    windows[:, :2] -= (left, top)
    right, bottom = (windows[:, :2] + windows[:, 2:]).max(axis=0).tolist()
    a, b, c, d, e, f = first.transform
    transform = (a, b, c + left * a, d, e, f + top * e)
    return replace(first, transform=transform, width=right, height=bottom)


def _hint(others: Sequence[str]) -> str:
    kinds = {text.rpartition(": ")[2].split(" ")[0] for text in others}
    if kinds == {"type"}:
        return "output_data_type gives all of them one type that holds their values"
    if kinds <= {"bands", "nodata", "alpha"}:
        return "make them alike first, by a job with select, edit or set-type; or group by a name"
    return "resampling brings them onto it, and output_crs into one CRS; or group by a name"


def _reduced(raster: Raster, params: Frozen, planning: Planning) -> Raster:
    """Return the raster that the rule gives."""
    if params.rule == "count":
        if raster.validity == "alpha":
            raster = picked_bands(raster, range(raster.bands))
        return replace(
            raster, dtype="uint16", nodata=None, validity="none", colormap=None,
            colorinterp=("gray", *["undefined"] * (raster.count - 1)),
        )  # fmt: skip
    if raster.colormap is not None and params.rule in {"mean", "median", "sum"}:
        raise SchemaError(
            f"{params.rule} would blend the class numbers of a palette", hint='rule = "last"'
        )
    if params.output_data_type:
        return typed(raster, TYPES[params.output_data_type], planning)
    return raster


def _stacked(raster: Raster, paths: Sequence[str]) -> Raster:
    """Return the raster with the bands of all files."""
    if raster.validity == "alpha":
        raise SchemaError("files with alpha cannot be stacked", hint="take their bands by select")
    several = picked_bands(raster, list(range(raster.count)) * len(paths))
    names = [
        f"{Path(path).stem}{f' {band + 1}' if raster.count > 1 else ''}"
        for path in paths
        for band in range(raster.count)
    ]
    colours = ("gray", *["undefined"] * (several.count - 1))
    return replace(several, descriptions=tuple(names), colorinterp=colours)


def _covers(windows: Indices, grid: PixelGrid, *, alone: bool) -> bool:
    """Whether windows (column, row, width, height) cover all of a raster; ``alone``: each does."""
    size = (grid.width, grid.height)
    if alone:
        return bool((windows == (0, 0, *size)).all())
    low = np.clip(windows[:, :2], 0, size)
    high = np.clip(windows[:, :2] + windows[:, 2:], 0, size)
    x, y = (np.unique([0, side, *low[:, n], *high[:, n]]) for n, side in enumerate(size))
    if len(x) * len(y) > _CELLS:
        return False
    seen = np.zeros((len(y) - 1, len(x) - 1), bool)
    columns = np.searchsorted(x, np.column_stack([low[:, 0], high[:, 0]])).tolist()
    rows = np.searchsorted(y, np.column_stack([low[:, 1], high[:, 1]])).tolist()
    for across, down in zip(columns, rows, strict=True):
        seen[slice(*down), slice(*across)] = True
    return bool(seen.all())
