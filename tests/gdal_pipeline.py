"""Runs pipelines of GDAL 3.13 in a process of its own: two GDALs in one process are trouble."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable

_RUN = """
import json, sys
from osgeo import gdal
gdal.UseExceptions()
gdal.SetConfigOption("GDAL_PAM_ENABLED", "NO")  # no statistics beside sources, for the next to read
if sys.argv[1] == "usage":
    gdal_raster = gdal.GetGlobalAlgorithmRegistry()[sys.argv[2]]
    found = {}
    for name in gdal_raster.GetSubAlgorithmNames():
        usage = json.loads(gdal_raster.InstantiateSubAlgorithm(name).GetUsageAsJSON())
        found[name] = usage
    print(json.dumps(found))
elif sys.argv[1] == "meanings":
    gdal_kind = gdal.GetGlobalAlgorithmRegistry()[sys.argv[2]]
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    found = {}
    for name in gdal_kind.GetSubAlgorithmNames():
        algorithm = gdal_kind.InstantiateSubAlgorithm(name)
        found[name] = {}
        for word in [*sys.argv[3:], *algorithm.GetArgNames()]:
            try:
                meant = algorithm.GetArg(word)
            except RuntimeError:
                continue
            if meant is not None:
                short = [meant.GetShortName()] if meant.GetShortName() else []
                for other in (word, *short, *(meant.GetAliases() or ())):
                    found[name][other] = meant.GetName()
    print(json.dumps(found))
else:
    for words in json.loads(sys.stdin.read()):
        algorithm = gdal.Algorithm([sys.argv[1], "pipeline"])
        if not algorithm.ParseCommandLineArguments(words) or not algorithm.Run():
            raise SystemExit("GDAL did not run it")
        algorithm.Finalize()
"""


def by_gdal(pipeline: str, kind: str = "raster") -> None:
    """Run a pipeline, as ``read a.tif ! slope ! write b.tif``, by GDAL. Raises RuntimeError with
    GDAL's message."""
    all_by_gdal([pipeline], kind)


def all_by_gdal(pipelines: Iterable[str], kind: str = "raster") -> None:
    """Run several pipelines, as :func:`by_gdal` does, in one process."""
    _process(kind, given=json.dumps([shlex.split(pipeline) for pipeline in pipelines]))


def usage(kind: str = "raster") -> dict[str, dict[str, object]]:
    """What GDAL says of each of its commands on rasters or vectors, by name."""
    return json.loads(_process("usage", kind))


def meanings(kind: str, words: Iterable[str]) -> dict[str, dict[str, str]]:
    """The arguments that names mean, by command and name: all short names and aliases, and those
    of ``words`` that it knows without listing them."""
    return json.loads(_process("meanings", kind, *words))


def _process(*words: str, given: str = "") -> str:
    command = [sys.executable, "-c", _RUN, *words]
    done = subprocess.run(command, check=False, input=given, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


if __name__ == "__main__":
    _process(sys.argv[1], *shlex.split(sys.argv[2]))
