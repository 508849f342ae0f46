"""The keys of a job as a form: a line each, below the name of its section, and steps below theirs.

A step is one line until it is opened; then its parameters stand below it.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.content import Content
from textual.message import Message

from geobatch_tui.config.sources import STEP
from geobatch_tui.tui.jobs.draft import BASIC, Draft, Field, StepHead
from geobatch_tui.tui.jobs.step_list import number_of
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.scroll_lines import ScrollLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from textual.binding import BindingType

_NAME: Final = 22
_LAYER: Final = 12
_STEP: Final = 16
_STYLES: Final = {"default": "$quiet", "edited": "bold $accent"}
#: Sections before the steps.
_BEFORE: Final = ("job", "source", "op")
#: Actions on a step, which a job of one operation has not.
_OF_STEPS: Final = frozenset({"remove_step", "double_step", "move_step"})
_NO_STEPS: Final = "no step: "
_KEYS: Final = "enter:edit  space:next word  < >:basic or all"
_KEYS_OF_STEPS: Final = "enter:edit  i:add  x:remove  {}:move"

#: A line: a key, a step, or the name of a section.
type Row = Field | StepHead | str


class FieldList(ScrollLines):
    """The form.

    Attributes:
        opened: the step whose parameters are shown; 0: none.
        basic: whether only the usual keys are shown, and those with a value of their own.
    """

    BORDER_TITLE = "Job"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("step.add", "add_step"),
        bind("step.remove", "remove_step", show=False),
        bind("step.copy", "double_step", show=False),
        bind("step.up", "move_step(-1)", show=False),
        bind("step.down", "move_step(1)", show=False),
    ]

    _rows: Sequence[Row]

    class Edited(Message):
        """A message with the draft after an edit of its steps."""

        def __init__(self, draft: Draft) -> None:
            super().__init__()
            self.draft = draft

    class Wanted(Message):
        """A request for a step that is to be added as number ``number``."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.draft: Draft | None = None
        self.opened = 0
        self.basic = True
        self._passes: Callable[[Field | StepHead], bool] | None = None

    def show(self, draft: Draft, passes: Callable[[Field | StepHead], bool] | None = None) -> None:
        """Show a job, or what of it passes a filter; the cursor stays on its key."""
        before = self.key
        if self.draft is None or (self.draft.chain is None) != (draft.chain is None):
            self.border_subtitle = _KEYS if draft.chain is None else _KEYS_OF_STEPS
            self.call_later(self.refresh_bindings)
        self.draft, self._passes = draft, passes
        self._rows = [*self._lines(draft)]
        if not self._to(before) and self._rows:
            self._to(next((key for row in self._rows if (key := _key(row))), ""))
        self.renew()

    def _lines(self, draft: Draft) -> Iterator[Row]:
        passes = self._passes
        fields = draft.fields()
        passing = passes or (_is_basic if self.basic else None)
        kept = fields if passing is None else [field for field in fields if passing(field)]
        few = passes is None and self.basic
        self.border_title = "Job · the usual keys" if few else "Job"
        sections = {
            name: list(members)
            for name, members in groupby(kept, key=lambda field: field.leaf.key.partition(".")[0])
        }
        for name in (name for name in sections if name in _BEFORE):
            yield from (name, *sections[name])
        yield from self._chain(draft, sections)
        for name, members in sections.items():
            if name not in _BEFORE and not number_of(name):
                yield from (name, *members)

    def _chain(self, draft: Draft, sections: dict[str, list[Field]]) -> Iterator[Row]:
        """Yield the steps; below each what of it is wanted: all if it is open, or what passes."""
        heads = draft.heads()
        if draft.chain is not None and not heads and self._passes is None:
            yield _NO_STEPS
        for head in heads:
            below = sections.get(head.key, [])
            if self._passes is None:
                yield head
                if head.number == self.opened:
                    yield from below
            elif below or self._passes(head):
                yield head
                yield from below

    def go(self, key: str) -> bool:
        """Put the cursor on a key, or a step; return whether it is in the list."""
        number = number_of(key)
        if number and number != self.opened and self.draft is not None:
            self.opened = number
            self.show(self.draft, self._passes)
        if not self._to(key) and self.basic and self._passes is None and self.draft is not None:
            self.basic = False
            self.show(self.draft)
        return self._to(key)

    def _to(self, key: str) -> bool:
        for number, row in enumerate(self._rows):
            if key and _key(row) == key:
                self.set_reactive(ScrollLines.cursor, number)
                self.keep_in_view(number)
                return True
        return False

    @property
    def _row(self) -> Row | None:
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    @property
    def current(self) -> Field | None:
        """The key under the cursor; None on a section or a step."""
        row = self._row
        return row if isinstance(row, Field) else None

    @property
    def head(self) -> StepHead | None:
        """The step under the cursor; None on one of its keys."""
        row = self._row
        return row if isinstance(row, StepHead) else None

    @property
    def key(self) -> str:
        """The key under the cursor, or that of its step."""
        row = self._row
        return _key(row) if row is not None else ""

    @property
    def step(self) -> int:
        """The number of the step that the cursor is in; 0: it is in none."""
        return number_of(self.key)

    def about(self) -> Content | None:
        """Return what the line of the cursor means, in two lines; None on a section."""
        head, field = self.head, self.current
        if head is not None:
            second = (head.problem, "bold $error") if head.problem else (head.given, "$quiet")
            return Content.assemble(f"{head.summary}\n", second)
        if field is None:
            return None
        leaf = field.leaf
        words = f"  one of {', '.join(leaf.choices)}" if leaf.choices else ""
        kind = "changes the outputs" if leaf.kind == "semantic" else ""
        facts = "  ".join(filter(None, (leaf.unit, field.layer, field.where, kind)))
        second = (field.problem, "bold $error") if field.problem else (facts, "")
        return Content.assemble(f"{leaf.help}{words}\n", second)

    # --- steps -----------------------------------------------------------------------------------

    def fold(self) -> None:
        """Open the step under the cursor, or close it."""
        if self.head is not None and self.draft is not None:
            self.opened = 0 if self.head.number == self.opened else self.head.number
            self.show(self.draft, self._passes)
            below = sum(number_of(_key(row)) == self.opened > 0 for row in self._rows)
            self.keep_in_view(self.cursor + max(below - 1, 0))
            self.keep_in_view(self.cursor)

    def action_add_step(self) -> None:
        """Ask for a step before that of the cursor, or at the end of the chain."""
        chain = self.draft.chain if self.draft is not None else None
        if chain is not None:
            self.post_message(self.Wanted(self.step or len(chain.steps) + 1))

    def action_remove_step(self) -> None:
        draft, number = self.draft, self.step
        if draft is not None and draft.chain is not None and number:
            self.opened = 0
            chain = draft.chain.removed(number)
            self._edit(draft.with_steps(chain), min(number, len(chain.steps)))

    def action_double_step(self) -> None:
        draft, number = self.draft, self.step
        if draft is not None and draft.chain is not None and number:
            self._edit(draft.with_steps(draft.chain.doubled(number)), number + 1)

    def action_move_step(self, by: int) -> None:
        """Move the step of the cursor, which stays in it."""
        draft, number = self.draft, self.step
        if draft is None or draft.chain is None or not number:
            return
        if 1 <= number + by <= len(draft.chain.steps):
            self._edit(draft.with_steps(draft.chain.moved(number, by)), number + by)

    def _edit(self, draft: Draft, number: int) -> None:
        """Show a draft with the cursor on a step, and tell of it."""
        if self.opened:
            self.opened = number
        self.show(draft, self._passes)
        self._to(f"{STEP}[{number}]")
        self.renew()
        self.post_message(self.Edited(draft))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what is done to steps where there are none. Leave "open" to the screen: it gives
        the field the focus before the next key of a burst is handled."""
        del parameters
        has = self.draft is not None and self.draft.chain is not None
        return has if action in _OF_STEPS or action == "add_step" else action != "open"

    # --- lines -----------------------------------------------------------------------------------

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        row = self._rows[number]
        if row is _NO_STEPS:
            key = self.app.get_key_display(bind("step.add", ""))
            return Content.styled(f"  {_NO_STEPS}{key} adds one", "$quiet")
        if isinstance(row, str):
            mark = ">" if at_cursor else ""
            return Content.styled(f"{mark}[{row}]", "bold" if at_cursor else "bold $primary")
        mark = "!" if row.problem else ">" if at_cursor else " "
        start = (f"{mark} ", "bold $error" if row.problem else "bold")
        if isinstance(row, StepHead):
            return self._step_line(row, start, width)
        indent = "  " if number_of(row.leaf.key) else ""
        name = fmt.fit(indent + row.leaf.key.partition(".")[2], _NAME)
        # Of a value that has letters the unit is in it, or it has none: 30m, auto.
        unit = f" {row.leaf.unit}" if row.leaf.unit and not row.text.strip("-.0123456789") else ""
        unit = _one(unit) if row.text == "1" else unit if row.text else ""
        value = row.text or ("needed" if row.leaf.required else "-")
        style = "bold $error" if row.problem else _STYLES.get(row.layer, "")
        room = max(0, width - 2 - _NAME - 1 - _LAYER)
        return Content.assemble(
            start,
            f"{name} ",
            (fmt.fit(f"{value}{unit}", room), style),
            (fmt.right(row.layer, _LAYER), "$quiet"),
        )

    def _step_line(self, head: StepHead, start: tuple[str, str], width: int) -> Content:
        sign = "-" if head.number == self.opened or self._passes is not None else "+"
        name = f"{head.number} {head.name}"
        lead = max(_STEP, cell_len(name))
        room = max(0, width - 2 - 2 - lead - 1)
        # Beside its parameters below it there is room for what it does.
        said = head.given if sign == "+" and head.given else head.summary
        return Content.assemble(
            start,
            (f"{sign} ", "$quiet"),
            (f"{fmt.fit(name, min(lead, max(0, width - 4)))} ", "bold $primary"),
            (fmt.fit(said, room), "" if said is head.given else "$quiet"),
        )


def _is_basic(field: Field | StepHead) -> bool:
    """Whether a key is one of those that most jobs give, or has a value of its own, or a fault."""
    if isinstance(field, StepHead):
        return True
    key = field.leaf.key
    usual = key in BASIC or key.startswith("op.") or number_of(key) > 0
    return usual or field.leaf.required or field.layer != "default" or bool(field.problem)


def _key(row: Row) -> str:
    if isinstance(row, str):
        return ""
    return row.key if isinstance(row, StepHead) else row.leaf.key


def _one(unit: str) -> str:
    """Return the unit of the value 1: ``worker``, ``unit of dst_crs``, ``s``."""
    first, space, rest = unit.strip().partition(" ")
    return f" {first.removesuffix('s') if len(first) > 1 else first}{space}{rest}" if unit else ""
