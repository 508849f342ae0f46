"""Runs pipelines of rasters by GDAL 3.13 in one process for all tests of a module: to start one takes
much longer than what it is to run, and two GDALs in one process are trouble."""

from __future__ import annotations

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
    return subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def end() -> None:
    """End the process, if there is one: tests of killed engines take any that is left for theirs."""
    if _server.cache_info().currsize:
        _server().communicate()
        _server.cache_clear()


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
