"""The layers of a vector source: their names, and the one that is asked for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from geobatch_tui.errors import EmptyInputError, SchemaError
from geobatch_tui.execution.protocol.messages import LayersReceipt
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import archive, errors, ogr_drivers
from geobatch_tui.execution.vector.ogr.layer_info import layer_names

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import LayersTask, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage

#: Layers that a message names.
_SHOWN = 20


def layers(task: LayersTask, stage: Stage) -> LayersReceipt:
    """List all layers of a source, with and without geometry.

    Raises:
        InvalidInputError and its kin: the source cannot be opened, or two layers have one name.
    """
    with stage("open"):
        drivers = ogr_drivers.drivers_of(task.source)
        if format_of(drivers[0]).is_arrow:
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
        return layer_names(place)


def choose(task: ProbeTask, place: str, drivers: tuple[str, ...]) -> str:
    """Choose the layer of a source that is asked for, or the only one.

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
        format_of(drivers[0]).explain_no_layer(task.source, place)
        raise EmptyInputError(f"{task.source} has no layer")
    return names[0]
