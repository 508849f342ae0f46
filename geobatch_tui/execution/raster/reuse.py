"""Takes chunks from the published output of an item, where their pixels are what they were.

Those are the chunks of a mosaic that meet no file that changed, and all chunks of a chain that ends
in an ``edit`` of what the output says of itself. Their tiles would be encoded to the same bytes
again. So they are copied, each decoded once: that proves it, and gives the pixels for overviews.
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
    from geobatch_tui.execution.protocol.messages import ItemContext, ItemPlan, Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.types import Pixels

#: What a file says of itself, and no tile of it depends on; the steps are compared apart.
_SAID = (
    *("chain", "crs", "transform", "descriptions", "scales", "offsets", "units"),
    *("tags", "area_or_point", "domains", "band_tags"),
)
#: The key of what is noted in an item's plan: the output, and the windows that changed.
NOTE = "reuse"


def with_reuse(item: ItemPlan, previous: Json, source: str) -> ItemPlan:
    """Return the plan of an item with a note of what can be taken from its published output, and a
    sentence on it; unchanged if that is nothing.

    Args:
        item: the plan of the item now.
        previous: ``detail`` of the plan that the output was made by, its ``source``, and ``path``,
            ``size`` and ``mtime_ns`` of the output; empty where there is none.
        source: the source now: the list of files of a group, some of which may have changed, or a
            file, which has not.
    """
    if not previous:
        return item
    old, plan = RasterPlan.from_json(previous["detail"]), RasterPlan.from_json(item.detail)
    if not passthrough.can_copy(plan) or _tiles(old) != _tiles(plan):
        return item
    changed = _changed(old, plan, previous["source"], source) if is_source_list(source) else []
    if changed is None:
        return item
    count, windows = len(item.grid), [Window(*row[:4]) for row in changed]
    kept = sum(not _meets(plan, item.grid.window(index), windows) for index in range(count))
    if not kept:
        return item
    output = {name: previous[name] for name in ("path", "size", "mtime_ns")}
    noted = {NOTE: {**output, "changed": packed(changed)}}
    why = "no file changed there" if changed else "no pixel changed, only what is said of them"
    told = f"{kept} of {count} chunks are copied from the published output: {why}"
    return replace(item, notes={**item.notes, **noted}, warnings=(*item.warnings, told))


def is_whole(item: ItemPlan) -> bool:
    """Whether all chunks are taken from the published output."""
    noted = item.notes.get(NOTE)
    return noted is not None and not len(unpacked(noted["changed"]))


def _changed(
    old: RasterPlan, plan: RasterPlan, earlier: str, source: str
) -> list[tuple[int, ...]] | None:
    """Return window, size and time of the files of a group that changed, came or went; None if
    nobody knows, or any pixel may have changed."""
    try:
        before = _members(old, earlier)
    except (OSError, SourceChangedError):
        return None
    now = _members(plan, source)
    common = before.keys() & now.keys()
    if [path for path in before if path in common] != [path for path in now if path in common]:
        return None  # which file lies on top may have changed anywhere
    rows = []
    for path in before.keys() | now.keys():
        if before.get(path) != now.get(path):
            rows += [row for row in (before.get(path), now.get(path)) if row is not None]
    return rows


def published_tiles(
    item: ItemContext, plan: RasterPlan, window: Window, stage: Stage
) -> tuple[Pixels, EncodedTiles, int] | None:
    """Return the pixels (bands, h, w) of a chunk, its encoded tiles, and the number of their bytes,
    from the published output; None if they must be computed."""
    noted = item.plan.notes.get(NOTE)
    if not noted:
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
    if not changed:
        return False
    needed = needed_source(plan.chain, window)
    return any(part.clip(needed).size for part in changed)


def _members(plan: RasterPlan, source: str) -> dict[str, tuple[int, ...]]:
    """Return window, size and time of each file of a group by its path, in their order."""
    table = unpacked(plan.chain[0].values["files"]).tolist()
    return {path: tuple(row) for path, row in zip(members_of(source), table, strict=True)}


def _tiles(plan: RasterPlan) -> tuple[object, ...]:
    """Return what decides the tiles of an output, but for the files of a group: the steps of its
    chain without an ``edit`` at its end, and what a file says of how its pixels are stored."""
    steps = list(plan.chain)
    while len(steps) > 1 and steps[-1].name == "edit":
        steps.pop()
    values = {name: value for name, value in steps[0].values.items() if name != "files"}
    steps[0] = replace(steps[0], values=values)
    said = {name: getattr(plan, name) for name in RasterPlan.__dataclass_fields__}
    return (*steps, *(value for name, value in said.items() if name not in _SAID))
