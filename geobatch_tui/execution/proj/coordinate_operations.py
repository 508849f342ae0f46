"""Which operations PROJ knows from one CRS to another: found out once in a process, as each search
of its database takes as long as the transformation of 100,000 points."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from geobatch_tui.errors import CrsError
from geobatch_tui.execution.runtime.recorder import filters

if TYPE_CHECKING:
    from pyproj.transformer import AreaOfInterest


@dataclass(frozen=True, slots=True)
class Ways:
    """Operations from one CRS to another, x before y.

    Attributes:
        pipelines: of those that PROJ can use, the best first.
        lacking: of the best one that it cannot use, as it does not find a grid: accuracy in metres,
            and the names of the grids. None: it can use all.
        best: whether the best of all is among ``pipelines``.
        accuracy: of the first of ``pipelines``, in metres; below 0 if unknown.
        area: west, south, east, north of where a shift of datum is meant for that is the only
            operation; else None. East is less than west across the antimeridian.
    """

    pipelines: tuple[str, ...]
    lacking: tuple[float, tuple[str, ...]] | None
    best: bool
    accuracy: float = -1.0
    area: tuple[float, float, float, float] | None = None

    @property
    def pipeline(self) -> str:
        """The operation that is used for all points; empty: it depends on the point."""
        alike = set(self.pipelines)
        return alike.pop() if len(alike) == 1 and self.lacking is None else ""


def between(src: object, dst: object, area: AreaOfInterest | None = None) -> Ways:
    """The ways from ``src`` to ``dst`` (anything that pyproj takes for a CRS), near ``area``."""
    with filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            group = TransformerGroup(src, dst, always_xy=True, area_of_interest=area)
        except (ProjError, IndexError):  # between planets; none that can be computed
            return Ways((), None, best=True)
    lacking = None
    if group.unavailable_operations:
        first = group.unavailable_operations[0]
        missing = tuple(grid.short_name for grid in first.grids if not grid.available)
        lacking = first.accuracy, missing
    found = group.transformers
    meant = found[0].area_of_use if len(found) == 1 and _shifts(found[0]) else None
    return Ways(
        tuple(each.definition for each in found),
        lacking,
        group.best_available,
        found[0].accuracy if found else -1.0,
        meant.bounds if meant else None,
    )


def _shifts(found: Transformer) -> bool:
    return any(step.type_name == "Transformation" for step in found.operations or ())


@cache
def known(src: str, dst: str) -> Ways:
    """As :func:`between`, by the texts of two CRSs."""
    return between(src, dst)


def transformer(src: str, dst: str) -> Transformer:
    """The transformation between the CRSs of two texts, x before y. CrsError: PROJ knows none.

    Where one operation is used for all points, it is taken by itself: PROJ searches its database
    once less, and gives the same bits.
    """
    pipeline = known(src, dst).pipeline
    if pipeline:
        return Transformer.from_pipeline(pipeline)
    try:
        return Transformer.from_crs(src, dst, always_xy=True)
    except ProjError as error:
        names = [repr(CRS.from_user_input(text).name) for text in (src, dst)]
        raise CrsError(f"PROJ knows no way from {' to '.join(names)}: {_short(error)}") from error


def _short(error: ProjError) -> str:
    """What PROJ says, without its advice and the names of its functions."""
    found = re.search(r"proj_\w+: (.*?)(?:\. You may.*)?\)?$", str(error), re.DOTALL)
    return found[1] if found else str(error)
