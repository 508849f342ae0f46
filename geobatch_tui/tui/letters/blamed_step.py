"""The step of a chain that a dead letter is blamed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.execution.params.frozen import chains_beside
from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.tui.letters.dossier import Dossier


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
    names = [str(step.get("use") or step.get("name")) for step in steps_of(found)]
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


def steps_of(found: Dossier) -> list[Json]:
    """Return the steps of the chain that a letter is of; none where the job is no chain."""
    steps = (found.job.get("op") or {}).get("steps") or ()
    return [step for step in steps if isinstance(step, dict)]


def has_code_of_others(found: Dossier) -> bool:
    """Whether functions would run, which another user's job has."""
    steps = steps_of(found)
    nested = (one for own in steps for _, chain in chains_beside(own) for one in chain)
    return not found.trusted and any("use" in one for one in (*steps, *nested))
