"""``geobatch doctor``: checks what this installation and this machine can do."""

from __future__ import annotations

import asyncio
import json
import locale
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui import __version__
from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display.findings import BAD, OK, WARN, Finding, report
from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.observability import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from geobatch_tui.execution.protocol.messages import Json

_TIMEOUT = 60.0
_NEEDED = ("GTiff", "COG", "GPKG")
_FEW_FILES = 256
_LITTLE_MEMORY = 1 << 30
_LITTLE_DISK = 1 << 30
_NARROW = (80, 24)
_FOREIGN_DATA = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH")


def doctor(
    place: Annotated[
        str,
        typer.Argument(
            metavar="[DIR|URL]",
            help="Where outputs would go; of a bucket (s3://bucket/prefix): what it allows.",
            show_default=".",
        ),
    ] = ".",
    job: Annotated[
        Path | None,
        typer.Option("--job", metavar="JOB", help="A job file whose \\[storage] says how to ask."),
    ] = None,
    dask: Annotated[
        str,
        typer.Option("--dask", metavar="ADDRESS", help="Also check nodes of a Dask cluster."),
    ] = "",
    as_json: shared_options.AsJson = False,
) -> int:
    """Check versions, drivers, PROJ grids, limits and the terminal; or a store. Ends with 17 if
    runs fail."""
    if is_url(place):
        return report({}, list(_of_store(place, job)), as_json=as_json)
    directory = Path(place)
    facts = probe()
    findings = [
        *libraries(facts),
        *projections(facts),
        *machine(directory),
        *terminal(os.environ),
        *console(),
        *(cluster(dask) if dask else ()),
    ]
    return report(facts, findings, as_json=as_json)


def _of_store(place: str, job: Path | None) -> Iterator[Finding]:
    from geobatch_tui.cli.display.store_report import store_findings
    from geobatch_tui.config.layers import load_job
    from geobatch_tui.execution.stores import store_settings
    from geobatch_tui.orchestration.plan.remote.object_inputs import enter_stores

    if job is None:
        store_settings.use(store_settings.Stores().resolved(os.environ))
    else:
        enter_stores(load_job(job).job)
    return store_findings(place)


def cluster(address: str) -> Iterator[Finding]:
    """Report which nodes of a cluster may work for this installation, and why others may not."""
    from pydantic import ValidationError

    from geobatch_tui.config.cluster.dask_section import DaskSection
    from geobatch_tui.orchestration.cluster.joining import exposure, survey

    try:
        made = asyncio.run(survey(DaskSection(cluster=address)))
    except ValidationError as error:
        yield Finding("dask", f"{address}: {error.errors()[0]['msg']}", BAD)
        return
    except GeobatchError as error:
        yield Finding("dask", error.message, BAD)
        return
    if open_to := exposure(address):
        yield Finding("dask", open_to, WARN)
    for node in made["nodes"]:
        room = f"{figures.plural(node['workers'], 'worker')}, {figures.size(node['memory_bytes'])}"
        yield Finding("dask", f"{node['node']}: room for {room}")
    for node in made["refused"]:
        yield Finding("dask", f"{node['node']}: {node['why']}", BAD)


