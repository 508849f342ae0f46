"""Types of settings: what a job file may write, and the value that the program gets.

Each reads both forms and writes the first, so a dumped job loads again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict
from pydantic import WithJsonSchema as JsonSchema

from geobatch_tui.config import crs, units
from geobatch_tui.config.paths import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable


def _optional[T](word: str, parse: Callable[[str], T]) -> Callable[[str | None], T | None]:
    return lambda value: None if value is None or value == word else parse(value)


def _write[T](word: str, text: Callable[[T], str]) -> PlainSerializer:
    return PlainSerializer(lambda value: word if value is None else text(value), return_type=str)


def _positive(value: str | float) -> float:
    seconds = units.parse_duration(value)
    if seconds == 0:
        raise ValueError("must be more than 0")
    return seconds


def _some_bytes(value: str | int) -> int:
    size = units.parse_bytes(value)
    if size == 0:
        raise ValueError("must be more than 0")
    return size


def _path(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _local(text: str) -> str:
    if is_remote(text):
        raise ValueError(
            "must be a local directory, not a URL; upload the outputs after the run has ended"
        )
    return text


_TEXT = JsonSchema({"type": ["string", "number"]})
#: "90s" or a number: seconds.
Duration = Annotated[
    float, BeforeValidator(units.parse_duration), _write("", units.format_duration), _TEXT
]
#: The same, more than 0; "auto": None.
AutoDuration = Annotated[
    float | None,
    BeforeValidator(_optional("auto", _positive)),
    _write("auto", units.format_duration),
    _TEXT,
]
#: The same; "": None.
NoDuration = Annotated[
    float | None,
    BeforeValidator(_optional("", _positive)),
    _write("", units.format_duration),
    _TEXT,
]
#: "4GiB" or a number: bytes; "auto": None.
AutoBytes = Annotated[
    int | None,
    BeforeValidator(_optional("auto", _some_bytes)),
    _write("auto", units.format_bytes),
    _TEXT,
]
#: "100" or "5%": FailureLimit; "": None.
NoLimit = Annotated[
    units.FailureLimit | None,
    BeforeValidator(_optional("", units.parse_failure_limit)),
    _write("", str),
    _TEXT,
]
#: A CRS that exists, as far as can be told without PROJ; "" where there is none.
CrsText = Annotated[str, AfterValidator(lambda text: crs.check_crs(text).text if text else "")]
CreationValue = bool | int | float | str
#: A path, a pattern or a URL. No length constraint of pydantic's: it refuses undecodable names.
PathText = Annotated[str, AfterValidator(_path)]
#: A list of these, or one of them.
Inputs = Annotated[
    tuple[PathText, ...],
    Strict(strict=False),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]
#: A path that is no URL.
LocalPath = Annotated[str, AfterValidator(_path), AfterValidator(_local)]
