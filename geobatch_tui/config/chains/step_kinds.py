"""Kinds of chains: those of rasters, those of features, and their steps; here and in GDAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.execution.params import gdal_steps
from geobatch_tui.execution.params.chain_params import STEP_PARAMS, VECTOR_STEP_PARAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from geobatch_tui.execution.params.step_params import StepParams

    #: The parameters of each step of an operation.
    type Known = Mapping[str, type[StepParams]]

#: Suffixes of files of features.
_FEATURES: Final = (
    ".csv", ".fgb", ".geojson", ".geojsonl", ".geojsons", ".gml", ".gpkg", ".kml", ".parquet",
    ".shp", ".shp.zip", ".shz",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepKind:
    """Chains of one kind of data.

    Attributes:
        chain: the operation that runs them; ``copy``: that of no step.
        steps: the parameters of each step, which are imported when they are asked for.
        gdal: the steps that GDAL has, with their arguments.
    """

    name: str
    chain: str
    copy: str
    steps: Known
    gdal: Mapping[str, str]


RASTER: Final = StepKind(
    "raster", "raster.pipeline", "raster.convert", STEP_PARAMS, gdal_steps.RASTER_STEPS
)
VECTOR: Final = StepKind(
    "vector", "vector.pipeline", "vector.convert", VECTOR_STEP_PARAMS, gdal_steps.VECTOR_STEPS
)
KINDS: Final = (RASTER, VECTOR)


def kind_of(names: Iterable[str], paths: Iterable[str]) -> StepKind:
    """Return the kind of a chain: that of a step which only one has, else of the files' names."""
    for name in names:
        having = [kind for kind in KINDS if name in kind.steps or name in kind.gdal]
        if len(having) == 1:
            return having[0]
    return VECTOR if any(path.lower().endswith(_FEATURES) for path in paths) else RASTER


def steps_of(operation: str | None) -> Known:
    """Return the steps of an operation; none if it runs no chains."""
    return next((kind.steps for kind in KINDS if kind.chain == operation), {})
