"""Opens the files of a group, and places them on one grid: that of a mosaic or a stack."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster import source_raster, validity
from geobatch_tui.execution.raster.plan import Raster, StepPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.source.member_files import packed
from geobatch_tui.execution.raster.source.twin_files import Twin, Twins
from geobatch_tui.execution.raster.steps.band_steps import TYPES, picked_bands, typed
from geobatch_tui.execution.raster.steps.mosaic_step import STACK, VERSION
from geobatch_tui.execution.raster.steps.step import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
    from geobatch_tui.execution.raster.source_facts import Facts
    from geobatch_tui.execution.raster.steps.step import Planning

#: Part of a pixel by which a file may lie off the grid of the first.
_OFF = 0.01
#: Part of a pixel by which sizes of pixels may differ over a whole file.
_ALIKE = 1e-3
#: Files that an error names.
_SHOWN = 10
#: Cells of the pattern of all edges up to which coverage is looked at; beyond it there is a mask.
_CELLS = 2**24


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a group: ``columns`` and ``rows`` from the corner of the first file's grid."""

    path: str
    columns: int
    rows: int
    width: int
    height: int
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Group:
    """The files of a group as they are opened one after the other.

    Attributes:
        place: returns the grid of an open file, in the CRS that the job gives it.
        allow_vrt: whether a file may be a VRT.
        max_bytes: what a block of a file may take.
        members: those that lie on the grid of the first.
        others: those that do not, with the reason.
        first: the first file, which stays open.
    """

    place: Callable[[DatasetReader], PixelGrid]
    allow_vrt: bool
    max_bytes: int
    members: list[Member] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    _first: Source | None = None
    _twins: Twins = field(default_factory=Twins)
    #: The corner of a file of each kind that GDAL opened, and its member.
    _known: dict[bytes, tuple[Twin, Member]] = field(default_factory=dict)

    @property
    def first(self) -> Source:
        """Raises SchemaError if no file was added."""
        if self._first is None:
            raise SchemaError("there is no file in the group")
        return self._first

    def add(self, path: str, stack: contextlib.ExitStack) -> None:
        """Open ``path`` and place it; ``stack`` keeps the first file open.

        Raises:
            InvalidInputError and its kin: it cannot be opened; the message names it.
        """
        twin = self._twins.look(path) if self._first is not None else None
        if twin is not None and twin.kind in self._known:
            self._add_twin(path, twin)
            return
        with contextlib.ExitStack() as own:
            opened = own.enter_context(opened_source.open_source(path, allow_vrt=self.allow_vrt))
            source_raster.check_types(path, opened)
            opened_source.refuse_bomb(path, opened, self.max_bytes)
            facts, _ = source_raster.facts_of_source(opened)
            placed = self.place(opened)
            if self._first is None:
                self._first = Source(opened, facts, placed)
                stack.push(own.pop_all())
            why = self._differs(facts, placed)
            if why:
                self.others.append(f"{path}: {why}")
                return
            columns, rows = map(round, self._position(placed))
            size, mtime_ns = _status(path)
            member = Member(path, columns, rows, placed.width, placed.height, size, mtime_ns)
            self.members.append(member)
            if twin is not None:
                self._known[twin.kind] = twin, member

    def _add_twin(self, path: str, twin: Twin) -> None:
        """Place a file that differs from a known one in its place alone."""
        other, member = self._known[twin.kind]
        x, _, _, _, y, _ = self.first.placed.transform
        columns, rows = (twin.x - other.x) / x, (twin.y - other.y) / y
        if max(abs(columns - round(columns)), abs(rows - round(rows))) > _OFF:
            self.others.append(
                f"{path}: its corner lies between pixels of the first file "
                f"({columns:.3f}, {rows:.3f})"
            )
            return
        size, mtime_ns = _status(path)
        self.members.append(
            replace(
                member,
                path=path,
                columns=member.columns + round(columns),
                rows=member.rows + round(rows),
                size=size,
                mtime_ns=mtime_ns,
            )
        )

    def _differs(self, facts: Facts, placed: PixelGrid) -> str:
        """Return what tells a file from the first; empty: nothing that matters."""
        first, grid = self.first.facts, self.first.placed
        for name, own, other in (
            ("type", facts.dtype, first.dtype),
            ("bands", facts.count, first.count),
            ("nodata", repr(facts.nodatavals), repr(first.nodatavals)),
            ("alpha", facts.alpha, first.alpha),
        ):
            if own != other:
                return f"{name} {own}, where the first file has {other}"
        if not crs_lookup.same(placed.crs, grid.crs):
            return f"CRS {crs_lookup.named(placed.crs)}, not {crs_lookup.named(grid.crs)}"
        a, b, _, d, e, _ = placed.transform
        x, _, _, _, y, _ = grid.transform
        spread = max(abs(a / x - 1) * placed.width, abs(e / y - 1) * placed.height)
        if b or d or spread > _ALIKE:
            return f"pixels of {a:.9g} x {-e:.9g}, where the first file has {x:.9g} x {-y:.9g}"
        columns, rows = self._position(placed)
        if max(abs(columns - round(columns)), abs(rows - round(rows))) > _OFF:
            return f"its corner lies between pixels of the first file ({columns:.3f}, {rows:.3f})"
        return ""

    def _position(self, placed: PixelGrid) -> tuple[float, float]:
        x, _, left, _, y, top = self.first.placed.transform
        return (placed.transform[2] - left) / x, (placed.transform[5] - top) / y


