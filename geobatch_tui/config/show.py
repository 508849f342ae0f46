"""The effective configuration for people and programs: the rows of ``config show``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from geobatch_tui.config.fields import Leaf, leaves
from geobatch_tui.config.layers import LoadedJob, flat

if TYPE_CHECKING:
    from geobatch_tui.config.sources import Layer


@dataclass(frozen=True, slots=True)
class Row:
    """One effective value, redacted, with the layer that set it and what the schema says of it."""

    key: str
    value: Any
    layer: Layer
    where: str
    unit: str
    help: str
    kind: str

    def to_json(self) -> dict[str, Any]:
        """The row as a mapping."""
        return asdict(self)


def rows(loaded: LoadedJob) -> list[Row]:
    """All values of a job in the order of the schema; a free table gives a row for each name."""
    known = leaves(loaded.job.op.name)
    values = flat(loaded.job.effective(redacted=True))
    return [_row(key, values[key], _leaf(key, known), loaded) for key in values]


def _leaf(key: str, known: dict[str, Leaf]) -> Leaf:
    return known[key] if key in known else known[".".join(key.split(".")[:2])]


def _row(key: str, value: Any, leaf: Leaf, loaded: LoadedJob) -> Row:
    origin = loaded.origins[key]
    return Row(key, value, origin.layer, origin.where, leaf.unit, leaf.help, leaf.kind)
