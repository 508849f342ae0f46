"""The command palette: the actions of all keys, of this screen and of others, by name."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from textual.binding import Binding

from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit.keymap import CHANGES, KEYS
from geobatch_tui.tui.parts.console_app import Console, Destination
from geobatch_tui.tui.parts.help import entries
from geobatch_tui.tui.parts.jump import Destinations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from geobatch_tui.tui.parts.console_app import ConsoleMode

_HERE: Final = frozenset(
    {"back", "open", "copy", "filter", "next", "previous", "mark", "mark.range", "mark.all"}
)
"""Actions that need a look at the screen first."""


class KeyCommands(Destinations):
    """Commands of the bindings of the screen below the palette, then of the others."""

    async def destinations(self, query: str) -> Iterable[Destination]:
        del query
        app = self.app
        if isinstance(app, Console):
            # Beside the loop: screens that were not shown yet are imported for it.
            await asyncio.to_thread(lambda: [mode.load() for mode in app.PAGES])
        return self.commands()

    def commands(self) -> Iterator[Destination]:
        """Yield the commands: a sentence each, and its key."""
        active = list(self.screen.active_bindings.values())
        nodes = {binding.binding.id: binding.node for binding in active}
        for entry in entries(self.app, active):
            if entry.enabled and entry.identifier != "palette":
                node = nodes[entry.identifier]
                run = partial(self.app.run_action, entry.action, default_namespace=node)
                yield Destination(f"{entry.name}: {entry.help}", f"key {entry.key}", run)
        app = self.app
        if isinstance(app, Console):
            for number, own in enumerate(app.commands.commands):
                key = f"yours, key {own.key}" if own.key else "yours"
                run = partial(app.run_action, f"own_command({number})", default_namespace=app)
                yield Destination(safe(own.title), safe(key), run)
            for mode in app.PAGES:
                if mode.name != app.current_mode:
                    yield from self._of(app, mode)

    def _of(self, app: Console, mode: ConsoleMode) -> Iterator[Destination]:
        """Yield the commands of another screen."""
        where = KEYS[f"mode.{mode.name}"]
        hidden = _HERE | (CHANGES if app.read_only else frozenset())
        for binding in mode.load().BINDINGS:
            if isinstance(binding, Binding) and binding.id in KEYS and binding.id not in hidden:
                text = f"{where.name} · {binding.description}: {binding.tooltip}"
                key = f"keys {where.key} {app.get_key_display(binding)}"
                yield Destination(text, key, _there(app, mode.name, binding.action))


def _there(app: Console, mode: str, action: str) -> Callable[[], None]:
    def go() -> None:
        app.show_mode(mode, lambda screen: app.run_action(action, default_namespace=screen))

    return go
