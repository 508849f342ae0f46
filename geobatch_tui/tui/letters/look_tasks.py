"""The tasks that show a dead letter to the eye: its window of the source, its feature, or what the
step got that is blamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.protocol.messages import (
    ItemContext,
    ItemPlan,
    ResultTask,
    SourceIdentity,
)
from geobatch_tui.execution.protocol.preview_messages import PreviewTask
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.tui.letters.blamed_step import blamed, has_code_of_others
from geobatch_tui.tui.letters.previewer import Unseen

if TYPE_CHECKING:
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.tui.letters.dossier import Dossier

#: The largest picture, in pixels.
_LARGEST = (160, 96)


def wanted(found: Dossier, *, band: int = 0) -> PreviewTask | ResultTask | Unseen:
    """Return the task that shows what a dead letter is about in its source, or why there can be
    none. ``band`` of a raster: one from 1; 0: the first, or three as colours."""
    if found.item is None or not found.item.source.startswith("/"):
        return Unseen("the letter names no source file")
    if found.op.startswith("vector."):
        return _features(found, found.item)
    if not found.op.startswith("raster."):
        return Unseen(f"{found.op or 'this operation'} reads no raster: there is no preview")
    window = found.record.get("window")
    columns, rows = _LARGEST
    return PreviewTask(
        task_id=0,
        source=found.item.source,
        allow_vrt=bool(found.job.get("source", {}).get("allow_vrt")),
        detail=found.item.plan.get("detail") or {},
        window=None if window is None else Window(*(int(value) for value in window)),
        band=band,
        columns=columns,
        rows=rows,
    )


def _features(found: Dossier, item: ItemRow) -> ResultTask | Unseen:
    """Return the task that shows the feature that was set aside, or all those of a chunk, as the
    source has them."""
    chunk = found.letter.chunk_id
    if not item.plan or chunk is None:
        return Unseen("the item was not planned, so its features are not known")
    context = _context(found, item)
    return ResultTask(0, context, chunk - item.first_chunk, 0, _LARGEST, _position(found))


def what_it_got(found: Dossier) -> ResultTask | Unseen:
    """Return the task that computes what the blamed step of a chunk, or for a feature, got; or why
    there is none."""
    step, item = blamed(found), found.item
    if step is None:
        return Unseen("no step of a chain is blamed", "only letters of chains name one")
    chunk = found.letter.chunk_id
    if item is None or not item.plan or chunk is None:
        return Unseen("the item was not planned, so no chunk of it can be computed")
    if has_code_of_others(found):
        return Unseen("the run belongs to another user: code of its job is not run here")
    if not step.number:
        return Unseen("the source is to blame: its window is what there is to see")
    context = _context(found, item)
    place = chunk - item.first_chunk
    return ResultTask(0, context, place, step.number - 1, _LARGEST, _position(found))


def _position(found: Dossier) -> int | None:
    """Return the place in the item of the feature that was set aside; None: it is a whole chunk."""
    position = (found.record.get("evidence") or {}).get("position")
    return position if isinstance(position, int) else None


def _context(found: Dossier, item: ItemRow) -> ItemContext:
    """Return the item of a letter as a worker has to know it; nothing of it is published."""
    return ItemContext(
        item_id=item.item_id,
        key=item.key,
        source=item.source,
        source_id=SourceIdentity(item.src_size, item.src_mtime_ns, item.src_digest),
        fingerprint="",
        op=found.op,
        params={name: value for name, value in found.job["op"].items() if name != "name"},
        output=found.job.get("output") or {},
        out_path="",
        work_dir="",
        plan=ItemPlan.from_json(item.plan),
    )
