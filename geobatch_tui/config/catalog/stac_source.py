"""An entry of ``source.inputs`` that names a STAC catalogue: a file of items, or a search.

What a catalogue says is what strangers wrote. It chooses which objects are read, and nothing else:
no path of this machine beyond its own directory, no name of an output as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    model_serializer,
    model_validator,
)

from geobatch_tui.config.problems import nearest
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Callable

#: What an item may be called by: its id, its collection, its time, or a property.
FIELD = re.compile(r"\{item\.([A-Za-z0-9_:.-]+)\}")
NAME = "{item.id}"
#: Suffixes of files of items; a URL without one is an API.
SUFFIXES = (".json", ".geojson", ".ndjson", ".geojsonl", ".jsonl")
# Compiled when a job has a catalogue.
_API = r"https?://[^\s/?#@]+(?:/[^\s?#@]*)?"
_DAY = r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
_CLOCK = r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
_TIME = rf"{_DAY}(?:(?<=-[0-9]{{2}}-[0-9]{{2}}){_CLOCK})?"
_TIMES = rf"{_TIME}|{_TIME}/(?:{_TIME}|\.\.)|\.\./{_TIME}"
_SIGN = r"(?:.+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*"
#: Bytes of the longest ``query``.
_LONGEST_QUERY = 16 * 1024

type Words = Annotated[
    tuple[str, ...],
    Strict(strict=False),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]


class StacSource(BaseModel):
    """A file of STAC items (an ItemCollection, or an item a line), or a search of a STAC API."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    stac: str = Field(min_length=1, description="A file of items, local or by URL; or an API.")
    assets: Words = Field(
        default=(), description="Assets to read; several are the bands of one item, by stack."
    )
    name: str = Field(default=NAME, description="Names of the outputs, without a suffix.")
    within: str = Field(
        default="", description="Directory below which local files may lie; empty: the catalogue's."
    )
    sign: str = Field(
        default="", description="Function that signs URLs: sign.py:function, or module:function."
    )
    collections: Words = Field(default=(), description="Of a search: collections.")
    ids: Words = Field(default=(), description="Of a search: ids of items.")
    bbox: Annotated[tuple[float, ...] | None, Strict(strict=False)] = Field(
        default=None, description="Of a search: west, south, east, north in degrees."
    )
    datetime: str = Field(default="", description="Of a search: a time, or two with a / between.")
    query: dict[str, Any] = Field(
        default_factory=dict, description="Of a search: what properties must be."
    )
    limit: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Of a search: most items; 0: all."
    )

    @property
    def is_search(self) -> bool:
        """Whether it names an API, which is asked; else a file."""
        web = self.stac.lower().startswith(("https://", "http://"))
        return web and not self.stac.lower().endswith(SUFFIXES)

    @model_validator(mode="before")
    @classmethod
    def _knows(cls, data: object) -> object:
        """Name what is unknown: an error of a list would not."""
        for name in data if isinstance(data, Mapping) else ():
            if name not in cls.model_fields:
                advice = nearest(str(name), cls.model_fields, show=len(cls.model_fields))
                raise ValueError(f"a catalogue has no key {safe(str(name))!r}; {advice}")
        return data

    @model_validator(mode="after")
    def _fits(self) -> StacSource:
        asked = [name for name in _SEARCH if getattr(self, name)]
        if asked and not self.is_search:
            raise ValueError(f"{asked[0]} is of a search, and {self.stac!r} is a file of items")
        if self.is_search and re.fullmatch(_API, self.stac) is None:
            raise ValueError("stac: the URL of an API has no user, query or fragment")
        if self.sign and re.fullmatch(_SIGN, self.sign) is None:
            raise ValueError(f'sign is "file.py:function" or "module:function", not {self.sign!r}')
        if self.bbox is not None:
            _check_box(self.bbox)
        if self.datetime and re.fullmatch(_TIMES, self.datetime) is None:
            raise ValueError(
                'datetime is a time or two, as "2024-05", "2024-01-01/2024-06-30" or "../2024"'
            )
        if len(json.dumps(self.query, default=str)) > _LONGEST_QUERY:
            raise ValueError(f"query: longer than {_LONGEST_QUERY} bytes")
        if any(sign in FIELD.sub("", self.name) for sign in "{}") or not self.name.strip("/ "):
            raise ValueError(
                f"name: {self.name!r} holds braces that are no field: {{item.id}}, "
                "{item.collection}, {item.datetime} or {item.PROPERTY}"
            )
        parts = self.name.split("/")
        if any(part in {"", ".", ".."} or part.startswith(".") for part in parts):
            raise ValueError(
                f"name: {self.name!r} has an empty part, or one that begins with a dot"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: Callable[[StacSource], dict[str, Any]]) -> dict[str, Any]:
        """Write what is not the default, as a job file would."""
        fields = type(self).model_fields
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in handler(self).items()
            if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }


_SEARCH = ("collections", "ids", "bbox", "datetime", "query", "limit")


def _check_box(box: tuple[float, ...]) -> None:
    if len(box) != 4 or not all(abs(value) <= 360 for value in box):
        raise ValueError("bbox is west, south, east, north in degrees")
    if box[1] > box[3]:
        raise ValueError(f"bbox: its south, {box[1]:g}, is above its north, {box[3]:g}")
