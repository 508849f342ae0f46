"""Throughput in the unit that the operator chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.kit import fixed_width as fmt

if TYPE_CHECKING:
    from geobatch_tui.tui.run.model import Sample


@dataclass(frozen=True, slots=True)
class Unit:
    """A figure of a sample and how it is told."""

    field: str
    factor: float
    name: str


UNITS: Final = (
    Unit("chunks_per_s", 60.0, "ch/min"),
    Unit("units_per_s", 1.0, ""),
    Unit("bytes_in_per_s", 1.0, "B/s in"),
    Unit("bytes_out_per_s", 1.0, "B/s out"),
)


def rate_of(unit: Unit, sample: Sample) -> float:
    """The sample in this unit."""
    return float(getattr(sample, unit.field)) * unit.factor


def name_of(unit: Unit, unit_name: str) -> str:
    """The unit for people; ``unit_name`` is what the operation counts: px or features."""
    return unit.name or f"{unit_name}/s"


def text_of(unit: Unit, value: float, unit_name: str) -> str:
    """A value with its unit: ``212 ch/min``, ``1.4 GB/s in``, ``310 Mpx/s``."""
    name = name_of(unit, unit_name)
    if name.startswith("B/s"):
        return f"{fmt.size(value)}{name[1:]}"
    if name == "px/s":
        text = fmt.amount(value)
        return f"{text[:-1]} {text[-1]}px/s" if text[-1].isalpha() else f"{text} px/s"
    return f"{fmt.amount(value)} {name}"
