"""The step of a chain that a dead letter is blamed on, and the task that shows what it got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.params.frozen import chains_beside
from geobatch_tui.execution.protocol.messages import (
    ItemContext,
    ItemPlan,
    ResultTask,
    SourceIdentity,
)
from geobatch_tui.observability.text import harmless
from geobatch_tui.tui.letters.previewer import Unseen

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.tui.letters.dossier import Dossier

#: The largest picture, in pixels.
_LARGEST = (160, 96)


@dataclass(frozen=True, slots=True)
class BlamedStep:
    """Step ``number`` of ``count``, from 1; 0: the source is to blame."""

    number: int
    count: int
    name: str

    @property
    def label(self) -> str:
        """How it is named in a line."""
        if not self.number:
            return f"the source, before step 1 of {self.count}"
        return f"step {self.number} of {self.count}, {self.name}"


def blamed(found: Dossier) -> BlamedStep | None:
    """Return the step that a letter is blamed on; None where the job is no chain, or none is
    named."""
    names = [str(step.get("use") or step.get("name")) for step in _steps(found)]
    if not names:
        return None
    number = (found.record.get("evidence") or {}).get("step", found.record.get("step"))
    if not isinstance(number, int) or not 0 <= number <= len(names):
        # Of an error that is none of geobatch's own, only the name is known.
        stage = str(found.record.get("stage") or "")
        if names.count(stage) != 1:
            return None
        number = names.index(stage) + 1
    return BlamedStep(number, len(names), harmless(names[number - 1] if number else "read"))


def what_it_got(found: Dossier) -> ResultTask | Unseen:
    """Return the task that computes what the blamed step of a chunk, or for a feature, got; or why
    there is none."""
    step, item = blamed(found), found.item
    if step is None:
        return Unseen("no step of a chain is blamed", "only letters of chains name one")
    chunk = found.letter.chunk_id
    if item is None or not item.plan or chunk is None:
        return Unseen("the item was not planned, so no chunk of it can be computed")
    steps = _steps(found)
    nested = (one for own in steps for _, chain in chains_beside(own) for one in chain)
    if any("use" in one for one in (*steps, *nested)) and not found.trusted:
        return Unseen("the run belongs to another user: code of its job is not run here")
    if not step.number:
        return Unseen("the source is to blame: its window is what there is to see")
    position = (found.record.get("evidence") or {}).get("position")
    return ResultTask(
        0,
        _context(found, item),
        chunk - item.first_chunk,
        step.number - 1,
        _LARGEST,
        position if isinstance(position, int) else None,
    )


def _steps(found: Dossier) -> list[Json]:
    steps = (found.job.get("op") or {}).get("steps") or ()
    return [step for step in steps if isinstance(step, dict)]


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
