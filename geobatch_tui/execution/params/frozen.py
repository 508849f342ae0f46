"""Parameters of an operation as the engine checked and sent them, read in a worker.

The engine's models are pydantic's. To import that takes a worker longer than the chunk of a small
job, and there is nothing left to check.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def given(params: Mapping[str, Any]) -> Any:
    """What the model of ``params`` would be: all its fields, JSON's lists as tuples, and NaN as a
    number."""
    return SimpleNamespace(**{name: _value(name, value) for name, value in params.items()})


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return math.nan if value == "NaN" and name.endswith("_nodata") else value


def pixel_of(resolution: tuple[float, float] | float | None) -> tuple[float, float] | None:
    """A resolution as x and y."""
    if isinstance(resolution, float | int):
        return (float(resolution), float(resolution))
    return resolution
