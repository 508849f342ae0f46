"""From an entry of a catalogue to inputs: the places of an item's assets, a name, and its facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.orchestration.plan.catalog.api_search import found
from geobatch_tui.orchestration.plan.catalog.item_files import items_in
from geobatch_tui.orchestration.plan.catalog.stac_item import StacItem, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.config.catalog.stac_source import StacSource
    from geobatch_tui.execution.protocol.messages import Json

#: Items that one entry may stand for.
MOST_ITEMS = 1_000_000


@dataclass(frozen=True, slots=True)
class ItemInput:
    """An item of a catalogue: the ``places`` of its assets, paths or URLs in their order; the
    ``name`` of its output, without a suffix; and the ``facts`` that the ledger keeps."""

    places: tuple[str, ...]
    name: str
    facts: Json = field(default_factory=dict)


def walk_catalogue(entry: StacSource, most: int = MOST_ITEMS) -> Iterator[ItemInput]:
    """Yield the items of ``entry``.

    Raises:
        PreflightError: the catalogue cannot be read, an item is none, lacks an asset or a field of
            its name, or names a file that it may not; there are more than ``most``.
    """
    values = found(entry) if entry.is_search else items_in(entry.stac)
    for number, (where, value) in enumerate(values, 1):
        if number > most:
            raise PreflightError(
                f"{shown(entry.stac)}: there are more than {most:,} items",
                hint="search for fewer, by bbox, datetime or collections",
            )
        item = StacItem.of(value, where)
        places = tuple(
            place_of(href, item.where, entry.stac, entry.within)
            for href in item.hrefs(entry.assets)
        )
        yield ItemInput(places, item.output_name(entry.name), item.facts)
