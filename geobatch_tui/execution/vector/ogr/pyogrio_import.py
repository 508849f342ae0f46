"""``pyogrio`` without pandas, in a worker process: most of its import is for tables not made here.

pyogrio imports shapely and geopandas, and with it pandas, only to see whether they are there and
how new. In a worker, stand-ins that carry the versions answer that; they are gone when the import
is done, so whoever imports the real ones later gets them, and pyogrio works with them.
"""

from __future__ import annotations

import re
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from types import ModuleType
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.runtime import allowed_drivers
from geobatch_tui.observability.versions import package_version

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MEASURED", "DataLayerError", "DataSourceError", "pyogrio"]

#: Loaded in the fork server and its workers only: elsewhere other threads may import pandas now.
_WORKER = "geobatch_tui.execution.worker.preload"


@contextmanager
def _stand_ins(*names: str) -> Iterator[None]:
    placed = {}
    for name in names:
        if name in sys.modules:
            continue
        try:
            module = ModuleType(name)
            module.__version__ = package_version(name)  # type: ignore[attr-defined]
        except PackageNotFoundError:
            continue
        placed[name] = sys.modules[name] = module
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


def _import() -> Any:
    if "pyogrio" in sys.modules:
        return sys.modules["pyogrio"]
    spared = ("geopandas", "pandas", "shapely") if _WORKER in sys.modules else ()
    with _stand_ins(*spared):
        return import_module("pyogrio")


pyogrio = _import()
allowed_drivers.keep_only(allowed_drivers.VECTOR, import_module("pyogrio._err"))
#: How pyogrio warns of a layer whose type has M, which it does not tell otherwise. What becomes of
#: M is in the plan's warnings (see ``layer``).
MEASURED = "Measured (M) geometry types are not supported"
warnings.filterwarnings("ignore", message=re.escape(MEASURED))
# What GML is read by keeps OGR from writing beside it (see ``exact_names``).
warnings.filterwarnings("ignore", message="GFS file saving asked, but failed")
# OGR ends GML at the first geometry that it cannot read, as if there were no more features. So it
# goes on to the next one, and whoever reads GML counts what it left out (see ``xml_formats``).
pyogrio.set_gdal_config_options({"GML_SKIP_CORRUPTED_FEATURES": "YES"})
#: Types of layers by OGR's numbers that pyogrio refuses to hear of: any geometries with Z or M, or
#: curves and surfaces. What is in such a layer is looked at feature by feature.
_MORE_TYPES = {
    0: "Unknown",
    8: "CircularString",
    9: "CompoundCurve",
    10: "CurvePolygon",
    11: "MultiCurve",
    12: "MultiSurface",
    13: "Curve",
    14: "Surface",
    15: "PolyhedralSurface",
    16: "TIN",
    17: "Triangle",
}
_known = import_module("pyogrio._geometry").GEOMETRY_TYPES
for _number, _type in _MORE_TYPES.items():
    for _with, _mark in ((0, ""), (1000, " Z"), (2000, " M"), (3000, " ZM")):
        _known.setdefault(_number + _with, _type + (_mark if _number else ""))
# The number of any geometries with Z is one of old, and may be read as a negative one.
_known.setdefault(2**31, "Unknown")
_known.setdefault(-(2**31), "Unknown")
_errors = import_module("pyogrio.errors")
DataLayerError = _errors.DataLayerError
DataSourceError = _errors.DataSourceError