def _status(path: str) -> tuple[int, int]:
    now = os.stat(path)  # noqa: PTH116 -- thousands of them
    return now.st_size, now.st_mtime_ns


def plan_group(group: Group, name: str, params: Any, planning: Planning) -> StepPlan:
    """Return the first step of a chain: ``name`` is mosaic or stack.

    Raises:
        SchemaError: files differ in CRS, pixels, type or bands; or their union cannot be held.
    """
    dataset, facts, placed = group.first.dataset, group.first.facts, group.first.placed
    if group.others:
        shown = "\n".join(f"  {text}" for text in group.others[:_SHOWN])
        more = len(group.others) - _SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        raise SchemaError(
            f"{len(group.others)} files do not lie on the grid of {dataset.name}:\n{shown}{rest}",
            hint="bring them onto it first, by a job with reproject or resize; or group by a name",
        )
    left = min(member.columns for member in group.members)
    top = min(member.rows for member in group.members)
    right = max(member.columns + member.width for member in group.members)
    bottom = max(member.rows + member.height for member in group.members)
    a, b, c, d, e, f = placed.transform
    grid = replace(
        placed,
        transform=(a, b, c + left * a, d, e, f + top * e),
        width=right - left,
        height=bottom - top,
    )
    choice = validity.choose(
        facts, src_nodata=None, dst_nodata=None, add_alpha=False, outside=False
    )
    planning.warnings += choice.warnings
    raster = source_raster.raster_of(dataset, choice, grid, planning.warnings, moved=True)
    rows = [
        (m.columns - left, m.rows - top, m.width, m.height, m.size, m.mtime_ns)
        for m in group.members
    ]
    if raster.validity == "none" and not _covers(
        rows, grid.width, grid.height, alone=name == STACK
    ):
        raster = replace(raster, validity="mask")
        planning.warn("the files leave gaps, and have no nodata: the output gets a mask")
    values = {"files": packed(rows), "allow_vrt": group.allow_vrt}
    if name == STACK:
        return StepPlan(name, VERSION, values, _stacked(raster, group.members))
    values["rule"] = params.rule
    planning.notes["files"] = len(rows)
    return StepPlan(name, VERSION, values, _reduced(raster, params, planning))


def _reduced(raster: Raster, params: Any, planning: Planning) -> Raster:
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
        if params.rule in {"last", "first"}:
            raise SchemaError("output_data_type is for rules that compute values; use set-type")
        return typed(raster, TYPES[params.output_data_type], planning)
    return raster


def _stacked(raster: Raster, members: Sequence[Member]) -> Raster:
    """Return the raster with the bands of all files."""
    if raster.validity == "alpha":
        raise SchemaError("files with alpha cannot be stacked", hint="take their bands by select")
    several = picked_bands(raster, list(range(raster.count)) * len(members))
    names = [
        f"{Path(member.path).stem}{f' {band + 1}' if raster.count > 1 else ''}"
        for member in members
        for band in range(raster.count)
    ]
    colours = ("gray", *["undefined"] * (several.count - 1))
    return replace(several, descriptions=tuple(names), colorinterp=colours)


def _covers(rows: Sequence[Sequence[int]], width: int, height: int, *, alone: bool) -> bool:
    """Whether windows (column, row, width, height, ...) cover all of a raster; ``alone``: each."""
    if alone:
        return all(tuple(row[:4]) == (0, 0, width, height) for row in rows)
    table = np.array(rows, np.int64)[:, :4]
    x = np.unique(np.concatenate([table[:, 0], table[:, 0] + table[:, 2]]))
    y = np.unique(np.concatenate([table[:, 1], table[:, 1] + table[:, 3]]))
    if len(x) * len(y) > _CELLS:
        return False
    seen = np.zeros((len(y) - 1, len(x) - 1), bool)
    for left, top, wide, tall in table.tolist():
        across = slice(*np.searchsorted(x, (left, left + wide)))
        down = slice(*np.searchsorted(y, (top, top + tall)))
        seen[down, across] = True
    return bool(seen.all())
