"""GeoJSON text sequences: how many records there are, and which are no features.

OGR leaves out a record that is no JSON and goes on, with a line on stderr; of features that share a
record, it reads the first and says nothing. A feature must not get lost like that, so the records
are counted and looked at, and what is left out is set aside by the numbers of its records.
"""

from __future__ import annotations

import codecs
import json
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.lost_geometries import LISTED, MOST_SET_ASIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import Json

_SEPARATOR = b"\x1e"
_PIECE = 1 << 20
_SHOWN = 80
#: Signs between objects by which another value may follow; else only in strings and lists.
_GOES_ON = re.compile(rb'}[\]\s]*(?:[^\s,}\]]|,\s*[^\s"])')
#: Characters that may stand between records.
_BETWEEN = " \t\r\n,\x1e"
_DECODER = json.JSONDecoder()


def is_one(path: str) -> bool:
    """Whether the first of several records at ``path`` is whole."""
    first, more = [*islice(records(path), 2), b"", b""][:2]
    return bool(more) and not _fault(first.removeprefix(codecs.BOM_UTF8))


def lost(path: str, features: int) -> tuple[int, ...]:
    """Number, from 1, the records at ``path`` that OGR leaves out as it reads ``features``.

    Raises:
        CorruptSourceError: they are too many, or are not to be told from the others. Its evidence
            lists the first ones that are no features.
    """
    count = sum(1 for _ in records(path))
    if count == features:
        return ()
    bad = tuple(n for n, record in enumerate(records(path), 1) if _fault(record))
    if features and count - features == len(bad) <= MOST_SET_ASIDE:
        return bad
    shown = ", ".join(map(str, bad[:LISTED])) or "none that is no JSON"
    error = CorruptSourceError(
        f"{path} has {count} records, of which OGR reads {features} as features; broken: {shown}",
        hint="repair or remove these records (blank lines do not count)",
    )
    error.evidence = {"records": bad[:1000], "records_total": len(bad)}
    raise error


def largest(path: str) -> bytes:
    """Return the longest record at ``path``."""
    return max(records(path), key=len, default=b"")


def shared(path: str, lost: tuple[int, ...]) -> tuple[int, ...]:
    """Number, from 1, the records at ``path`` but ``lost`` that hold more than the feature that OGR
    reads. Raises CorruptSourceError where they are too many."""
    left_out = frozenset(lost)
    found = tuple(n for n, one in enumerate(records(path), 1) if n not in left_out and _rest(one))
    if len(found) > MOST_SET_ASIDE:
        raise CorruptSourceError(
            f"{path} has {len(found)} records of more than one feature; OGR reads only the first",
            hint="write one feature a line, as jq -c does",
        )
    return found


def reasons(path: str, numbers: tuple[int, ...]) -> Iterator[str]:
    """Say why each of these records is no feature, or what OGR does not read of it."""
    wanted = frozenset(numbers)
    for number, record in enumerate(records(path), 1):
        if number not in wanted:
            continue
        if rest := _rest(record):
            yield (
                f"record {number} goes on after its first feature, which is all that OGR reads; "
                f"what follows begins with {rest[:_SHOWN]!r}"
            )
        else:
            start = record.decode("utf-8", "backslashreplace").strip()[:_SHOWN]
            yield f"record {number} {_fault(record)}; it begins with {start!r}"


def records(path: str) -> Iterator[bytes]:
    """Read the records of a sequence, by record separators (RFC 8142) if it has them, else by
    lines."""
    with Path(path).open("rb") as file:
        separated = file.read(64).lstrip().startswith(_SEPARATOR)
        file.seek(0)
        if not separated:
            yield from (line for line in file if line.strip())
            return
        rest = b""
        while piece := file.read(_PIECE):
            *whole, rest = (rest + piece).split(_SEPARATOR)
            yield from (record for record in whole if record.strip())
        if rest.strip():
            yield rest


def decoded(record: bytes) -> object:
    """Read the first value in a record. Raises as :func:`value_at`."""
    return value_at(record.decode("utf-8-sig").strip(), 0)[0]


def value_at(text: str, start: int) -> tuple[object, int]:
    """Read the value that begins there, and return also where it ends.

    Raises:
        ValueError: it is no JSON, or nested deeper than can be read.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise ValueError("its values are nested too deep") from error


def _fault(record: bytes) -> str:
    """Say what is wrong with a record; empty: it is a feature, or a geometry."""
    if record.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark, which OGR does not read"
    try:
        value = decoded(record)
    except ValueError as error:
        return f"is no JSON ({error})"
    if not isinstance(value, dict):
        return "is no JSON object"
    kind = value.get("type")
    if str(kind).casefold() == "feature" or _is_geometry(value):
        return ""
    return f"is no feature, but of type {kind!r}"


def _rest(record: bytes) -> str:
    """Return what follows the first feature of a record, if there may be features in it. As OGR
    does, other things are passed over."""
    if not _GOES_ON.search(record) or _fault(record):
        return ""
    text = record.decode("utf-8").strip()
    rest = text[value_at(text, 0)[1] :].strip(_BETWEEN)
    return rest if "{" in rest else ""


def _is_geometry(value: Json) -> bool:
    import shapely

    return shapely.from_geojson(json.dumps(value), on_invalid="ignore") is not None
