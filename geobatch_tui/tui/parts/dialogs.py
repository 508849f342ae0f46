"""Dialogs: a question with a few answers, and a line to type, a path or a note."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.cells import cell_len
from textual import getters
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from geobatch_tui.ledger.write.requeue import NOTE_LENGTH
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


WIDTH: Final = 58
"""Characters of a meaning on one line of the dialog, beside its scrollbar."""


class Choice(NamedTuple):
    """An answer: its id, its name, and its meaning."""

    identifier: str
    name: str
    meaning: str

    @property
    def lines(self) -> Content:
        """The name, and below it the meaning, indented."""
        meaning = [f"\n  {line}" for line in textwrap.wrap(self.meaning, WIDTH)]
        return Content.assemble((self.name, "bold"), *meaning)


class Question(Modal[str]):
    """A question with a few answers; gives the id of the answer, or "" when it was left.

    The first answer is the one that changes least.
    """

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "dismiss('')")]

    def __init__(self, title: str, text: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical(id="question") as box:
            box.border_title = self._title
            yield Static(Content(self._text), id="question-text", markup=False)
            options = (Option(choice.lines, id=choice.identifier) for choice in self._choices)
            yield Options(*options, markup=False, compact=True)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self.dismiss(message.option.id or "")


class Pick(Modal[str]):
    """A long list of answers, filtered by what is typed; gives the id of the answer, or what was
    typed where that is ``free`` to be, or "" when it was left.

    Args:
        title: what it is for, in a word or two.
        choices: the answers.
        hint: stands in the empty field.
        free: whether a text is an answer of its own.
        roomy: meanings stand below their names, whole.
    """

    BINDING_GROUP_TITLE = "Choice"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss('')"),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
    ]

    list = getters.query_one(Options)

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        hint: str = "",
        free: Callable[[str], bool] = lambda _: False,
        *,
        roomy: bool = False,
    ) -> None:
        super().__init__()
        self._roomy = roomy
        self._title, self._choices, self._hint, self._free = title, choices, hint, free

    def compose(self) -> ComposeResult:
        with Vertical(id="pick") as box:
            box.border_title = self._title
            box.border_subtitle = "enter choose  esc leave"
            yield Input(placeholder=self._hint, compact=True)
            yield Options(markup=False, compact=True)

    def on_mount(self) -> None:
        self.list.can_focus = False
        self._show("")

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        self._show(message.value)

    def _show(self, typed: str) -> None:
        """List the answers that have all words, those first whose name begins with the first."""
        words = typed.lower().split()
        found = [
            choice
            for choice in self._choices
            if all(word in f"{choice.name} {choice.meaning}".lower() for word in words)
        ]
        if words:
            found.sort(key=lambda choice: not choice.name.lower().startswith(words[0]))
        width = max((cell_len(choice.name) for choice in self._choices), default=0)
        self.list.clear_options()
        lines = [
            choice.lines
            if self._roomy
            else Content.assemble(
                (choice.name.ljust(width + 2), "bold"), (choice.meaning, "$quiet")
            )
            for choice in found
        ]
        pairs = zip(lines, found, strict=True)
        self.list.add_options(Option(line, id=choice.identifier) for line, choice in pairs)
        self.list.highlighted = 0 if found else None

    def action_move(self, by: int) -> None:
        if by > 0:
            self.list.action_cursor_down()
        else:
            self.list.action_cursor_up()

    def action_page(self, by: int) -> None:
        if by > 0:
            self.list.action_page_down()
        else:
            self.list.action_page_up()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        typed = message.value.strip()
        chosen = self.list.highlighted_option
        if self._free(typed):
            self.dismiss(typed)
        elif chosen is not None:
            self.dismiss(chosen.id or "")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self.dismiss(message.option.id or "")


class LineDialog[Meant](Modal[Meant | None]):
    """A dialog that returns what was typed, or None where that is empty or the dialog was left.

    Args:
        title: what it is for, in a word.
        said: sentences above the field.
        proposed: what stands in the field at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "dismiss")]

    def __init__(self, title: str, said: str, proposed: str = "") -> None:
        super().__init__()
        self._title = title
        self._said = said
        self._proposed = proposed

    def field(self) -> Input:
        """Return the field to type in."""
        return Input(self._proposed)

    def meant(self, text: str) -> Meant:
        """Return the value of a line that is not empty."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Vertical(id="line") as box:
            box.border_title = self._title
            box.border_subtitle = f"enter {self._title.lower()}  esc leave"
            yield Static(Content(self._said), markup=False)
            yield self.field()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        text = message.value.strip()
        self.dismiss(self.meant(text) if text else None)


class PathDialog(LineDialog[Path]):
    """A dialog that returns a path, or None; ``path`` is proposed."""

    BINDING_GROUP_TITLE = "Path"

    def __init__(self, title: str, said: str, path: Path) -> None:
        super().__init__(title, said, str(path))

    def meant(self, text: str) -> Path:
        return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises for an unknown user


class NoteDialog(LineDialog[str]):
    """A dialog that returns a note, or None."""

    BINDING_GROUP_TITLE = "Note"

    def field(self) -> Input:
        return Input(placeholder="why this is known", max_length=NOTE_LENGTH)

    def meant(self, text: str) -> str:
        return text
