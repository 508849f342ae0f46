"""Dialogs: a question with a few answers, and a line to type, a path or a note."""

from __future__ import annotations

import asyncio
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.cells import cell_len
from textual import getters, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key, MouseEvent
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from geobatch_tui.ledger.write.requeue import NOTE_LENGTH
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal, Options, Search
from geobatch_tui.tui.parts.path_entries import PathEntry, completed, entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


#: Letters that move the cursor of a list.
_MOVING: Final = dict.fromkeys("jkg")

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
        return self.lined(-1)

    def lined(self, at: int) -> Content:
        """Return the lines with the letter underlined that stands at ``at`` in the name."""
        meaning = [f"\n  {line}" for line in textwrap.wrap(self.meaning, WIDTH)]
        name = Content.styled(self.name, "bold")
        if at >= 0:
            name = name.stylize("underline", at, at + 1)
        return Content.assemble(name, *meaning)


def letters_of(choices: Sequence[Choice]) -> dict[str, tuple[Choice, int]]:
    """Return a letter for each answer, in lower case, with its place in the name: the first that
    no other answer has and that moves no cursor."""
    found: dict[str, tuple[Choice, int]] = {}
    for choice in choices:
        for at, letter in enumerate(choice.name.lower()):
            if letter.isascii() and letter.isalpha() and letter not in found | _MOVING:
                found[letter] = choice, at
                break
    return found


class Question(Modal[str]):
    """A question with a few answers; gives the id of the answer, or "" when it was left.

    The first answer is the one that changes least. Each has a letter, which is underlined. Keys
    that were typed before the terminal showed the question answer nothing.
    """

    BINDING_GROUP_TITLE = "Question"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "dismiss('')")]

    def __init__(self, title: str, text: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._choices = choices
        self._letters = letters_of(choices)

    def compose(self) -> ComposeResult:
        places = {choice.identifier: at for choice, at in self._letters.values()}
        with Vertical(id="question") as box:
            box.border_title = self._title
            yield Static(Content(self._text), id="question-text", markup=False)
            options = (
                Option(choice.lined(places.get(choice.identifier, -1)), id=choice.identifier)
                for choice in self._choices
            )
            yield Options(*options, markup=False, compact=True)

    def refuses(self, event: Key | MouseEvent) -> bool:
        """Whether it would answer what was not seen when it was typed."""
        if not isinstance(event, Key):
            return super().refuses(event)
        return self.is_ahead(event) and (event.key == "enter" or event.character in self._letters)

    def on_key(self, event: Key) -> None:
        """Give the answer whose letter was typed."""
        if event.character in self._letters and not self.refuses(event):
            event.stop()
            self.dismiss(self._letters[event.character][0].identifier)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self.dismiss(message.option.id or "")


class Walked[Result](Modal[Result]):
    """A dialog with a field, which has the keys, and a list that some of them walk through."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
    ]

    list = getters.query_one(Options)

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


class Pick(Search[str], Walked[str]):
    """A long list of answers, filtered by what is typed; gives the id of the answer, or what was
    typed where that is ``free`` to be, or "" when it was left.

    Args:
        title: what it is for, in a word or two.
        choices: the answers.
        hint: stands in the empty field.
        free: whether a text is an answer of its own.
        roomy: meanings stand below their names, whole.
        at: the answer that the list begins with.
    """

    BINDING_GROUP_TITLE = "Choice"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "dismiss('')")]

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        hint: str = "",
        free: Callable[[str], bool] = lambda _: False,
        *,
        roomy: bool = False,
        at: str = "",
    ) -> None:
        super().__init__()
        self._roomy = roomy
        self._at = at
        self._title, self._choices, self._hint, self._free = title, choices, hint, free

    def compose(self) -> ComposeResult:
        with Vertical(id="pick") as box:
            box.border_title = self._title
            box.border_subtitle = "enter choose  esc leave"
            yield Input(placeholder=self._hint, compact=True)
            yield Options(markup=False, compact=True)

    def on_mount(self) -> None:
        for options in self.query(Options):  # none, if it was left before it was composed
            options.can_focus = False
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
        names = [choice.identifier for choice in found]
        if not typed and self._at in names:
            self.list.highlighted = names.index(self._at)

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
    """A dialog that returns what was typed, or None where it was left, or where an empty line means
    nothing.

    Args:
        title: what it is for, in a word.
        said: sentences above the field.
        proposed: what stands in the field at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "dismiss")]

    #: Whether an empty line has a meaning of its own.
    EMPTY = False

    def __init__(self, title: str, said: str, proposed: str = "") -> None:
        super().__init__()
        self._title = title
        self._said = said
        self._proposed = proposed

    def field(self) -> Input:
        """Return the field to type in."""
        return Input(self._proposed)

    def meant(self, text: str) -> Meant:
        """Return the value of a line."""
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
        self.dismiss(self.meant(text) if text or self.EMPTY else None)


class PathDialog(LineDialog[Path], Walked[Path | None]):
    """A dialog that returns a path, or None; ``path`` is proposed. Below the field is what is in
    the directory that is typed: Tab goes on with it, and Enter on a folder opens that."""

    BINDING_GROUP_TITLE = "Path"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", priority=True),
    ]

    def __init__(self, title: str, said: str, path: Path) -> None:
        super().__init__(title, said, str(path))
        self._entries: Sequence[PathEntry] = ()

    def compose(self) -> ComposeResult:
        with Vertical(id="line") as box:
            box.border_title = self._title
            box.border_subtitle = f"enter {self._title.lower()}  tab complete  ↓ choose  esc leave"
            yield Static(Content(self._said), markup=False)
            yield self.field()
            yield Options(markup=False, compact=True)

    def on_mount(self) -> None:
        for options in self.query(Options):  # none, if it was left before it was composed
            options.can_focus = False

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        self._look(message.value)

    @work(exclusive=True, group="paths", exit_on_error=False)
    async def _look(self, typed: str) -> None:
        """List what the path may go on with; a slow disk holds up nobody."""
        found = await asyncio.to_thread(entries_of, typed, Path.cwd())
        self._entries = found
        self.list.clear_options()
        self.list.add_options(
            Option(Content.styled(f"{entry.name}/", "bold") if entry.is_folder else entry.name)
            for entry in found
        )
        self.list.highlighted = None

    @property
    def _chosen(self) -> PathEntry | None:
        at = self.list.highlighted
        return self._entries[at] if at is not None and at < len(self._entries) else None

    def _type(self, text: str) -> None:
        field = self.query_one(Input)
        field.value = text
        field.action_end()

    def action_complete(self) -> None:
        """Go on with the chosen name, or with all that the names have in common."""
        chosen = self._chosen
        typed = self.query_one(Input).value
        self._type(chosen.text if chosen is not None else completed(typed, self._entries))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Take the path; open a folder that was chosen from the list."""
        chosen = self._chosen
        if chosen is None:
            super().on_input_submitted(message)
            return
        message.stop()
        self._take(chosen)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        if message.option_index < len(self._entries):
            self._take(self._entries[message.option_index])

    def _take(self, entry: PathEntry) -> None:
        if entry.is_folder:
            self._type(entry.text)
        else:
            self.dismiss(self.meant(entry.text))

    def meant(self, text: str) -> Path:
        return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises for an unknown user


class NoteDialog(LineDialog[str]):
    """A dialog that returns a note, or None."""

    BINDING_GROUP_TITLE = "Note"

    def field(self) -> Input:
        return Input(placeholder="why this is known", max_length=NOTE_LENGTH)

    def meant(self, text: str) -> str:
        return text
