"""Tables by which steps change values, as users write them: mappings of classes, and colour maps.

The grammar of mappings is that of ``gdal raster reclassify``; colour maps are those of gdaldem, and
palettes of GMT. What GDAL takes for 0, or passes over in silence, is an error here that names its
line. Workers read tables too, so this module loads no pydantic.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The most bytes of a file with a table, and the most entries of one.
MOST_BYTES, MOST_ENTRIES = 2**20, 65536
#: What a class becomes: a value, what it was, or nodata.
type Target = float | Literal["PASS_THROUGH", "NO_DATA"]
#: A colour: red, green, blue and alpha.
type Colour = tuple[int, int, int, int]

_NUMBER = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?)"
_INTERVAL = re.compile(rf"([\[(])\s*({_NUMBER})\s*,\s*({_NUMBER})\s*([\])])", re.IGNORECASE)
_VALUE = re.compile(_NUMBER, re.IGNORECASE)
#: gdaldem's colours by name.
_COLOURS = {
    "white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 255, 0),
    "blue": (0, 0, 255), "yellow": (255, 255, 0), "magenta": (255, 0, 255), "cyan": (0, 255, 255),
    "aqua": (0, 191, 191), "grey": (191, 191, 191), "gray": (191, 191, 191),
    "orange": (255, 127, 0), "brown": (191, 127, 63), "purple": (127, 0, 255),
    "violet": (127, 0, 255), "indigo": (0, 127, 255),
}  # fmt: skip
_GMT = re.compile(r"#.*COLOR_MODEL\s*=\s*\+?(\w+)", re.IGNORECASE)
#: Entries of a palette of GMT for values beyond its ends; gdaldem has the colours of the ends.
_BEYOND = frozenset({"B", "F"})


@dataclass(frozen=True, slots=True)
class Interval:
    """The values from ``low`` to ``high``, both included, and what they become; ``text`` is how it
    was written."""

    low: float
    high: float
    target: Target
    text: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """Intervals in ascending order, no two of which share a value; and what nodata, NaN and the
    rest become: None where that is not said."""

    intervals: tuple[Interval, ...]
    nodata: Target | None = None
    nan: Target | None = None
    default: Target | None = None

    @property
    def targets(self) -> Iterator[Target]:
        """All that anything becomes."""
        yield from (interval.target for interval in self.intervals)
        yield from (
            target for target in (self.nodata, self.nan, self.default) if target is not None
        )


@dataclass(frozen=True, slots=True)
class ColourStop:
    """The colour of a value. ``kind``: of a number, of a part of the range (``value`` from 0 to 1),
    or of nodata."""

    kind: Literal["value", "share", "nodata"]
    value: float
    colour: Colour

    @classmethod
    def of(cls, entry: tuple[str, int, int, int, int]) -> ColourStop:
        """Return the stop that :attr:`entry` gave."""
        word, *parts = entry
        red, green, blue, alpha = parts
        colour = (red, green, blue, alpha)
        if word == "nv":
            return cls("nodata", math.nan, colour)
        if word.endswith("%"):
            return cls("share", float(word[:-1]) / 100, colour)
        return cls("value", float(word), colour)


def read_text(path: str) -> str:
    """Return the text of a file with a table. Raises ValueError if it is no regular file, is too
    large, cannot be read, or is not in UTF-8."""
    try:
        # A pipe that nobody writes to would block.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ValueError(f"{path} is no regular file")
            data = _read(file, MOST_BYTES + 1)
        finally:
            os.close(file)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes, too many for a table")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8, at byte {error.start}") from error


def _read(file: int, most: int) -> bytes:
    data = bytearray()
    while len(data) < most and (piece := os.read(file, most - len(data))):
        data += piece
    return bytes(data)


# --- mappings ----------------------------------------------------------------------------------


def mapping_text(text: str) -> str:
    """Return a mapping on one line; ``text`` is one, or the text of a file with an entry a line and
    comments behind ``#``."""
    lines = (line.partition("#")[0].strip().strip(";") for line in text.splitlines())
    return "; ".join(line for line in lines if line)


def parse_mapping(text: str) -> Mapping:
    """Return the mapping that ``text`` says, as ``[a,b)=v; NO_DATA=v; DEFAULT=PASS_THROUGH``.

    Raises:
        ValueError: it is none; the message names the entry.
    """
    intervals: list[Interval] = []
    others: dict[str, Target] = {}
    entries = [entry for entry in map(str.strip, text.split(";")) if entry]
    if not entries:
        raise ValueError("mapping is empty: it takes entries as [0,10)=1; DEFAULT=NO_DATA")
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"mapping has {len(entries)} entries; {MOST_ENTRIES} are the most")
    for entry in entries:
        source, sign, target = (part.strip() for part in entry.partition("="))
        if not sign:
            raise ValueError(f"mapping: {entry!r} has no =")
        if (word := source.upper()) in {"DEFAULT", "NO_DATA", "NAN"}:
            if word in others:
                raise ValueError(f"mapping: {word} is there twice")
            others[word] = _target(target, entry)
        else:
            intervals.append(_interval(source, _target(target, entry), entry))
    intervals.sort(key=lambda interval: interval.low)
    for one, other in pairwise(intervals):
        if other.low <= one.high:
            raise ValueError(f"mapping: {one.text!r} and {other.text!r} share values")
    return Mapping(
        tuple(intervals), others.get("NO_DATA"), others.get("NAN"), others.get("DEFAULT")
    )


