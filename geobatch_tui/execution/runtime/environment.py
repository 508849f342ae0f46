"""The environment of a worker, fixed before GDAL, PROJ or OpenBLAS are loaded.

These libraries read their variables once, at load or at first use, so the fork server already
runs with this environment and every worker inherits it. Names outside an allow-list are not
passed on: a worker opens files that strangers made and has no use for the secrets of a shell.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

#: Set for every worker, whatever the user's shell says.
FIXED = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    "GDAL_MEM_ENABLE_OPEN": "NO",
    # What lies beside a file is asked for by name, in the cases that are looked at first. Else
    # every opening of a file lists its folder, too: in one of a thousand files that takes three
    # times as long as the opening itself.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    # No file of a network has this name. (See also `allowed_drivers`, which takes them all away.)
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    # One GDAL thread: with more, a failed range read has ended as blank pixels.
    "GDAL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Arrow's allocator would start a thread in the fork server.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # A grid that PROJ fetches by itself would change the pixels between two runs.
    "PROJ_NETWORK": "OFF",
    # Range requests of GDAL before 3.13 are retried only when they are sent one by one.
    "GDAL_HTTP_MULTIRANGE": "SERIAL",
    # Writers that stamp the time give other bytes at every run.
    "OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z",
    "PYTHONNOUSERSITE": "1",
    # A Python that a worker starts looks for no module in the current directory.
    "PYTHONSAFEPATH": "1",
}

#: Set unless the user's environment says otherwise.
DEFAULTS = {
    "GDAL_CACHEMAX": "64",  # MB, each worker; GDAL's own default is 5 % of the machine, each
    # OGR gives up a file of GeoJSON at a feature of about a million vertices. The engine watches
    # the memory of workers, whatever takes it.
    "OGR_GEOJSON_MAX_OBJ_SIZE": "0",
    "MALLOC_ARENA_MAX": "2",
    # Tiles and windows are allocated and freed by the thousand: from the heap, whose pages stay. By
    # glibc's default such blocks are mapped anew each time, and the system clears every page of
    # them. Chunks are larger than this, glibc's largest: they are mapped, and go back.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_RETRY_CODES": "429,500,502,503,504",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1024",
}

#: Says to the fork server what to load libraries for: ``raster``, ``chain`` (rasters, and steps on
#: them) or ``vector``.
DATA = "GEOBATCH_PRELOAD"
#: Tells the fork server which process started it.
ENGINE = "GEOBATCH_ENGINE_PID"
#: Tells the fork server the folder of its socket, which it knows itself only once it serves.
FOLDER = "GEOBATCH_SOCKET_FOLDER"
#: Instead of the above for features, whose batches come in all sizes. Large ones go back to the
#: system; what the heap keeps holds a few of the others, or each would have its pages cleared anew.
#: Pages are asked for by 2 MiB where the system has such: half as many have to be mapped, and what
#: is given back goes whole (a sixth of the time and of the memory of a run, measured). Arrow takes
#: from the same heap: its own allocators keep more of what large features took.
VECTOR_DEFAULTS = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(2 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(2 << 20),
}

_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "GEOBATCH_OPS", "GEOBATCH_WORKER_ENV", "GEOBATCH_DRIVERS", "OPENBLAS_CORETYPE",
    "GOOGLE_APPLICATION_CREDENTIALS",
}  # fmt: skip
_PASSED_PREFIXES = (
    "LC_", "LD_", "DYLD_", "XDG_", "PYTHON", "COV_", "COVERAGE_", "GDAL_", "OGR_", "CPL_", "VSI_",
    "PROJ_", "AWS_", "AZURE_", "GS_", "OSS_", "SWIFT_", "CURL_", "SSL_", "MALLOC_", "GLIBC_",
    "ARROW_", "NUMBA_", "ASAN_", "UBSAN_",
)  # fmt: skip


def _passed(base: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    extra = {name.strip() for name in base.get("GEOBATCH_WORKER_ENV", "").split(",")}
    for name, value in base.items():
        upper = name.upper()
        if upper in _PASSED or upper.startswith(_PASSED_PREFIXES) or name in extra:
            yield name, value


def worker_environment(base: Mapping[str, str], *, data: str = "") -> dict[str, str]:
    """Make the environment of a worker from ``base``, the engine's own.

    ``GEOBATCH_WORKER_ENV`` in it names further variables to pass on, separated by commas: for
    operations of plug-ins. ``data`` is raster, chain or vector; empty: as ``base`` says.
    """
    data = data or base.get(DATA, "raster")
    defaults = {**DEFAULTS, **VECTOR_DEFAULTS} if data == "vector" else DEFAULTS
    return {**defaults, **dict(_passed(base)), **FIXED, DATA: data}


def complete(environ: MutableMapping[str, str] | None = None) -> None:
    """Add to ``environ`` (this process's, by default) what workers need that are threads of the
    engine, before GDAL is imported. Variables that only a starting Python reads are left out: other
    children of the user's program would inherit them."""
    target = os.environ if environ is None else environ
    wanted = worker_environment(target)
    if "PYTHONSAFEPATH" not in target:
        del wanted["PYTHONSAFEPATH"]
    target.update(wanted)


def apply(environ: MutableMapping[str, str] | None = None) -> None:
    """Turn ``environ`` (this process's, by default) into a worker's, without the secrets of the
    shell, before GDAL is imported."""
    target = os.environ if environ is None else environ
    wanted = worker_environment(target)
    for name in [name for name in target if name not in wanted]:
        del target[name]
    target.update(wanted)
