"""Searches of a STAC API: what is asked, and the items that are found.

``pystac-client`` asks; it is an extra, and loaded by a search alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import GeobatchError, PreflightError
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.object_url import shown, split
from geobatch_tui.orchestration.plan.catalog.stac_json import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.config.catalog.stac_source import StacSource

#: Items that are asked for in one page.
PAGE = 250


def found(entry: StacSource) -> Iterator[tuple[str, Any]]:
    """Yield what the API of ``entry`` finds, item by item, each with its place for messages.

    Raises:
        PreflightError: the API cannot be asked, refuses the search, or answers what is none.
    """
    where = shown(entry.stac)
    number = 0
    for page in _pages(entry):
        features = page.get("features")
        if not isinstance(features, list):
            raise refusal(where, "its answer is no list of items")
        for value in features:
            if entry.limit and number >= entry.limit:
                return
            number += 1
            yield f"{where}: item {number}", value


def _pages(entry: StacSource) -> Iterator[Any]:
    try:
        scheme, host, _ = split(entry.stac)
    except GeobatchError as error:
        raise PreflightError(error.message, hint=error.hint) from error
    try:
        from geobatch_tui.orchestration.plan.catalog.bounded_api import pages
    except ImportError:
        raise PreflightError(
            "searching a STAC API needs the package pystac-client, which is not installed",
            hint='pip install "geobatch-tui[cloud]"',
        ) from None
    token = store_settings.current().of(f"{scheme}://{host}").token
    return pages(entry.stac, token, _asked(entry))


def _asked(entry: StacSource) -> dict[str, Any]:
    """Return the parameters of a search, as pystac-client takes them."""
    chosen: dict[str, Any] = {
        "collections": list(entry.collections),
        "ids": list(entry.ids),
        "bbox": None if entry.bbox is None else list(entry.bbox),
        "datetime": entry.datetime,
        "query": entry.query,
    }
    given = {name: value for name, value in chosen.items() if value}
    return {**given, "limit": min(PAGE, entry.limit or PAGE)}
