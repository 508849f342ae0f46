"""The layers of a vector source: their names, and the one that is asked for."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from geobatch_tui.errors import EmptyInputError, SchemaError, UnsupportedFormatError
from geobatch_tui.execution.protocol.messages import LayersReceipt
from geobatch_tui.execution.vector.ogr import archive, errors, ogr_drivers
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio

if TYPE_CHECKING:
    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.protocol.messages import LayersTask, ProbeTask

#: How XML says its encoding, and encodings that OGR reads it in.
_HEAD = 200
_ENCODED = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.-]+)", re.ASCII)
_ENCODINGS = frozenset(("utf-8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"))
#: Layers that a message names.
_SHOWN = 20


def layers(task: LayersTask, stage: Stage) -> LayersReceipt:
    """The names of all layers of a source, with and without geometry.

    Raises:
        InvalidInputError and its kin: the source cannot be opened, or two layers have one name.
    """
    with stage("open"):
        drivers = ogr_drivers.drivers_of(task.source)
        if drivers == ("Parquet",):
            return LayersReceipt(("",))
        place = ogr_drivers.place_of(task.source)
        if archive.is_inside(place):
            archive.check(task.source)
        names = _names(task.source, place)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise SchemaError(
                f"{task.source} has several layers of the name {twice[0]!r}, of which OGR opens "
                "only the first",
                hint="rename the others in a copy",
            )
        return LayersReceipt(tuple(names))


def _names(path: str, place: str) -> list[str]:
    with errors.ogr_errors(path):
        return [str(name) for name, _ in pyogrio.list_layers(exact(place))]


def choose(task: ProbeTask, place: str, drivers: tuple[str, ...]) -> str:
    """The layer of a source that is asked for, or the only one.

    Raises:
        SchemaError: there is no such layer, or there are several and none is named.
        EmptyInputError: there is none at all.
    """
    names = _names(task.source, place)
    asked = str(task.source_options.get("layer") or "")
    shown = ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    if asked:
        if asked not in names:
            raise SchemaError(f"{task.source} has no layer {asked!r}, only {shown}")
        return asked
    if len(names) > 1:
        raise SchemaError(
            f"{task.source} has {len(names)} layers: {shown}",
            hint='name one in source.layer; source.layer = "*" makes an item of each',
        )
    if not names:
        if "GML" in drivers:
            _refuse_encoding(task.source, place)
        raise EmptyInputError(f"{task.source} has no layer")
    return names[0]


def _refuse_encoding(path: str, place: str) -> None:
    """Raises UnsupportedFormatError where GML, which OGR reads no layer of, is in an encoding that
    it does not know."""
    with archive.opened(path, place) as file:
        found = _ENCODED.match(file.read(_HEAD))
    if found and (encoding := found[1].decode()).lower() not in _ENCODINGS:
        raise UnsupportedFormatError(
            f"{path} is in the encoding {encoding}, as it says, which OGR does not read in GML",
            hint=f"recode it: iconv -f {encoding} -t UTF-8, and say so in its first line",
        )
