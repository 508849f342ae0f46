"""Search by name, and jumps to a screen, a run, an item or a chunk by it."""

from __future__ import annotations

from abc import abstractmethod
from inspect import isawaitable
from itertools import islice
from typing import TYPE_CHECKING, Final

from textual.command import DiscoveryHit, Hit, Provider
from textual.content import Content

from geobatch_tui.tui.parts.console_app import Console

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from textual.command import Hits
    from textual.fuzzy import Matcher

    from geobatch_tui.tui.parts.console_app import Destination
    from geobatch_tui.tui.run.model import ItemView

ITEMS: Final = 30
"""Items that are offered at once: who looks for another one types more of its name."""


class Destinations(Provider):
    """What can be found by its name."""

    @abstractmethod
    async def destinations(self, query: str) -> Iterable[Destination]:
        """Return what may match; all that are few where nothing is typed yet."""

    async def discover(self) -> Hits:
        for place in await self.destinations(""):
            yield DiscoveryHit(
                Content(place.name), _runner(place), text=place.name, help=place.about
            )

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for place in await self.destinations(query):
            score = matcher.match(place.name)
            if score > 0:
                name = _highlighted(matcher, place.name)
                yield Hit(score, name, _runner(place), text=place.name, help=place.about)


class Jumps(Destinations):
    """Destinations of the console."""

    async def destinations(self, query: str) -> Iterable[Destination]:
        app = self.app
        if not isinstance(app, Console):
            return ()
        return await app.destinations(query.strip(), self.screen)


def _highlighted(matcher: Matcher, name: str) -> Content:
    """Return a name with its matching letters marked; Textual's own obeys markup in it."""
    content = Content(name)
    for offset in matcher.fuzzy_search.match(matcher.query, name)[1]:
        if not name[offset].isspace():
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
