"""Takes chunks of a mosaic from its published output, where no file that they meet changed.

The tiles of such a chunk would be encoded to the same bytes again. So they are copied, each decoded
once, which proves it and gives the pixels for the overviews.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.errors import CorruptSourceError, SourceChangedError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.pyramid import passthrough
from geobatch_tui.execution.raster.source.member_files import packed, unpacked
from geobatch_tui.execution.raster.source.opened_source import OpenSource, gdal_options
from geobatch_tui.execution.raster.steps.step import facts_of
from geobatch_tui.execution.raster.steps.step_table import needed_source
from geobatch_tui.execution.sources.source_list import is_source_list, members_of

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemContext, Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.types import Pixels

#: The key of what is noted in an item's plan: the output, and the windows that changed.
NOTE = "reuse"


def note_reuse(previous: Json, source: str, plan: RasterPlan, grid: ChunkGrid) -> dict[str, object]:
    """Return what the plan of a group notes of its published output; empty if nothing of it can be
    taken.

    Args:
        previous: ``detail`` of the plan that the output was made by, the path of its list of
            ``source`` files, and ``path``, ``size`` and ``mtime_ns`` of the output.
        source: the list of files now.
        plan: the plan of the item now.
        grid: its chunks.
    """
    old = RasterPlan.from_json(previous["detail"])
    if not passthrough.can_copy(plan) or not _differ_in_files_alone(old, plan):
        return {}
    try:
        before = _members(old, previous["source"])
    except (OSError, SourceChangedError):
        return {}
    now = _members(plan, source)
    common = before.keys() & now.keys()
    if [path for path in before if path in common] != [path for path in now if path in common]:
        return {}  # which file lies on top may have changed anywhere
    windows = []
    for path in before.keys() | now.keys():
        if before.get(path) != now.get(path):
            windows += [row for row in (before.get(path), now.get(path)) if row is not None]
    changed = [Window(*row[:4]) for row in windows]
    kept = sum(not _meets(plan, grid.window(index), changed) for index in range(len(grid)))
    if not kept:
        return {}
    output = {name: previous[name] for name in ("path", "size", "mtime_ns")}
    return {NOTE: {**output, "changed": packed(windows), "chunks": kept}}


def told(noted: Json, chunks: int) -> tuple[str, ...]:
    """Return what the plan says of it."""
    if NOTE not in noted:
        return ()
    kept = noted[NOTE]["chunks"]
    return (
        f"{kept} of {chunks} chunks are copied from the published output: no file changed there",
    )


def published_tiles(
    item: ItemContext, plan: RasterPlan, window: Window, stage: Stage
) -> tuple[Pixels, EncodedTiles, int] | None:
    """Return the pixels (bands, h, w) of a chunk, its encoded tiles, and the number of their bytes,
    from the published output; None if they must be computed."""
    noted = item.plan.notes.get(NOTE)
    if not noted or not is_source_list(item.source):
        return None
    changed = [Window(*row[:4]) for row in unpacked(noted["changed"]).tolist()]
    if _meets(plan, window, changed):
        return None
    try:
        status = os.stat(noted["path"])  # noqa: PTH116
    except OSError:
        return None
    if (status.st_size, status.st_mtime_ns) != (noted["size"], noted["mtime_ns"]):
        return None
    with stage("copy"), gdal_options(), contextlib.ExitStack() as stack:
        opened = OpenSource.of(noted["path"], facts_of(plan), stack)
        try:
            pixels, encoded = passthrough.read_tiles(opened, plan, window, opened.read_window)
        except (CorruptSourceError, SourceChangedError):
            return None  # damaged: then it is made anew
    return pixels, encoded, sum(len(tile.data) for tile in encoded.values())


def _meets(plan: RasterPlan, window: Window, changed: list[Window]) -> bool:
    """Whether the pixels of ``window`` come from a file that changed."""
    needed = needed_source(plan.chain, window)
    return any(part.clip(needed).size for part in changed)


def _members(plan: RasterPlan, source: str) -> dict[str, tuple[int, ...]]:
    """Return window, size and time of each file of a group by its path, in their order."""
    table = unpacked(plan.chain[0].values["files"]).tolist()
    return {path: tuple(row) for path, row in zip(members_of(source), table, strict=True)}


def _differ_in_files_alone(old: RasterPlan, new: RasterPlan) -> bool:
    """Whether two plans are the same, but for the files of their first step."""
    if not old.chain or not new.chain:
        return False
    return _without_files(old) == _without_files(new)


def _without_files(plan: RasterPlan) -> RasterPlan:
    first, *others = plan.chain
    values = {name: value for name, value in first.values.items() if name != "files"}
    return replace(plan, chain=(replace(first, values=values), *others))
