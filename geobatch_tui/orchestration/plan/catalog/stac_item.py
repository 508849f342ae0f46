"""A STAC item: its id, time, properties and the places of its assets, each checked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from geobatch_tui.config.catalog.stac_source import FIELD
from geobatch_tui.execution.stores.object_url import SCHEMES, is_url, shown
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.catalog.stac_json import (
    refusal,
    short_facts,
    table_of,
    text_of,
)
from geobatch_tui.orchestration.plan.output_names import plain_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Characters of an id or an href that is taken: no name or URL is longer.
_LONGEST = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Media types of assets that are read where none is named.
_READ = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-geotiff")
_SHOWN = 20
_SCHEMES = tuple(f"{scheme}://" for scheme in SCHEMES)
_VSI = re.compile(r"/vsi\w+/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StacItem:
    """An item: what is kept of it, and its assets by name; ``where`` names it in messages."""

    where: str
    id: str
    collection: str
    time: str
    properties: Mapping[str, Any]
    assets: Mapping[str, Any]
    href: str = ""

    @classmethod
    def of(cls, value: object, where: str) -> StacItem:
        """Check an item of a catalogue. Raises PreflightError if it is none."""
        if not isinstance(value, dict) or value.get("type") != "Feature":
            raise refusal(where, "an item is an object of type Feature")
        name = text_of(value, "id", where, required=True)
        if len(name) > _LONGEST:
            raise refusal(where, f"its id has {len(name):,} characters")
        where = f"{where} ({safe(name, 80)})"
        properties = table_of(value, "properties", where)
        time = text_of(properties, "datetime", where)
        return cls(
            where,
            name,
            text_of(value, "collection", where),
            time or text_of(properties, "start_datetime", where),
            properties,
            table_of(value, "assets", where),
            _own_href(value.get("links")),
        )

    @property
    def facts(self) -> dict[str, object]:
        """What the ledger keeps of it."""
        kept = {
            "id": self.id, "collection": self.collection, "datetime": self.time, "href": self.href,
        }  # fmt: skip
        return {**short_facts(kept), "properties": short_facts(self.properties)}

    def output_name(self, template: str) -> str:
        """Return the name that ``template`` gives: no field leads to another directory. Raises
        PreflightError if it names a field that the item lacks."""
        return FIELD.sub(lambda match: plain_name(self._field(match[1]), marks=False), template)

    def _field(self, name: str) -> str:
        own = {"id": self.id, "collection": self.collection, "datetime": self.time}
        value = own[name] if name in own else self.properties.get(name)
        if value in (None, "") or isinstance(value, dict | list):
            raise refusal(self.where, f"it has no {name!r} that could name an output")
        text = str(value)
        return text.replace(":", "") if name == "datetime" else text

    def hrefs(self, wanted: Sequence[str]) -> list[str]:
        """Return the places of the assets that are ``wanted``, as they are written; without any,
        of its only raster. Raises PreflightError if one is missing, or none is named."""
        names = list(wanted) or self._rasters()
        return [self._href(name) for name in names]

    def _rasters(self) -> list[str]:
        found = [
            name
            for name, asset in self.assets.items()
            if isinstance(asset, dict) and str(asset.get("type", "")).lower().startswith(_READ)
        ]
        data = [name for name in found if "data" in (self.assets[name].get("roles") or ())]
        chosen = found if len(found) == 1 else data
        if len(chosen) != 1:
            raise refusal(
                self.where, f'name its assets, as assets = ["B04"]: it has {self._names()}'
            )
        return chosen

    def _href(self, name: str) -> str:
        asset = self.assets.get(name)
        if asset is None:
            raise refusal(self.where, f"it has no asset {name!r}, but {self._names()}")
        where = f"{self.where}, asset {safe(name, 80)}"
        if not isinstance(asset, dict):
            raise refusal(where, "an asset is an object with an href")
        href = text_of(asset, "href", where, required=True)
        if len(href) > _LONGEST or _CONTROL.search(href):
            raise refusal(where, "its href is no URL: too long, or with control characters")
        return href

    def _names(self) -> str:
        names = [safe(str(name), 40) for name in self.assets]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"{', '.join(names[:_SHOWN]) or 'none'}{more}"


def _own_href(links: object) -> str:
    """Return the URL that an item has for itself; empty: none that is one."""
    for link in links if isinstance(links, list) else ():
        href = link.get("href") if isinstance(link, dict) and link.get("rel") == "self" else None
        if isinstance(href, str) and href.startswith(_SCHEMES) and not _CONTROL.search(href):
            return redact(href[:_LONGEST])
    return ""


def place_of(href: str, where: str, base: str, within: str) -> str:
    """Return the URL or the absolute path that ``href`` stands for in the catalogue at ``base``, a
    URL or a file; local files lie ``within`` a directory.

    Raises PreflightError where a catalogue names what it has no business with.
    """
    scheme = urlsplit(href).scheme.lower() if "://" in href else ""
    if scheme == "file":
        href, scheme = unquote(urlsplit(href).path), ""
    if scheme or (is_url(base) and not within):
        if not scheme and (href.startswith("/") or _VSI.match(href)) and not _is_web(base):
            raise refusal(where, f"{shown(href)} is a path, in a catalogue of a store")
        url = href if scheme else urljoin(base, href)
        if url.partition("://")[0].lower() not in SCHEMES:
            raise refusal(where, f"{shown(url)} is of another scheme than {', '.join(SCHEMES)}")
        _refuse_query(url, where)
        return url
    if _VSI.match(href):
        raise refusal(where, f"{safe(href, 200)} is a name of GDAL's, and no file")
    folder = within or os.path.dirname(base)  # noqa: PTH120 - no path of this process
    path = os.path.abspath(os.path.join(folder, href))  # noqa: PTH100, PTH118 - keeps links
    if os.path.commonpath([path, folder]) != folder or path == folder:
        told = refusal(where, f"{safe(href, 200)} lies outside {safe(folder)}")
        told.hint = 'if its files are to be read from elsewhere, say from where: within = "/data"'
        raise told
    return path


def _refuse_query(url: str, where: str) -> None:
    """Raise PreflightError for a URL with a query, which may be a signature: what is read is
    written down. A key of a bucket may hold a question mark."""
    if _is_web(url) and (found := re.search(r"[?#]", url)):
        told = refusal(where, f"{shown(url[: found.start()])} has a query, as signed URLs have")
        told.hint = 'let URLs be signed when they are read: sign = "FILE:FUNCTION"'
        raise told


def _is_web(base: str) -> bool:
    return base.lower().startswith(("https://", "http://"))
