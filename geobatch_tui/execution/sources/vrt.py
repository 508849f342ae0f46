"""Walks the files that a VRT names.

GDAL shows a missing source of a VRT as zeros or nodata without an error, and a VRT may name any
file or URL. So each is looked at before the VRT is opened.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from geobatch_tui.errors import CorruptSourceError, UnsafeInputError

MAX_DEPTH = 8
MAX_BYTES = 64 * 2**20
#: Elements, as GDAL takes them: in any case, and whatever their namespace.
_NAMES = {"sourcefilename", "sourcedataset", "dempath"}
_REFUSED = {"pixelfunctioncode"}
#: Keys of metadata, and parts of names of arguments, whose values are other datasets.
_ITEMS = {"x_dataset", "y_dataset", "overview_file"}
_ARGUMENTS = ("filename", "dataset")


def vrt_sources(path: Path) -> list[Path]:
    """List the files that the VRT at ``path`` names, in order, each once.

    Raises UnsafeInputError if it names something that is no plain file, carries code or declares
    entities, CorruptSourceError if it is no XML or a file that it names does not exist.
    """
    content = path.read_bytes()[: MAX_BYTES + 1]
    if len(content) > MAX_BYTES or b"<!ENTITY" in content or b"<!DOCTYPE" in content:
        raise UnsafeInputError(f"{path}: a VRT with declarations, or of more than {MAX_BYTES} B")
    try:
        root = ET.fromstring(content)  # noqa: S314 -- entities are refused above
    except ET.ParseError as error:
        raise CorruptSourceError(f"{path} is no well-formed VRT: {error}") from error
    named: dict[Path, None] = {}
    for element in root.iter():
        tag = element.tag.rpartition("}")[2].lower()
        if tag in _REFUSED:
            raise UnsafeInputError(f"{path}: a VRT that carries code ({element.tag})")
        if tag in _NAMES:
            named[_resolve(path, element)] = None
        _refuse_further(path, tag, element)
    missing = [str(source) for source in named if not source.is_file()]
    if missing:
        listed = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise CorruptSourceError(
            f"{path}: {len(missing)} of {len(named)} sources of the VRT do not exist: {listed}",
            hint="GDAL would show them as nodata without an error; bring them back first",
        )
    return list(named)


def _refuse_further(path: Path, tag: str, element: ET.Element) -> None:
    """Raises UnsafeInputError where an element names a dataset that is not one of the sources."""
    given = {name.rpartition("}")[2].lower(): value for name, value in element.attrib.items()}
    key = given.get("key", "").lower() if tag == "mdi" else ""
    argument = given.get("name", "").lower() if tag == "argument" else ""
    if key in _ITEMS or any(part in argument for part in _ARGUMENTS):
        raise UnsafeInputError(
            f"{path}: the VRT names another dataset ({key or argument}) beside its sources",
            hint="make a GeoTIFF of it with gdal_translate first, if you trust it",
        )


def _resolve(path: Path, element: ET.Element) -> Path:
    name = (element.text or "").strip()
    given = {attribute.lower(): value for attribute, value in element.attrib.items()}
    relative = given.get("relativetovrt", "0") == "1"
    plain = name and not name.startswith(("/vsi", "<")) and "://" not in name
    target = Path(path.parent, name) if relative else Path(name)
    if not plain or not target.is_absolute():
        raise UnsafeInputError(
            f"{path}: the VRT names {name!r}, which is not a plain file",
            hint="use absolute paths, or relative ones with relativeToVRT=1",
        )
    return target
