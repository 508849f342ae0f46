"""GeoJSON text sequences: how many records there are, and which cannot be read.

OGR leaves out a record that is no JSON and goes on, with a line on stderr. A feature must not get
lost like that, so the records are counted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import CorruptSourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEPARATOR = b"\x1e"
_PIECE = 1 << 20
_LISTED = 20


def refuse_lost(path: str, features: int) -> None:
    """Raises CorruptSourceError if OGR reads other than ``features`` of the records at ``path``.

    Its evidence lists the numbers of the first records that are no JSON objects, from 1.
    """
    count = sum(1 for _ in records(path))
    if count == features:
        return
    bad = [number for number, record in enumerate(records(path), 1) if not _is_object(record)]
    shown = ", ".join(map(str, bad[:_LISTED])) or "none that is no JSON"
    error = CorruptSourceError(
        f"{path} has {count} records, of which OGR reads {features} as features; broken: {shown}",
        hint="repair or remove these records (blank lines do not count)",
    )
    error.evidence = {"records": bad[:1000], "records_total": len(bad)}
    raise error


def records(path: str) -> Iterator[bytes]:
    """The records of a sequence, by record separators (RFC 8142) if it has them, else by lines."""
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


def _is_object(record: bytes) -> bool:
    try:
        return isinstance(json.loads(record), dict)
    except ValueError:
        return False
