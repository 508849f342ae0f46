"""Loads the libraries of a worker, and calls GDAL once while there is one thread."""

from __future__ import annotations

import contextlib
import importlib
import sys
from functools import cache
from types import ModuleType
from typing import Any, NoReturn

_LIBRARIES = (
    "numpy", "rasterio", "rasterio.features", "rasterio.shutil", "rasterio.vrt", "rasterio.warp",
    "pyproj", "imagecodecs",
)  # fmt: skip
#: Rooms whose modules are not imported beforehand: the compiled loops, as their machine code is
#: loaded without them, and what chains and pictures alone need.
_LATER = (
    *(".algebra.", ".group.", ".kernels.", ".pictures.", ".stages.", ".steps."),
    ".chain_probe",
    ".gdal_commands",
    ".grid.cutline",
    ".member_files",
    ".object_source",
    ".reuse",
    ".twin_files",
)

#: What every chunk of a chain needs of these.
_FOR_STEPS = ("reuse", "group.mosaic_tiles", "steps.chain", "steps.own.seam_check")


def _import_pyproj() -> None:
    """Import pyproj without HTTP and TLS, by which it fetches grids: they take as long as the rest
    of it, and workers fetch nothing."""
    wanted = "urllib.request"
    if wanted in sys.modules or "pyproj" in sys.modules:
        return
    stand_in: Any = ModuleType(wanted)
    stand_in.urlretrieve = _refuse
    sys.modules[wanted] = stand_in
    try:
        importlib.import_module("pyproj")
    finally:
        del sys.modules[wanted]


def _refuse(*_: object) -> NoReturn:
    raise OSError("a worker fetches no grids")


def _import_rasterio() -> None:
    """Import rasterio without boto3, which it imports where that is installed, and which takes half
    as long as all else: GDAL asks no store here, objects come by a client of our own."""
    modules: dict[str, Any] = sys.modules
    if "rasterio" in modules or "boto3" in modules:
        return
    modules["boto3"] = None
    try:
        importlib.import_module("rasterio")
    finally:
        del modules["boto3"]


def _import_for_pixels() -> None:
    """Import the libraries that chunks of pixels need, and the modules that use them."""
    _import_pyproj()
    _import_rasterio()
    for name in _LIBRARIES:
        importlib.import_module(name)

    import pkgutil

    import geobatch_tui.execution.raster as package

    # A module that cannot be imported here fails its own tasks later, with its own error.
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.ispkg and not any(room in module.name for room in _LATER):
            with contextlib.suppress(Exception):
                importlib.import_module(module.name)
    _import_operations()


def import_for_steps() -> None:
    """Import what every chunk of a chain of steps needs; the steps come with the chain that has
    them."""
    for name in _FOR_STEPS:
        with contextlib.suppress(Exception):
            importlib.import_module(f"geobatch_tui.execution.raster.{name}")


def _import_operations() -> None:
    from geobatch_tui.execution.ops import registry

    for name in registry.operation_names():
        with contextlib.suppress(Exception):
            registry.get_operation(name)


def warm_up_vector() -> None:
    """Import the modules that chunks of features need, and link the compiled loops, whose machine
    code lies in the user's cache: a loop is linked at its first call."""
    import numpy as np
    import pyarrow as pa

    _import_pyproj()
    from geobatch_tui.execution.io.digest import crc32
    from geobatch_tui.execution.vector import assemble, chunk, probe
    from geobatch_tui.execution.vector.batch import wkb_coordinates
    from geobatch_tui.execution.vector.geometry import round_trip, transform

    del assemble, chunk, probe, transform
    _import_operations()
    # From its buffers: Arrow's own conversion loads pandas.
    offsets, point = np.array([0, 21], np.int32), bytes.fromhex("0101000000") + bytes(16)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(point)]
    points = wkb_coordinates.coordinates(pa.Array.from_buffers(pa.binary(), 1, buffers))
    points.boxes()
    crc32(b"")  # loads imagecodecs
    nowhere = round_trip.Ground(lambda x, y: (x, y, x > y), 1.0, (2.0, 2.0), 2.0)
    nowhere.doubtful(points, points.status == 0, 1.0)
    points.replaced(points.x, points.y)


@cache
def restrict_gdal() -> None:
    """Register the drivers of rasterio's GDAL, and keep those that are used here."""
    import rasterio
    from rasterio import _env

    from geobatch_tui.execution.runtime import allowed_drivers

    with rasterio.Env():
        allowed_drivers.keep_only(allowed_drivers.RASTER, _env)


def warm_up_raster() -> None:
    """Import what chunks of pixels need, register GDAL's drivers, drop most of them, and warp a few
    pixels.

    The first calls take locks that deadlock with the GIL when two threads make them at once
    (rasterio#3611). No dataset stays open.
    """
    _import_for_pixels()
    import numpy as np
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin
    from rasterio.vrt import WarpedVRT

    from geobatch_tui.execution.native import linker

    restrict_gdal()
    profile = {
        "driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8",
        "crs": "EPSG:4326", "transform": from_origin(0, 4, 1, 1),
    }  # fmt: skip
    with rasterio.Env(), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(np.ones((1, 4, 4), dtype="uint8"))
        with memory.open() as dataset, WarpedVRT(dataset, crs="EPSG:3857") as warped:
            warped.read()
    linker.prepare()
