"""Jumps to a screen, a run, an item or a chunk by its name."""

from __future__ import annotations

from inspect import isawaitable
from itertools import islice
from typing import TYPE_CHECKING, Final

from textual.command import DiscoveryHit, Hit, Provider
from textual.content import Content

from geobatch_tui.tui.parts.console_app import Console

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from textual.command import Hits
    from textual.fuzzy import Matcher

    from geobatch_tui.tui.parts.console_app import Destination
    from geobatch_tui.tui.run.model import ItemView

ITEMS: Final = 30
"""Items that are offered at once: who looks for another one types more of its name."""


class Jumps(Provider):
    """Destinations of the console, by what is typed of their names."""

    async def discover(self) -> Hits:
        """Yield the destinations that are few."""
        for place in await self._destinations(""):
            yield DiscoveryHit(
                Content(place.name), _runner(place), text=place.name, help=place.about
            )

    async def search(self, query: str) -> Hits:
        """Yield the destinations whose names match."""
        matcher = self.matcher(query)
        for place in await self._destinations(query):
            score = matcher.match(place.name)
            if score > 0:
                name = _highlighted(matcher, place.name)
                yield Hit(score, name, _runner(place), text=place.name, help=place.about)

    async def _destinations(self, query: str) -> Sequence[Destination]:
        app = self.app
        if not isinstance(app, Console):
            return ()
        return await app.destinations(query.strip(), self.screen)


def _highlighted(matcher: Matcher, name: str) -> Content:
    """Return a name with its matching letters marked; Textual's own obeys markup in it."""
    content = Content(name)
    for offset in matcher.fuzzy_search.match(matcher.query, name)[1]:
        content = content.stylize(matcher.match_style, offset, offset + 1)
    return content


def _runner(place: Destination) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        found = place.go()
        if isawaitable(found):
            await found

    return run


def matching(items: Iterable[ItemView], text: str) -> list[ItemView]:
    """Return the first items with ``text`` in their names, in any case."""
    wanted = text.lower()
    return list(islice((item for item in items if wanted in item.key.lower()), ITEMS))
