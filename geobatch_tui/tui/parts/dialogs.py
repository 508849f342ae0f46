"""Dialogs: a question with a few answers, and a line to type, a path or a note."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from geobatch_tui.ledger.write.requeue import NOTE_LENGTH
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal, Options

if TYPE_CHECKING:
    from collections.abc import Sequence

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
