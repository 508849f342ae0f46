"""The steps of a job that is being edited: changed one by one, checked by the draft they are in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.chains import step_keys, written_steps
from geobatch_tui.config.sources import STEP, Given, Origin, typed
from geobatch_tui.execution.params.frozen import COMBINING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.config.chains.step_kinds import Known
    from geobatch_tui.config.chains.written_steps import WrittenStep
    from geobatch_tui.config.fields import Leaf

#: The step that is a function of the user's own; it has no name to be chosen by.
_FUNCTION: Final = "function"


@dataclass(frozen=True, slots=True)
class StepList:
    """Steps in order, and those that there are (``known``). Steps are counted from 1."""

    steps: tuple[WrittenStep, ...]
    known: Known

    def put(self, key: str, text: str) -> StepList:
        """Return the list with a value, as typed, at ``step[2].resampling``; an empty text takes
        the value back. Raises ConfigError if there is no such step."""
        number, name = number_of(key), key.rpartition(".")[2]
        step = self.steps[number - 1]
        if not text.strip():
            rest = {other: value for other, value in step.items() if other != name}
            return self._with(number, rest)
        if step.get(name) == text.strip():
            return self  # a function keeps its file
        leaf = next((leaf for leaf in self.leaves(number) if leaf.key == key), None)
        value = typed(text.strip(), leaf, table=leaf.mapping) if leaf is not None else text.strip()
        given = Given(key, value, Origin("flag", key))
        return replace(self, steps=tuple(step_keys.with_value(self.steps, given, self.known)))  # type: ignore[arg-type]

    def added(self, step: WrittenStep, number: int) -> StepList:
        """Return the list with a step before that of a number, or at its end."""
        place = number - 1
        return replace(self, steps=(*self.steps[:place], step, *self.steps[place:]))

    def removed(self, number: int) -> StepList:
        return replace(self, steps=(*self.steps[: number - 1], *self.steps[number:]))

    def moved(self, number: int, by: int) -> StepList:
        """Return the list with a step moved down, or up where ``by`` is negative."""
        return self.removed(number).added(self.steps[number - 1], number + by)

    def doubled(self, number: int) -> StepList:
        """Return the list with a step once more behind itself."""
        return self.added(dict(self.steps[number - 1]), number + 1)

    def leaves(self, number: int) -> list[Leaf]:
        """Return the parameters of a step as keys."""
        return written_steps.leaves_of(self.steps[number - 1], number, self.known)

    def choices(self, number: int) -> Iterator[tuple[str, str]]:
        """Yield the name of each step that may be added as step ``number``, with what it does: one
        that combines the inputs reads them, so it is the first."""
        is_free = number == 1 and not any(step.get("name") in COMBINING for step in self.steps)
        for name, model in sorted(self.known.items()):
            if name != _FUNCTION and (is_free or name not in COMBINING):
                yield name, model.summary()

    @property
    def takes_functions(self) -> bool:
        """Whether a step may be a function of the user's own."""
        return _FUNCTION in self.known

    def _with(self, number: int, step: WrittenStep) -> StepList:
        return replace(self, steps=(*self.steps[: number - 1], step, *self.steps[number:]))


def number_of(key: str) -> int:
    """Return the number of the step that a key is of; 0: it is of none."""
    head = key.partition(".")[0]
    inner = head.removeprefix(f"{STEP}[").removesuffix("]")
    return int(inner) if head == f"{STEP}[{inner}]" and inner.isdecimal() else 0
