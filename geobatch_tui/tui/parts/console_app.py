"""The app as screens, parts and widgets know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import App

from geobatch_tui.tui.kit.endings import Ending
from geobatch_tui.tui.kit.keymap import Keymap
from geobatch_tui.tui.parts.user_commands import UserCommands
from geobatch_tui.tui.run.model import View

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from textual.screen import Screen

    from geobatch_tui.tui.kit.endings import Wish
    from geobatch_tui.tui.run.link import RunLink


class ConsoleMode(NamedTuple):
    """A mode of the app; ``load`` imports the class of its screen only when it is called."""

    name: str
    load: Callable[[], type[Screen[None]]]

    def make(self) -> Screen[None]:
        return self.load()()


class Destination(NamedTuple):
    """A destination to jump to: its name, its kind, and a function that goes there."""

    name: str
    about: str
    go: Callable[[], Awaitable[object] | None]


class Target(NamedTuple):
    """What the cursor of a screen is on.

    Attributes:
        outputs: where the run's outputs are; "": there is no run.
        directory: of the run.
        item_id: in its ledger; None: no item.
        place: of a chunk in the item, as ``@row,column``; "": the whole item.
    """

    outputs: str = ""
    directory: Path | None = None
    item_id: int | None = None
    place: str = ""


class Console(App[Ending]):
    """An app with a run or without one.

    Attributes:
        PAGES: its modes.
        read_only: whether it changes nothing.
        shown: the run that is on the screen.
        unsaved: whether the form has edits that are in no file.
        user_keys: keys that the user moved.
        commands: programs that the user added.
    """

    PAGES: ClassVar[Sequence[ConsoleMode]] = ()
    read_only = False
    shown = View()
    unsaved = False
    user_keys = Keymap({})
    commands = UserCommands()

    def open(self, wish: Wish) -> None:
        """Close this console, and open what is wished for."""
        raise NotImplementedError

    def show_mode(self, mode: str, then: Callable[[Screen[None]], object]) -> None:
        """Go to a screen, and call ``then`` with it once it is mounted, even if a key has led to
        another one by then."""
        raise NotImplementedError

    async def destinations(self, text: str, screen: Screen[object]) -> list[Destination]:
        """Return where one can jump to from a screen; ``text`` is what is typed of the name."""
        raise NotImplementedError


class RunConsole(Console):
    """An app that shows a run.

    Attributes:
        link: the run.
        frozen: whether the picture is held still.
    """

    link: RunLink
    frozen: bool

    @property
    def place(self) -> str:
        """Whether the console is attached, and the run's output directory."""
        raise NotImplementedError
