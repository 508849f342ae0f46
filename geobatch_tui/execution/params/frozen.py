"""Parameters in a worker, which loads no pydantic: words that they hold, and how they are read.

The engine's models are pydantic's. To import that takes a worker longer than the chunk of a small
job, and there is nothing left to check.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Resampling = Literal[
    "nearest",
    "bilinear",
    "cubic",
    "cubicspline",
    "lanczos",
    "average",
    "rms",
    "mode",
    "max",
    "min",
    "med",
    "q1",
    "q3",
    "sum",
]


#: Versions of the steps whose same parameters gave other pixels in an earlier release; those of the
#: others are 1.
STEP_VERSIONS: Mapping[str, int] = {"stack": 2}
#: GDAL's name for the geometry among the fields of features.
GEOMETRY_NAME = "_ogr_geometry_"
#: Steps that make one raster of many files; they come first in a chain, in place of a file.
COMBINING = frozenset({"mosaic", "stack"})
#: Parameters of steps that name a second raster, and those that name several; what stands for the
#: item's own source in a chain that makes one.
SIDES, SIDE_TABLES, OWN_SOURCE = frozenset({"overlay"}), frozenset({"inputs"}), "{source}"
#: Names of the parameters of the step *reproject*, which are GDAL's of today, and those of the
#: operation, which are gdalwarp's.
WARP_NAMES = {
    "output_crs": "dst_crs",
    "bbox": "bounds",
    "bbox_crs": "bounds_crs",
    "input_crs": "src_crs",
    "input_nodata": "src_nodata",
    "output_nodata": "dst_nodata",
    "warp_option": "warp_options",
    "transform_option": "transform_options",
}


#: A step as plain values, by its keys.
type StepValues = Mapping[str, Any]


def step_version(name: str) -> int:
    """Return the version of a step: raised whenever the same parameters give other pixels."""
    return STEP_VERSIONS.get(name, 1)


def may_survey(step: StepValues) -> bool:
    """Whether planning a step of rasters, or a chain beside it, may look at all pixels."""
    match step["name"]:
        case "scale":
            own = step["input_min"] is None
        case "color-map":
            own = any(str(entry[0]).endswith("%") for entry in step["colors"])
        case "proximity":
            own = not step["max_distance"] or step["distance_units"] != "pixel"
        case _:
            own = False
    return own or any(may_survey(one) for _, chain in chains_beside(step) for one in chain)


def chains_beside(step: StepValues) -> Iterator[tuple[str, Sequence[StepValues]]]:
    """Yield the chains that make second rasters of a step: name, ``overlay`` or ``inputs.B``, and
    steps."""
    sides = {name: step.get(name) for name in SIDES}
    for name in SIDE_TABLES:
        table = step.get(name)
        if isinstance(table, dict):
            sides |= {f"{name}.{key}": side for key, side in table.items()}
    for name, side in sides.items():
        if isinstance(side, dict) and isinstance(side.get("steps"), list | tuple):
            yield name, side["steps"]


#: Parameters as they come back from JSON: each field of their model an attribute.
type Frozen = SimpleNamespace


def given(params: Mapping[str, Any]) -> Any:
    """Return what the model of ``params`` would be: its fields as attributes.

    JSON's lists become tuples, and NaN a number.
    """
    return SimpleNamespace(**{name: _value(name, value) for name, value in params.items()})


def _value(name: str, value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return math.nan if value == "NaN" and name.endswith("nodata") else value


def pixel_of(resolution: tuple[float, float] | float | None) -> tuple[float, float] | None:
    """Return a resolution as x and y."""
    if isinstance(resolution, float | int):
        return (float(resolution), float(resolution))
    return resolution
