"""What the fork server loads once, so that a worker starts in milliseconds.

Imported for its effect. In the fork server it runs in the process that all workers are forked
from: so it starts no thread and leaves no dataset, no PROJ database and no file open.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import signal
import sys

LIBRARIES = (
    "numpy",
    "rasterio",
    "rasterio.features",
    "rasterio.shutil",
    "rasterio.vrt",
    "rasterio.warp",
    "pyproj",
    "imagecodecs",
)


def _leave_terminal() -> None:
    """Move the fork server out of the terminal's foreground group.

    Ctrl-C and the end of a terminal session would reach it there; both are for the engine, which
    tells its workers what to do.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(PermissionError):  # a session leader may not, and need not
        os.setpgid(0, 0)


def _import_all() -> None:
    """Import what chunks need: the libraries, and the modules of operations that use them."""
    for name in LIBRARIES:
        importlib.import_module(name)

    import geobatch_tui.execution.raster as package
    from geobatch_tui.execution.ops import registry

    # What cannot be imported here fails its own tasks later, with its own error.
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        with contextlib.suppress(Exception):
            importlib.import_module(module.name)
    for name in registry.operation_names():
        with contextlib.suppress(Exception):
            registry.get_operation(name)


def warm_up() -> None:
    """Call GDAL once while there is one thread: its first calls register drivers and take locks
    that deadlock with the GIL when two threads are first at once (rasterio#3611)."""
    import numpy as np
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin
    from rasterio.vrt import WarpedVRT

    profile = {
        "driver": "GTiff",
        "width": 4,
        "height": 4,
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:4326",
        "transform": from_origin(0, 4, 1, 1),
    }
    with rasterio.Env(), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(np.ones((1, 4, 4), dtype="uint8"))
        with memory.open() as dataset, WarpedVRT(dataset, crs="EPSG:3857") as warped:
            warped.read()


def _main() -> None:
    from geobatch_tui.execution import environment

    if "rasterio" not in sys.modules:
        environment.apply()
    _leave_terminal()
    _import_all()
    warm_up()


_main()
