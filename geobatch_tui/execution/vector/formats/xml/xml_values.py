"""Texts of XML that OGR reads as other values: whole numbers beyond the range of 64 bits, of which
it takes the end, and days and times that there are none of, of which it makes others, or null."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from geobatch_tui.execution.vector.formats.xml.xml_reader import Check

_WHOLE = re.compile(r"\s*+[+-]?\d++\s*+", re.ASCII)
_TIME = r"(\d\d):(\d\d)(?::(\d\d))?+"
_MOMENT = re.compile(rf"\s*+(\d{{4}})-(\d\d)-(\d\d)(?:[T ]{_TIME})?+", re.ASCII)
_TIME_ALONE = re.compile(rf"\s*+{_TIME}", re.ASCII)
_LEAST, _LARGEST = -(2**63), 2**63 - 1


def checks(schema: pa.Schema) -> dict[str, Check]:
    """Return the check of the text of each attribute that OGR may read as another value, by
    name."""
    found: dict[str, Check] = {}
    for field in schema:
        if pa.types.is_int64(field.type):
            found[field.name] = _fits
        elif pa.types.is_date(field.type) or pa.types.is_timestamp(field.type):
            found[field.name] = _is_moment
        elif pa.types.is_time(field.type):
            found[field.name] = _is_time
    return found


def _fits(text: str) -> bool:
    return not _WHOLE.fullmatch(text) or _LEAST <= int(text) <= _LARGEST


def _is_moment(text: str) -> bool:
    found = _MOMENT.match(text)
    if found is None:
        return True
    try:
        dt.date(*map(int, found.groups()[:3]))
    except ValueError:
        return False
    return found[4] is None or _is_of_a_day(*found.groups("0")[3:])


def _is_time(text: str) -> bool:
    found = _TIME_ALONE.match(text)
    return found is None or _is_of_a_day(*found.groups("0"))


def _is_of_a_day(hour: str, minute: str, second: str) -> bool:
    """Whether there is such a time; some minutes have 61 seconds."""
    return int(hour) < 24 and int(minute) < 60 and int(second) <= 60
