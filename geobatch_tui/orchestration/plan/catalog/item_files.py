"""Files of STAC items: an ItemCollection, a single item, or an item a line; local, or an object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import GeobatchError, PreflightError
from geobatch_tui.execution.stores import store_client
from geobatch_tui.execution.stores.object_url import ObjectUrl, is_url, shown
from geobatch_tui.ledger.place.regular_file import read
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.catalog.stac_json import (
    LARGEST,
    lines_of,
    parsed,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINES = (".ndjson", ".jsonl", ".geojsonl")
_PARQUET = (".parquet", ".geoparquet")


def items_in(place: str) -> Iterator[tuple[str, Any]]:
    """Yield the items in the file at ``place``, a path or a URL, each with its place for messages.

    Raises:
        PreflightError: it cannot be read, is too large, or holds no items.
    """
    where = shown(place)
    if place.lower().endswith(_PARQUET):
        raise PreflightError(
            f"{where}: items in GeoParquet are not read",
            hint="write them as lines of JSON: rustac translate items.parquet items.ndjson",
        )
    data = _fetched(place) if is_url(place) else _read(Path(place))
    if place.lower().endswith(_LINES):
        yield from lines_of(data, where)
        return
    document = parsed(data, where)
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        yield where, document
        return
    if kind in {"Catalog", "Collection"}:
        told = refusal(where, f"it is a {kind}, which names its items and does not hold them")
        told.hint = "give an ItemCollection, as `stac-client search ... --save items.json` writes"
        raise told
    features = document.get("features") if kind == "FeatureCollection" else None
    if not isinstance(features, list):
        raise refusal(where, "it is no ItemCollection: an object with a list of features")
    for number, value in enumerate(features, 1):
        yield f"{where}: item {number}", value


def _read(path: Path) -> bytes:
    try:
        return read(path, LARGEST, follow=True)
    except OSError as error:
        raise PreflightError(
            f"cannot read the catalogue {safe(str(path))}: {error.strerror}",
            hint="give a file of items, as JSON or as lines of JSON",
        ) from error


def _fetched(text: str) -> bytes:
    try:
        url = ObjectUrl.of(text)
        client = store_client.client_of(url)
        version = client.version(url)
        if version.size > LARGEST:
            raise refusal(shown(text), f"it has {version.size:,} bytes")
        return b"".join(client.stream(url, version))
    except PreflightError:
        raise
    except GeobatchError as error:
        raise PreflightError(f"cannot read {error.message}", hint=error.hint) from error
