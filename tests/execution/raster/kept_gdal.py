"""Runs pipelines of rasters by GDAL 3.13 in one process that is kept: to start one takes much longer
than what it is to run, and two GDALs in one process are trouble."""

from __future__ import annotations

import atexit
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from functools import cache

_SERVE = """
import json, os, sys
from osgeo import gdal
gdal.UseExceptions()
gdal.SetConfigOption("GDAL_PAM_ENABLED", "NO")  # no statistics beside sources, for the next to read
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    said = ""
    try:
        for words in json.loads(line):
            algorithm = gdal.Algorithm(["raster", "pipeline"])
            if not algorithm.ParseCommandLineArguments(words) or not algorithm.Run():
                raise RuntimeError("GDAL did not run it")
            algorithm.Finalize()
            del algorithm
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said), file=answers, flush=True)
"""


@cache
def _server() -> subprocess.Popen[str]:
    """The process; it ends with this one."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    atexit.register(server.communicate)
    return server


def by_gdal(pipeline: str) -> None:
    """Run a pipeline, as ``read a.tif ! slope ! write b.tif``, by GDAL. Raises RuntimeError with
    GDAL's message."""
    all_by_gdal([pipeline])


def all_by_gdal(pipelines: Iterable[str]) -> None:
    """Run several pipelines, as :func:`by_gdal` does."""
    server = _server()
    print(
        json.dumps([shlex.split(pipeline) for pipeline in pipelines]), file=server.stdin, flush=True
    )
    answer = server.stdout.readline()
    if not answer:
        _server.cache_clear()
        raise RuntimeError(f"GDAL ended with {server.wait()}")
    if said := json.loads(answer):
        raise RuntimeError(said)
