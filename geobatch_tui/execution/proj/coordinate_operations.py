"""Looks up PROJ's operations from one CRS to another: once in a process, as each search of its
database takes as long as the transformation of 100,000 points."""

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
class Operations:
    """Operations from one CRS to another, x before y.

    Attributes:
        pipelines: the operations that PROJ can use, the best first.
        lacking: accuracy in metres of the best operation that it cannot use, for want of a grid,
            and the names of the missing grids. None: it can use all.
        best: whether the best of all is among ``pipelines``.
        accuracy: accuracy in metres of the first of ``pipelines``; below 0 if unknown.
        area: west, south, east, north of the area of use of the only operation, if that is a datum
            shift; else None. East is less than west across the antimeridian.
        name: of the first of ``pipelines``, as :func:`name_of`.
    """

    pipelines: tuple[str, ...]
    lacking: tuple[float, tuple[str, ...]] | None
    best: bool
    accuracy: float = -1.0
    area: tuple[float, float, float, float] | None = None
    name: str = ""

    @property
    def pipeline(self) -> str:
        """Operation for all points; empty if it depends on the point."""
        alike = set(self.pipelines)
        return alike.pop() if len(alike) == 1 and self.lacking is None else ""

    def missing_grid(self, dst: str) -> str:
        """Return a sentence if the best operation, to the CRS named ``dst``, needs a grid that PROJ
        does not find; else nothing."""
        if self.best or self.lacking is None:
            return ""
        accuracy, grids = self.lacking
        return (
            f"the best transformation to {dst} ({accuracy:g} m) needs "
            f"{', '.join(grids) or 'a grid'}, which PROJ does not find"
        )


def between(src: object, dst: object, area: AreaOfInterest | None = None) -> Operations:
    """Look up the operations from ``src`` to ``dst``, CRSs in any form that pyproj takes, near
    ``area``."""
    with filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            group = TransformerGroup(src, dst, always_xy=True, area_of_interest=area)
        except (ProjError, IndexError):  # between planets; none that can be computed
            return Operations((), None, best=True)
    lacking = None
    if group.unavailable_operations:
        first = group.unavailable_operations[0]
        missing = tuple(grid.short_name for grid in first.grids if not grid.available)
        lacking = first.accuracy, missing
    operations = group.transformers
    shift_area = (
        operations[0].area_of_use if len(operations) == 1 and _shifts(operations[0]) else None
    )
    return Operations(
        tuple(each.definition for each in operations),
        lacking,
        group.best_available,
        operations[0].accuracy if operations else -1.0,
        shift_area.bounds if shift_area else None,
        name_of(operations[0]) if operations else "",
    )


def name_of(operation: Transformer) -> str:
    """Return the names of the datum shifts of an operation; of one without, its own."""
    return " + ".join(_shifts(operation)) or str(operation.description)


def _shifts(operation: Transformer) -> list[str]:
    steps = operation.operations or ()
    return [str(step.name) for step in steps if step.type_name == "Transformation"]


@cache
def known(src: str, dst: str) -> Operations:
    """Look up the operations between the CRSs of two texts, once in a process."""
    return between(src, dst)


@cache
def transformer(src: str, dst: str) -> Transformer:
    """Return the transformer between the CRSs of two texts, x before y. CrsError: PROJ knows none.

    It is made of the one operation for all points, if there is one: that spares a search of PROJ's
    database, and gives the same bits.
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
    """Return PROJ's message, without its advice and the names of its functions."""
    message = re.search(r"proj_\w+: (.*?)(?:\. You may.*)?\)?$", str(error), re.DOTALL)
    return message[1] if message else str(error)
