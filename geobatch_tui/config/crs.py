"""Tells whether a CRS exists, without loading PROJ, by the list that ships with it.

The engine process imports neither pyproj nor rasterio. Their wheels carry ``proj.db``, an SQLite
file; an EPSG code that is not in it is refused here, before any I/O on data. Definitions without
a code (WKT, PROJ strings) get a light look and are checked by the worker that opens the source.
"""

from __future__ import annotations

import atexit
import os
import re
import sqlite3
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from operator import and_, eq
from pathlib import Path

from geobatch_tui.observability.text import safe

_CODE = re.compile(r"([A-Za-z][\w-]*):([\w.-]+)")
_EPSG = re.compile(r"(?i)\s*EPSG\s*:\s*(\d+(?:\s*\+\s*\d+)?)\s*")
_URN = re.compile(r"(?i)urn:ogc:def:crs:([\w-]+):[\w.]*:([\w.]+)")
_URL = re.compile(r"(?i)https?://www\.opengis\.net/def/crs/([\w-]+)/[\w.]+/([\w.]+)")
_WKT = re.compile(r"(?i)\s*(?:\w*CRS|\w+CS|COORDINATEMETADATA)\s*[\[(]")
_NAMES = frozenset({"WGS84", "WGS72", "NAD27", "NAD83"})
_EXAMPLES = "write a code as 'EPSG:3857', WKT, or a PROJ string"
_TABLES = {
    "geodetic_datum": "a geodetic datum",
    "vertical_datum": "a vertical datum",
    "ellipsoid": "an ellipsoid",
    "prime_meridian": "a prime meridian",
    "coordinate_system": "a coordinate system",
    "conversion": "a conversion",
}


@dataclass(frozen=True, slots=True)
class CrsCheck:
    """A CRS that may be used: its ``text``, with ``EPSG:`` in one spelling, and a ``warning``."""

    text: str
    warning: str = ""


def check_crs(text: str) -> CrsCheck:
    """Look ``text`` up, or take a light look at it where it has no code. Raises ValueError, which
    says what is near, if there is no such CRS, or this is not the text of one."""
    if match := _EPSG.fullmatch(text):
        codes = re.split(r"\s*\+\s*", match[1])
        warnings = [_look_up("EPSG", code, alone=len(codes) == 1) for code in codes]
        joined = "EPSG:" + "+".join(str(int(code)) for code in codes)
        return CrsCheck(joined, " ".join(filter(None, warnings)))
    if match := _URN.fullmatch(text) or _URL.fullmatch(text) or _CODE.fullmatch(text):
        return CrsCheck(text, _look_up(match[1].upper(), match[2]))
    if text.strip().isdecimal():
        raise ValueError(f"is a bare number; write 'EPSG:{text.strip()}'")
    if text.upper() in _NAMES or _looks_defined(text):
        return CrsCheck(text)
    raise ValueError(f"is not a CRS; {_EXAMPLES}")


def _looks_defined(text: str) -> bool:
    """Whether ``text`` has the form of WKT (brackets balanced), PROJJSON or a PROJ string."""
    stripped = text.strip()
    if _WKT.match(text):
        bare = re.sub(r'"[^"]*"', "", stripped)
        opened = bare.count("[") + bare.count("(")
        return opened == bare.count("]") + bare.count(")") and bare[-1] in "])"
    if stripped.startswith("{"):
        return stripped.endswith("}")
    return bool(re.search(r"(?:^|\s)\+(?:proj|init)=\S", stripped))


def _look_up(authority: str, code: str, *, alone: bool = True) -> str:
    """Return a warning of a CRS, or "". Raises ValueError if it does not exist or is no use."""
    path = proj_database()
    if path is None:
        return f"there is no proj.db here to check {authority}:{code} against"
    db = _opened(path)
    row = db.execute(
        "SELECT name, type, deprecated FROM crs_view WHERE auth_name = ? AND code = ?",
        (authority, code),
    ).fetchone()
    if row is None:
        if authority != "EPSG" and not _authority_known(db, authority):
            return ""  # GDAL knows more authorities than PROJ lists
        raise ValueError(_missing(db, authority, code))
    name, kind, deprecated = row
    if alone and kind == "vertical":
        raise ValueError(f"is a vertical CRS ({name}); {_EXAMPLES} of a horizontal one")
    return _deprecation(db, authority, code, name) if deprecated else ""


