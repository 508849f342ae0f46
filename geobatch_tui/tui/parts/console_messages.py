"""Messages between screens, widgets and the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from geobatch_tui.tui.run.model import Delta


class RunChanged(Message):
    """The delta of a poll, for the screen that is shown; it does not bubble."""

    bubble = False

    def __init__(self, delta: Delta) -> None:
        self.delta = delta
        super().__init__()


@dataclass
class RetryRequested(Message):
    """A request to try dead letters again; the operator has seen which and agreed.

    Attributes:
        classes: only letters of these error classes; empty: of any.
        keys: only these chunks (``item@row,col``) or items, as the ledger names them; empty: all.
        changes: ``KEY=VALUE`` of operational values, as ``geobatch retry --set`` takes them; a
            live run takes none.
        split: in chunks half as wide and half as high; not in a live run.
    """

    classes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    split: bool = False


@dataclass
class ShowLetter(Message):
    """A request to show a dead letter among all of them."""

    dead_id: int


@dataclass
class ShowCause(Message):
    """A request to list the dead letters of one cause, that of the letter ``dead_id``."""

    dead_id: int


@dataclass
class ShowNamed(Message):
    """A request to show the chunk or item of a name: its dead letter, else its line among the
    units."""

    name: str


@dataclass
class ShowOnMap(Message):
    """A request to show chunks and items on the map.

    Attributes:
        keys: names of chunks and items, for people.
        chunks: the ledger's ids of chunks.
        items: the ledger's ids of items that are meant as a whole.
    """

    keys: tuple[str, ...]
    chunks: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