def probe() -> Json:
    """Ask the native libraries, in a process of their own: one that crashes is a finding too."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "geobatch_tui.execution.worker.examine"],
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"the native libraries did not answer within {_TIMEOUT:.0f} s"}
    if done.returncode != 0:
        tail = done.stderr.decode(errors="backslashreplace").strip().splitlines()[-1:]
        return {"error": " ".join([f"the probe ended with {done.returncode}", *tail])}
    facts: Json = json.loads(done.stdout)
    return facts


def libraries(facts: Json) -> Iterator[Finding]:
    """Report versions and drivers."""
    yield Finding("geobatch", f"{__version__}, Python {sys.version.split()[0]}")
    if "error" in facts:
        yield Finding("libraries", facts["error"], BAD)
        return
    for name in ("rasterio", "pyogrio", "pyproj"):
        part = facts[name]
        if "error" in part:
            yield Finding(name, part["error"], BAD)
            continue
        inner = [f"{key.upper()} {part[key]}" for key in ("gdal", "proj", "geos") if key in part]
        yield Finding(name, f"{part['version']} with {', '.join(inner)}")
        missing = [driver for driver, there in part.get("drivers", {}).items() if not there]
        if missing:
            needed = any(driver in _NEEDED for driver in missing)
            yield Finding(name, f"without the driver {', '.join(missing)}", BAD if needed else WARN)
    others = facts["other"]
    if "error" in others:
        yield Finding("others", others["error"], BAD)
    else:
        yield Finding("others", ", ".join(f"{name} {value}" for name, value in others.items()))


def projections(facts: Json) -> Iterator[Finding]:
    """Report whether the three copies of PROJ agree, and which grids are missing."""
    parts = {
        name: facts[name]
        for name in ("rasterio", "pyogrio", "pyproj")
        if "error" not in facts.get(name, {"error": ""})
    }
    versions = {part["database"] for part in parts.values() if part.get("database")}
    if len(versions) > 1:
        each = "; ".join(f"{name}: {part['database']}" for name, part in parts.items())
        yield Finding("PROJ data", f"the libraries bring different databases ({each})", WARN)
    elif versions:
        yield Finding("PROJ data", f"{versions.pop()}, the same for {', '.join(parts)}")
    results = {tuple(part["mercator"]) for part in parts.values() if "mercator" in part}
    if len(results) > 1:
        yield Finding("PROJ", f"the libraries transform differently: {sorted(results)}", BAD)
    for name in _FOREIGN_DATA:
        if os.environ.get(name):
            text = f"{name}={os.environ[name]} overrides the libraries' own data; unset it"
            yield Finding("environment", text, BAD if len(parts) < 3 else WARN)
    for datum, state in parts.get("pyproj", {}).get("grids", {}).items():
        yield _grid(datum, state)


def _grid(datum: str, state: Json) -> Finding:
    accuracy = f"{state['accuracy_m']:g} m to WGS 84" if state["accuracy_m"] else "accuracy unknown"
    if state["best"]:
        return Finding("PROJ grids", f"{datum}: {accuracy}, the best there is")
    missing = state["missing"]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    text = f"{datum}: {accuracy}; better with {missing[0]}{more} (`projsync`)"
    return Finding("PROJ grids", text, WARN)


def machine(directory: Path) -> Iterator[Finding]:
    """Report cores, memory, open files and disk, as a run in ``directory`` would see them."""
    from geobatch_tui.execution.runtime.sandbox import state, words
    from geobatch_tui.orchestration.plan import machine as limits

    yield Finding("cores", f"{limits.cores()} of {os.cpu_count()} for this process")
    memory = limits.memory_limit()
    text = f"{figures.size(memory)} for a run (memory_budget = auto)"
    yield Finding("memory", text, WARN if memory < _LITTLE_MEMORY else OK)
    files = limits.open_files()
    few = files < _FEW_FILES
    hint = "; raise `ulimit -n`" if few else ""
    yield Finding("open files", f"{files:,}{hint}", WARN if few else OK)
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    free = limits.free_disk(place)
    verdict = WARN if free < _LITTLE_DISK else OK
    yield Finding("disk", f"{figures.size(free)} free at {place}", verdict)
    if not os.access(place, os.W_OK):
        yield Finding("disk", f"{place} cannot be written by this user", BAD)
    yield _machine_code()
    confined = state(wanted=True, executor="process")
    landlocked = confined.startswith("Landlock")
    yield Finding("sandbox", words(confined), OK if landlocked else WARN)


def _machine_code() -> Finding:
    from geobatch_tui.execution.native.code_cache import cache_directory

    directory = cache_directory()
    if directory is not None:
        return Finding("machine code", f"kept in {directory}")
    text = (
        "kept nowhere: others can write to the cache, or this user cannot; each worker compiles "
        "anew. Look at the modes of ~/.cache, XDG_CACHE_HOME or NUMBA_CACHE_DIR"
    )
    return Finding("machine code", text, WARN)


def terminal(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Report the terminal that a console or a progress display would have."""
    if not sys.stderr.isatty():
        yield Finding("terminal", "stderr is none: runs write JSON lines")
        return
    columns, rows = shutil.get_terminal_size()
    name = environ.get("TERM", "")
    colours = "no colours (NO_COLOR)" if environ.get("NO_COLOR") else _colours(environ)
    narrow = columns < _NARROW[0] or rows < _NARROW[1]
    text = f"{name or 'TERM is not set'}, {columns} x {rows}, {colours}"
    dumb = name in {"", "dumb"}
    yield Finding("terminal", text, WARN if narrow or dumb else OK)
    encoding = (sys.stderr.encoding or locale.getencoding()).lower()
    if not encoding.startswith("utf"):
        yield Finding("terminal", f"encoding {encoding}: set LANG to a UTF-8 locale", WARN)


def console() -> Iterator[Finding]:
    """Report the user's own files for the console: keys, commands and themes."""
    from geobatch_tui.tui.kit.keymap import keymap_path, load_keymap
    from geobatch_tui.tui.kit.themes import load_all
    from geobatch_tui.tui.parts.user_commands import load_commands

    keys = load_keymap()
    for problem in keys.problems:
        yield Finding("keys", problem, WARN)
    if not keys.problems:
        own = f"{figures.plural(len(keys.changes), 'key')} of {keymap_path()}"
        yield Finding("keys", f"no conflicts; {own}" if keys.changes else "no conflicts")
    for problem in load_commands(keys.changes).problems:
        yield Finding("commands", problem, WARN)
    themes, bad = load_all()
    for entry in bad:
        yield Finding("themes", f"{entry.path} {entry.reason}", WARN)
    if not bad:
        yield Finding("themes", ", ".join(sorted(theme.name for theme in themes)))


def _colours(environ: Mapping[str, str]) -> str:
    if environ.get("COLORTERM", "") in {"truecolor", "24bit"}:
        return "16 million colours"
    return "256 colours" if "256color" in environ.get("TERM", "") else "16 colours"
