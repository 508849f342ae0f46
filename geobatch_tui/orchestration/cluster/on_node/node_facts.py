"""What a node says of itself before it may work: its versions, which must be the engine's, and its
size. Nothing here loads GDAL or numpy."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from geobatch_tui import errors
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.orchestration.plan.machine import granted_memory, shared_memory
from geobatch_tui.orchestration.workers.fork_server import start_fork_server

#: Distributions whose compiled code decides bytes. GDAL, PROJ, GEOS and libdeflate lie in their
#: wheels; elsewhere they are packages of conda.
LIBRARIES: Final = (
    "imagecodecs", "llvmlite", "numba", "numpy", "pyarrow", "pyogrio", "pyproj", "rasterio",
    "shapely", "zlib-ng",
)  # fmt: skip
_BESIDE: Final = re.compile(r"(libgdal|gdal|proj|geos|libdeflate|zlib|zstd)(-core)?-\d.*\.json")


def describe(operation: str, data: str) -> dict[str, Any]:
    """Tell what :func:`facts` does: the first that the engine calls on a node. For a run, ``data``
    names the libraries that worker processes load; the fork server begins to load them now, while
    the node loads what else it needs and proves what it sees. Empty: no run is to follow."""
    if data:
        start_fork_server(data)
    return facts(operation)


def facts(operation: str) -> dict[str, Any]:
    """Return, JSON-ready, where this process runs, the memory of its host in bytes, what of it was
    ``granted`` to it alone, and the ``versions`` of all that decides bytes of an operation, by
    name."""
    versions = {
        "geobatch": f"{metadata.version('geobatch-tui')} ({code_digest()})",
        "Python": ".".join(map(str, sys.version_info[:2])),
        "machine": platform.machine(),
        **{name: library for name in LIBRARIES if (library := _library(name))},
        **_of_conda(),
    }
    try:
        known = get_operation(operation)
        versions[operation] = str(known.version)
        versions |= {f"{name} of {operation}": value for name, value in known.libraries().items()}
    except errors.GeobatchError:
        versions[operation] = "missing"
    return {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "memory": shared_memory(),
        "granted": granted_memory(),
        "versions": versions,
    }


@cache
def code_digest() -> str:
    """Return a digest of geobatch's own code, which a version alone does not tell."""
    root = str(Path(errors.__file__).parent)
    paths = sorted(
        f"{folder}/{name}"
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".py")
    )
    digest = hashlib.blake2b(digest_size=4)
    for path in paths:
        digest.update(f"{path[len(root) + 1 :]}\0".encode())
        # Hundreds of objects of pathlib take longer than the reading.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            digest.update(file.read())
    return digest.hexdigest()


@cache
def _library(name: str) -> str:
    """Return the version of a distribution and a digest of its compiled files; empty: it is not
    there."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return ""
    lines = sorted(line for line in (found.read_text("RECORD") or "").splitlines() if ".so" in line)
    digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=4).hexdigest()
    return f"{found.version} ({digest})"


def _of_conda() -> dict[str, str]:
    folder = Path(sys.prefix, "conda-meta")
    if not folder.is_dir():
        return {}
    names = sorted(path.stem for path in folder.iterdir() if _BESIDE.fullmatch(path.name))
    return {"conda": " ".join(names)} if names else {}


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """List what differs between two ``versions``: the name, theirs, ours."""
    names = sorted(ours.keys() | theirs.keys())
    return [
        f"{name} is {theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} here"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]
