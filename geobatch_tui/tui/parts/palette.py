"""The command palette: the actions of all keys, of this screen and of others, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Provider

from geobatch_tui.tui.kit.keymap import CHANGES, KEYS
from geobatch_tui.tui.parts.console_app import Console
from geobatch_tui.tui.parts.help import entries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from textual.command import Hits
    from textual.dom import DOMNode

    from geobatch_tui.tui.parts.console_app import ConsoleMode

_HERE: Final = frozenset(
    {"back", "open", "copy", "filter", "next", "previous", "mark", "mark.range", "mark.all"}
)
"""Actions that need a look at the screen first."""


class Command(NamedTuple):
    """A command: its sentence, its key, and its function."""

    text: str
    key: str
    run: Callable[[], Awaitable[None]]


class KeyCommands(Provider):
    """Commands of the bindings of the screen below the palette, then of the others."""

    async def discover(self) -> Hits:
        """Yield all commands, before anything is typed."""
        for command in self._commands():
            yield DiscoveryHit(command.text, command.run, text=command.text, help=command.key)

    async def search(self, query: str) -> Hits:
        """Yield the commands whose sentence matches."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.text)
            if score > 0:
                shown = matcher.highlight(command.text)
                yield Hit(score, shown, command.run, text=command.text, help=command.key)

    def _commands(self) -> Iterator[Command]:
        active = list(self.screen.active_bindings.values())
        nodes = {binding.binding.id: binding.node for binding in active}
        for entry in entries(self.app, active):
            if entry.enabled and entry.identifier != "palette":
                run = self._here(entry.action, nodes[entry.identifier])
                yield Command(f"{entry.name}: {entry.help}", f"key {entry.key}", run)
        app = self.app
        if isinstance(app, Console):
            for mode in app.PAGES:
                if mode.name != app.current_mode:
                    yield from self._of(app, mode)

    def _of(self, app: Console, mode: ConsoleMode) -> Iterator[Command]:
        """Yield the commands of another screen."""
        where = KEYS[f"mode.{mode.name}"]
        hidden = _HERE | (CHANGES if app.read_only else frozenset())
        for binding in mode.load().BINDINGS:
            if isinstance(binding, Binding) and binding.id in KEYS and binding.id not in hidden:
                text = f"{where.name} · {binding.description}: {binding.tooltip}"
                key = f"keys {where.key} {app.get_key_display(binding)}"
                yield Command(text, key, _there(app, mode.name, binding.action))

    def _here(self, action: str, node: DOMNode) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await self.app.run_action(action, default_namespace=node)

        return run


def _there(app: Console, mode: str, action: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        app.show_mode(mode, lambda screen: app.run_action(action, default_namespace=screen))

    return run
