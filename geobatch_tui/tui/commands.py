"""The command palette: everything that a key does here, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Provider

from geobatch_tui.tui.help import entries

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from textual.command import Hits
    from textual.dom import DOMNode

    from geobatch_tui.tui.help import Entry


class KeyCommands(Provider):
    """Commands made from the bindings of the screen below the palette."""

    async def discover(self) -> Hits:
        """All commands, before anything is typed."""
        for entry, run in self._commands():
            text = _text(entry)
            yield DiscoveryHit(text, run, text=text, help=f"key {entry.key}")

    async def search(self, query: str) -> Hits:
        """Commands whose sentence matches."""
        matcher = self.matcher(query)
        for entry, run in self._commands():
            text = _text(entry)
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), run, text=text, help=f"key {entry.key}")

    def _commands(self) -> list[tuple[Entry, Callable[[], Coroutine[Any, Any, None]]]]:
        active = list(self.screen.active_bindings.values())
        nodes = {binding.binding.id: binding.node for binding in active}
        return [
            (entry, self._runner(entry.action, nodes[entry.identifier]))
            for entry in entries(self.app, active)
            if entry.enabled and entry.identifier != "palette"
        ]

    def _runner(self, action: str, node: DOMNode) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            await self.app.run_action(action, default_namespace=node)

        return run


def _text(entry: Entry) -> str:
    """A command by its short name, as in the footer, and by what it does."""
    return f"{entry.name}: {entry.help}"