def _authority_known(db: sqlite3.Connection, authority: str) -> bool:
    query = "SELECT 1 FROM crs_view WHERE auth_name = ? LIMIT 1"
    return db.execute(query, (authority,)).fetchone() is not None


def _deprecation(db: sqlite3.Connection, authority: str, code: str, name: str) -> str:
    row = db.execute(
        "SELECT replacement_auth_name, replacement_code FROM deprecation WHERE "
        "table_name IN ('projected_crs', 'geodetic_crs', 'vertical_crs', 'compound_crs') "
        "AND deprecated_auth_name = ? AND deprecated_code = ?",
        (authority, code),
    ).fetchone()
    use = f"; use {row[0]}:{row[1]}" if row else ""
    return f"{authority}:{code} ({name}) is deprecated{use}."


def _missing(db: sqlite3.Connection, authority: str, code: str) -> str:
    """Say why there is no such CRS, and what may be meant."""
    absent = f"{authority}:{safe(code, 40)} does not exist"
    other = db.execute(
        "SELECT auth_name, name FROM crs_view WHERE code = ? AND auth_name <> ? AND NOT deprecated",
        (code, authority),
    ).fetchone()
    if other:
        return f"{absent}; did you mean {other[0]}:{code} ({other[1]})?"
    if thing := _other_object(db, authority, code):
        return f"{absent} as a CRS: it is {thing}"
    rows = db.execute(
        "SELECT code, name FROM crs_view WHERE auth_name = ? AND NOT deprecated", (authority,)
    )
    names = {str(known): name for known, name in rows}
    near = get_close_matches(code, names, 5, cutoff=0.75)
    if not near:
        return absent
    # The same first digits are likelier than the same last ones
    best = max(near, key=lambda known: sum(accumulate(map(eq, known, code), and_)))
    return f"{absent}; did you mean {authority}:{best} ({names[best]})?"


def _other_object(db: sqlite3.Connection, authority: str, code: str) -> str:
    """Say what else the code names; of a datum, also a CRS that uses it."""
    rows = db.execute(
        "SELECT table_name, name FROM object_view WHERE auth_name = ? AND code = ?",
        (authority, code),
    )
    for table, name in rows:
        if table not in _TABLES:
            continue
        use = db.execute(
            "SELECT auth_name, code, name FROM geodetic_crs WHERE datum_auth_name = ? AND "
            "datum_code = ? AND NOT deprecated ORDER BY type = 'geographic 2D' DESC LIMIT 1",
            (authority, code),
        ).fetchone()
        used = f"; {use[0]}:{use[1]} ({use[2]}) uses it" if use and "geodetic" in table else ""
        return f"{_TABLES[table]} ({name}){used}"
    return ""


@cache
def proj_database() -> Path | None:
    """Find a ``proj.db`` that can be read; that of the library which warps comes first."""
    candidates = [
        _package("rasterio") / "proj_data",
        _package("pyproj") / "proj_dir" / "share" / "proj",
        *(Path(part) for part in os.environ.get("PROJ_DATA", "").split(os.pathsep) if part),
        Path(sys.prefix) / "share" / "proj",
        Path("/usr/share/proj"),
    ]
    for folder in candidates:
        path = folder / "proj.db"
        if path.is_file() and _readable(path.resolve()):
            return path.resolve()
    return None


def _package(name: str) -> Path:
    """Find a package's folder without importing it; one that does not exist if it is absent."""
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else Path("/nonexistent")


@cache
def _opened(path: Path) -> sqlite3.Connection:
    """Open a ``proj.db`` for as long as the process lives: SQLite takes longer to read its schema
    than to find a CRS in it."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    db = sqlite3.connect(uri, uri=True, check_same_thread=False)
    atexit.register(db.close)
    return db


def _readable(path: Path) -> bool:
    try:
        return _authority_known(_opened(path), "EPSG")
    except sqlite3.Error:
        return False
