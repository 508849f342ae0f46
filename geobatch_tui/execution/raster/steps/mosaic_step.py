"""The first steps *mosaic* and *stack*: one raster of many files.

Where several files have a pixel, ``rule`` says which value it gets. Sums are made in the order of
the inputs, so they do not depend on the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.raster.source.member_files import MemberFiles, unpacked
from geobatch_tui.execution.raster.steps.conversion import block_of
from geobatch_tui.execution.raster.steps.grids.member_warps import WarpedFiles
from geobatch_tui.execution.raster.steps.step import Block
from geobatch_tui.execution.sources.source_list import members_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster, StepPlan
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.types import Pixels, Valid

MOSAIC, STACK = "mosaic", "stack"
#: Bytes of values of all files together that a median is taken of at once.
_TOGETHER = 48 * 2**20

#: Pixels and validity of a part of a window, and the part.
type Part = tuple[Window, Pixels, Valid | None]


def compose(step: StepPlan, opened: OpenSource, window: Window) -> Block:
    """Return ``window`` of the raster that ``step`` makes of the files of ``opened``, a group.

    Raises: as :meth:`MemberFiles.read`.
    """
    files = files_of(step, opened)
    raster = step.raster
    if step.name == STACK:
        return _stacked(raster, files, window)
    rule = step.values["rule"]
    if picks(step):
        return _picked(raster, files, window, last=rule == "last")
    if rule == "median":
        return _medians(raster, files, window)
    return _reduced(raster, files, window, rule)


def picks(step: StepPlan) -> bool:
    """Whether each pixel is that of one file, so that files hide one another."""
    return step.name == MOSAIC and step.values["rule"] in {"last", "first"}


def top_of(step: StepPlan, numbers: Sequence[int]) -> int:
    """Return which of the files, in their order, hides all others where it has a pixel."""
    return numbers[-1] if step.values["rule"] == "last" else numbers[0]


def files_of(step: StepPlan, opened: OpenSource) -> MemberFiles:
    """Return the files of a group; they are kept with the open source."""
    files = opened.built.get("members")
    if not isinstance(files, MemberFiles):
        several = "warps" in step.values
        files = opened.built["members"] = (WarpedFiles if several else MemberFiles)(
            members_of(opened.path),
            unpacked(step.values["files"]),
            allow_vrt=step.values["allow_vrt"],
        )
        if isinstance(files, WarpedFiles):
            files.prepare(step)
        opened.stack.callback(files.close)
    return files


def read_last(step: StepPlan, opened: OpenSource) -> tuple[str, Window, bool]:
    """Return the file of a group that was read last, the window in it, and whether it may be a
    VRT; for the blame. Raises OperationError if none was read."""
    files = files_of(step, opened)
    if files.reading is None:
        raise OperationError(f"{opened.path}: an error before any of its files was read")
    return *files.reading, files.allow_vrt


def _parts(files: MemberFiles, window: Window, *, last: bool = False) -> Iterator[Part]:
    """Read the files under ``window`` in their order, or from the last."""
    numbers = files.under(window)
    for number in reversed(numbers) if last else numbers:
        part = files.window_of(number).clip(window)
        pixels, valid = files.read(number, part)
        yield part, pixels, valid


def _picked(raster: Raster, files: MemberFiles, window: Window, *, last: bool) -> Block:
    """Take each pixel from the last, or the first, file that has it."""
    alpha = raster.validity == "alpha"
    pixels: Pixels = np.zeros((raster.count, *window.shape), raster.dtype)
    if raster.nodata is not None:
        pixels[:] = raster.nodata
    each = 1 if alpha or raster.validity == "mask" else raster.count
    seen: Valid = np.zeros((each, *window.shape), bool)
    for part, values, valid in _parts(files, window, last=last):
        at = part.slices_in(window)
        free = ~seen[:, *at]
        if valid is not None:
            free &= valid if len(valid) == each else valid.all(axis=0, keepdims=True)
        if not free.any():
            continue
        np.copyto(pixels[:, *at], values, where=free)
        seen[:, *at] |= free
        if seen.all():
            break
    return Block(pixels, seen[0] if raster.validity == "mask" else None)


def _reduced(raster: Raster, files: MemberFiles, window: Window, rule: str) -> Block:
    """Take the least, the largest, the sum, the mean or the number of the values of all files."""
    shape = (raster.bands, *window.shape)
    start = {"min": np.inf, "max": -np.inf}.get(rule, 0.0)
    totals, counts = np.full(shape, start), np.zeros(shape, np.int64)
    for part, pixels, valid in _parts(files, window):
        at = part.slices_in(window)
        values = pixels[: shape[0]].astype(np.float64)
        good = np.broadcast_to(True if valid is None else valid, values.shape)
        here = totals[:, *at]
        if rule in {"min", "max"}:
            run = np.minimum if rule == "min" else np.maximum
            run(here, values, out=here, where=good)
        else:
            np.add(here, values, out=here, where=good)
        counts[:, *at] += good
    if rule == "count":
        return block_of(raster, counts, None)
    if rule == "mean":
        np.divide(totals, counts, out=totals, where=counts > 0)
    totals[counts == 0] = 0
    return block_of(raster, totals, counts > 0)


def _medians(raster: Raster, files: MemberFiles, window: Window) -> Block:
    """Take the median of the values of all files, as numpy does: of an even number of values, the
    mean of the two in the middle."""
    values: Pixels = np.zeros((raster.bands, *window.shape))
    known: Valid = np.zeros(values.shape, bool)
    row = 8 * raster.bands * window.width * max(len(files.under(window)), 1)
    for part in window.parts(window.width, max(_TOGETHER // row, 1)):
        at = part.slices_in(window)
        values[:, *at], known[:, *at] = _median(raster, files, part)
    return block_of(raster, values, known)


def _median(raster: Raster, files: MemberFiles, window: Window) -> tuple[Pixels, Valid]:
    numbers = files.under(window)
    shape = (raster.bands, *window.shape)
    if not numbers:
        return np.zeros(shape), np.zeros(shape, bool)
    every: Pixels = np.full((len(numbers), *shape), np.nan)
    for layer, (part, pixels, valid) in zip(every, _parts(files, window), strict=True):
        at = part.slices_in(window)
        good = np.broadcast_to(True if valid is None else valid, (raster.bands, *part.shape))
        np.copyto(layer[:, *at], pixels[: raster.bands], where=good)
    if not numbers:
        return np.zeros((raster.bands, *window.shape)), np.zeros(
            (raster.bands, *window.shape), bool
        )
    counts = (~np.isnan(every)).sum(axis=0)
    every.sort(axis=0)  # NaN last
    low, high = np.maximum(counts - 1, 0) // 2, counts // 2
    high = np.where(counts % 2 == 1, low, high)
    picked = [np.take_along_axis(every, place[np.newaxis], axis=0)[0] for place in (low, high)]
    middle = (picked[0] + picked[1]) / 2
    return np.where(counts > 0, middle, 0), counts > 0


def _stacked(raster: Raster, files: MemberFiles, window: Window) -> Block:
    """Put the bands of all files behind one another."""
    pixels: Pixels = np.zeros((raster.count, *window.shape), raster.dtype)
    if raster.nodata is not None:
        pixels[:] = raster.nodata
    # Of a pixel that one file lacks, no band is valid.
    having = np.zeros(window.shape, np.int32)
    each = raster.count // len(files.paths)
    for number in files.under(window):
        part = files.window_of(number).clip(window)
        values, valid = files.read(number, part)
        at = part.slices_in(window)
        pixels[number * each : (number + 1) * each, *at] = values
        having[at] += True if valid is None else valid.all(axis=0)
    return Block(pixels, having == len(files.paths) if raster.validity == "mask" else None)
