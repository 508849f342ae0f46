"""Shapefiles, each set of files in one zip archive, so that it is published whole or not at all.

OGR reads such an archive (``.shp.zip``) as it is, and so do QGIS and other programs. Its comment is
the fingerprint. What the format cannot hold is said before a run, and lost only where the job
allows it; what OGR would write wrong is set aside by ``values``.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import PreflightError, SchemaError, VerifyError
from geobatch_tui.execution.io.disk import disk_errors
from geobatch_tui.execution.vector.batch.wkb_coordinates import type_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIX = ".shp.zip"
#: Most bytes of a name and of a text, fields of a table, and bytes of a file.
NAME, TEXT, FIELDS, LARGEST = 10, 254, 255, 2**31 - 1
#: Files of a set, in the order of the archive. Coordinates hardly shrink, and readers seek in them.
_FILES = {
    ".shp": zipfile.ZIP_STORED,
    ".shx": zipfile.ZIP_STORED,
    ".dbf": zipfile.ZIP_DEFLATED,
    ".prj": zipfile.ZIP_STORED,
    ".cpg": zipfile.ZIP_STORED,
}
#: Each file has this date: the same features make the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_KEY = b"GEOBATCH_FP="
_PIECE = 1 << 20
OPTIONS = {"DBF_DATE_LAST_UPDATE": "1970-01-01", "2GB_LIMIT": "YES"}


def names(fields: Sequence[str]) -> list[str]:
    """Shorten names to ten bytes in UTF-8, no two of which are one where case does not count."""
    made: list[str] = []
    taken: set[str] = set()
    for field in fields:
        name, number = cut(field, NAME), 0
        while name.casefold() in taken:
            number += 1
            tail = f"_{number}"
            name = cut(field, NAME - len(tail)) + tail
        taken.add(name.casefold())
        made.append(name)
    return made


def cut(text: str, size: int) -> str:
    """Return the start of ``text``: whole characters, of ``size`` bytes in UTF-8 at most."""
    return text.encode()[:size].decode("utf-8", "ignore")


def losses(fields: pa.Schema) -> list[str]:
    """List what a Shapefile loses of a layer with these attributes, whose types it holds."""
    short = names(fields.names)
    renamed = [
        f"{long!r} becomes {name!r}"
        for long, name in zip(fields.names, short, strict=True)
        if long != name
    ]
    kinds = [field.type for field in fields]
    lines = [
        (bool(renamed), f"names have ten bytes: {', '.join(renamed)}"),
        (
            any(map(pa.types.is_string, kinds)),
            f"text is cut after {TEXT} bytes, loses blanks at its ends, and is null where empty",
        ),
        (
            any(map(pa.types.is_floating, kinds)),
            "real numbers have 15 decimals, and null in place of NaN",
        ),
        (
            any(pa.types.is_timestamp(kind) or pa.types.is_time(kind) for kind in kinds),
            "moments and times of day become text",
        ),
        (True, "the .prj file names no EPSG code"),
        (True, "a file of more than 2 GB is refused"),
    ]
    return [line for holds, line in lines if holds]


def refuse(fields: pa.Schema, *, allowed: bool, warnings: list[str]) -> None:
    """Warn of the losses.

    Raises:
        PreflightError: they are not allowed.
        SchemaError: there are more fields than a table has.
    """
    if len(fields) > FIELDS:
        raise SchemaError(
            f"Shapefile holds {FIELDS} fields, the source has {len(fields)}",
            hint="choose some by op.columns, or write GeoParquet",
        )
    lost = losses(fields)
    if not allowed:
        raise PreflightError(
            f"Shapefile would lose: {'; '.join(lost)}",
            hint="allow it by output.allow_lossy = true, or write GPKG, which loses none of this",
        )
    warnings.extend(f"Shapefile: {line}" for line in lost)


def refuse_mixed(kinds: Sequence[int]) -> None:
    """Raise SchemaError where ``kinds`` (WKB's numbers) are more than one type of geometry."""
    bases = {(kind % 1000 - 1) % 3 for kind in kinds if kind % 1000 != 7}
    if len(bases) > 1 or 7 in {kind % 1000 for kind in kinds}:
        shown = ", ".join(type_name(kind) for kind in kinds)
        raise SchemaError(
            f"Shapefile holds one type of geometry, not {shown}",
            hint="choose one by op.where, or write GPKG",
        )
    if len({kind // 1000 % 2 for kind in kinds}) > 1:
        raise SchemaError(
            "some features have heights and others have none; a Shapefile would make up zeros",
            hint="write GPKG",
        )


def pack(layer: Path, path: Path, fingerprint: str) -> None:
    """Put the files of ``layer``, a ``.shp`` file, into a new archive at ``path``. Raises
    SchemaError where one is larger than others read."""
    with disk_errors("cannot write", path), zipfile.ZipFile(path, "x") as archive:
        for suffix, method in _FILES.items():
            part = layer.with_suffix(suffix)
            if not part.exists():  # a layer without a CRS has no .prj
                continue
            if part.stat().st_size > LARGEST:
                raise SchemaError(
                    f"{part.name} would have {part.stat().st_size:,} bytes; "
                    f"a Shapefile has {LARGEST:,} at most",
                    hint="write GPKG, or less of the source",
                )
            entry = zipfile.ZipInfo(part.name, _DATE)
            entry.compress_type, entry.create_system = method, 3
            entry.external_attr = 0o100644 << 16
            with part.open("rb") as source, archive.open(entry, "w") as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
        archive.comment = _KEY + fingerprint.encode()


def fingerprint_of(path: Path) -> str:
    """Return the fingerprint of an archive, each byte of which is read; empty: it is not ours.
    Raises VerifyError where a file in it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            comment = archive.comment
    except (zipfile.BadZipFile, EOFError) as error:
        raise VerifyError(f"{path.name!r} cannot be read back: {error}") from error
    if damaged is not None:
        raise VerifyError(f"{path.name!r}: {damaged!r} is damaged")
    return comment.removeprefix(_KEY).decode("ascii", "replace") if comment[:12] == _KEY else ""
