"""Keys in the order in which they were typed.

Textual sends a key to the widget that has the keys, from where it comes back to the app, level by
level, if nothing took it. So a key that opens a screen works some messages later, and one behind it
goes to the old screen, or overtakes it where the new one is less deep. Here each key waits until
the one before it was handled. That is told by a message that follows it on its way.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from textual.events import Key
    from textual.screen import Screen


class KeyHandled(Message):
    """A key has been handled: it went the same way before, as far as a widget let it pass."""


class KeyQueue:
    """Keys that wait for their turn.

    Attributes:
        under_way: what follows the key that is being handled; None: there is none.
    """

    def __init__(self) -> None:
        self._keys: deque[tuple[Key, Screen[object]]] = deque()
        self.under_way: KeyHandled | None = None

    @property
    def waits(self) -> bool:
        """Whether a key waits."""
        return bool(self._keys)

    def put(self, key: Key, top: Screen[object]) -> None:
        """Have a key wait that was typed while ``top`` was the screen on top."""
        self._keys.append((key, top))

    def pop(self) -> tuple[Key, Screen[object]]:
        """Return the next key, and the screen that was on top when it was typed."""
        return self._keys.popleft()

    def send(self) -> KeyHandled:
        """Return the message that is to follow the key that was sent."""
        self.under_way = KeyHandled()
        return self.under_way