def _target(text: str, entry: str) -> Target:
    word = text.upper()
    if word == "NO_DATA":
        return "NO_DATA"
    if word == "PASS_THROUGH":
        return "PASS_THROUGH"
    if word == "NAN" or _VALUE.fullmatch(text):
        return float(text)
    raise ValueError(f"mapping: {entry!r} ends in no number, NO_DATA or PASS_THROUGH")


def _interval(text: str, target: Target, entry: str) -> Interval:
    if _VALUE.fullmatch(text):
        value = float(text)
        return Interval(value, value, target, entry)
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise ValueError(
            f"mapping: {entry!r} begins with no value, interval as [0,10), NO_DATA, NAN or DEFAULT"
        )
    opens, first, last, closes = match.groups()
    low, high = float(first), float(last)
    # The neighbours of a bound that is left out: what lies between them is no number.
    low = low if opens == "[" else math.nextafter(low, math.inf)
    high = high if closes == "]" else math.nextafter(high, -math.inf)
    if low > high:
        raise ValueError(f"mapping: no value lies in the interval of {entry!r}")
    return Interval(low, high, target, entry)


# --- colour maps -------------------------------------------------------------------------------


def colour_entries(text: str) -> tuple[tuple[str, int, int, int, int], ...]:
    """Return the entries of a colour map, JSON-ready: a value, a share of the range (``50%``) or
    ``nv`` for nodata, with red, green, blue and alpha; see :meth:`ColourStop.of`.

    Raises:
        ValueError: it is none; the message names the line.
    """
    model = _GMT.search(text)
    if model is not None and model[1].upper() != "RGB":
        raise ValueError(f"the colours are by {model[1]}; only RGB is read")
    found: list[tuple[str, int, int, int, int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line[0] in "#/":
            continue
        try:
            words = re.split(r"[\s,:/]+" if model else r"[\s,:]+", line.strip())
            found += _gmt_entries(words) if model else [_entry(words)]
        except ValueError as error:
            raise ValueError(f"line {number}, {line.strip()[:60]!r}: {error}") from None
        if len(found) > MOST_ENTRIES:
            raise ValueError(f"it has more than {MOST_ENTRIES} colours")
    if not found:
        raise ValueError("it has no colour")
    return tuple(found)


def _gmt_entries(words: list[str]) -> list[tuple[str, int, int, int, int]]:
    if len(words) >= 8:
        return [(_value(words[at]), *_colour(words[at + 1 : at + 4]), 255) for at in (0, 4)]
    if len(words) == 4:
        if words[0].upper() == "N":
            return [("nv", *_colour(words[1:]), 255)]
        if words[0].upper() in _BEYOND:
            return []
    raise ValueError("a line has two values with three colours each, or N, B or F with one")


def _entry(words: list[str]) -> tuple[str, int, int, int, int]:
    value, *rest = words
    word = value.lower()
    if word != "nv" and value.endswith("%"):
        share = float(_value(value[:-1]))
        if not 0 <= share <= 100:
            raise ValueError("a share of the range lies from 0% to 100%")
        word = f"{share!r}%"
    elif word != "nv":
        word = _value(value)
    if rest and (named := _COLOURS.get(rest[0].lower())) is not None:
        colour, alpha = named, rest[1:]
    else:
        if len(rest) < 3:
            known = ", ".join(sorted(_COLOURS))
            raise ValueError(f"a value is followed by red, green and blue, or one of {known}")
        colour, alpha = _colour(rest[:3]), rest[3:]
    return (word, *colour, _part(alpha[0]) if alpha else 255)


def _value(text: str) -> str:
    if text.lower() != "nan" and not _VALUE.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return repr(float(text))


def _colour(words: list[str]) -> tuple[int, int, int]:
    red, green, blue = map(_part, words)
    return red, green, blue


def _part(text: str) -> int:
    value = float(text) if _VALUE.fullmatch(text) else math.nan
    if not (value.is_integer() and 0 <= value <= 255):
        raise ValueError(f"{text!r} is no part of a colour, which are whole numbers from 0 to 255")
    return int(value)
