"""The layers above the defaults: what each gives, by dotted key, with its origin."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from geobatch_tui.config.problems import MEANT, Problem, nearest
from geobatch_tui.config.storage.store_section import STORAGE, STORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from geobatch_tui.config.chains.pipeline import Pipeline
    from geobatch_tui.config.fields import Leaf
    from geobatch_tui.config.job_reader import JobFile

PREFIX = "GEOBATCH_"

#: Variables with our prefix that are not configuration.
OTHER_VARIABLES = frozenset(
    {
        "GEOBATCH_OPS",
        "GEOBATCH_WORKER_ENV",
        "GEOBATCH_DRIVERS",
        "GEOBATCH_PRELOAD",  # workers that are threads have it in this process
        "GEOBATCH_TRACEBACK",
        "GEOBATCH_FAILPOINT",
    }
)

#: Short names of the environment, kept for those who know them. An empty one counts as unset.
ALIASES = {
    "BATCH_TARGET_EPSG": "op.dst_crs",
    "BATCH_MAX_WORKERS": "engine.max_workers",
    "BATCH_MAX_OPEN_FILES": "engine.max_open_files",
    "BATCH_OUTPUT_DIR": "output.dir",
    "BATCH_LOG_FORMAT": "log.format",
}

#: Options of the command line that stand for a key.
OPTIONS = {
    "op.dst_crs": "--crs",
    "engine.max_workers": "--workers",
    "engine.max_duration": "--max-duration",
    "output.dir": "--output",
    "failures.max_failures": "--max-failures",
}

#: The section of steps, the key of their list, and the key of a pipeline in GDAL's words.
STEP, STEPS, PIPELINE = "step", "op.steps", "pipeline"

Layer = Literal["default", "file", "environment", "flag"]
_PLAIN = (str, int, float, bool, list, dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """The layer that set a value, and ``where``: ``job.toml:12``, a variable's name, ``--set``."""

    layer: Layer
    where: str


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a layer gives to a dotted key.

    ``raw``: text that is yet to be typed. ``refused``: why it is not taken, unless a higher layer
    gives another.
    """

    key: str
    value: object
    origin: Origin
    raw: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """What is wrong with a load, and what its user should know."""

    problems: list[Problem]
    warnings: list[str]


def from_pipeline(text: str, notes: Notes) -> Iterator[Given]:
    """Read the values of a pipeline in GDAL's words, from the command line."""
    from geobatch_tui.config.chains.pipeline import read_pipeline  # not loaded for other jobs

    pipeline = read_pipeline(text, PIPELINE)
    steps = pipeline.values.get(STEPS, [])
    listed = steps if isinstance(steps, list) else []
    names = [str(step.get("name") or step["use"]) for step in listed]
    origin = Origin("flag", PIPELINE)
    yield Given("job.name", " ! ".join(names) or "convert", origin)
    yield from _of_pipeline(pipeline, origin, notes)


def _of_pipeline(pipeline: Pipeline, origin: Origin, notes: Notes) -> Iterator[Given]:
    notes.problems.extend(pipeline.complaints.problems)
    notes.warnings.extend(pipeline.complaints.warnings)
    for key, value in pipeline.values.items():
        yield Given(key, value, origin, refused=pipeline.refused.get(key, ""))


def _pipeline_in(file: JobFile, notes: Notes) -> Iterator[Given]:
    """Read the values of the pipeline of a job file, text or the name of a file of GDAL's."""
    from geobatch_tui.config.chains.gdalg import read_gdalg
    from geobatch_tui.config.chains.pipeline import read_pipeline

    origin = Origin("file", file.where(PIPELINE))
    match file.values[PIPELINE]:
        case str(text):
            given = list(_of_pipeline(read_pipeline(text, origin.where), origin, notes))
            for entry in given:
                section, _, name = entry.key.partition(".")
                table = file.values.get(section)
                if section != "op" and isinstance(table, dict) and name in table:
                    told = f"{entry.key}: the pipeline gives it too; leave one out"
                    notes.problems.append(Problem(file.where(entry.key), entry.key, told))
            yield from given
        case {"gdalg": str(name), **rest} if name and not rest:
            yield from _of_pipeline(read_gdalg(file.path.parent / name), origin, notes)
        case _:
            told = 'pipeline is text, "read a.tif ! hillshade", or { gdalg = "a.gdalg.json" }'
            notes.problems.append(Problem(origin.where, PIPELINE, told))


def from_file(file: JobFile, notes: Notes) -> Iterator[Given]:
    """Read the values of a job file; sections and inline tables become dotted keys, and a list of
    steps, or a pipeline, the operation that runs them."""
    if PIPELINE in file.values:
        yield from _pipeline_in(file, notes)
    for section, values in file.values.items():
        where = Origin("file", file.where(section))
        if section == PIPELINE:
            continue
        if PIPELINE in file.values and section in {STEP, "op"}:
            told = f"there is pipeline beside [{section}]: a job has one of them"
            notes.problems.append(Problem(where.where, section, told))
            continue
        if section == STEP and "op" not in file.values:
            yield Given(STEPS, values, where)
            continue
        if section == STORAGE:
            # A dumped job has them by the name that the schema gives them.
            inner = values.get("stores", values) if isinstance(values, dict) else values
            yield Given(STORES, inner, where)
            continue
        if not isinstance(values, dict):
            yield Given(section, values, where)
        for name, value in values.items() if isinstance(values, dict) else ():
            key = f"{section}.{name}"
            yield Given(key, value, Origin("file", file.where(key)))


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Read the values of the environment: aliases first, so that a full name wins."""
    for name, key in ALIASES.items():
        value = environ.get(name, "")
        if value and name == "BATCH_TARGET_EPSG" and value.strip().isdecimal():
            value = f"EPSG:{value.strip()}"
        if value:
            yield Given(key, value, Origin("environment", name), raw=True)
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES:
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            yield Given(key, environ[name], Origin("environment", name), raw=True)


def from_flags(
    flags: Mapping[str, object], overrides: Sequence[str], problems: list[Problem]
) -> Iterator[Given]:
    """Read options that stand for a key (None: not given), then ``--set KEY=VALUE`` in order."""
    for key, value in flags.items():
        if value is not None:
            origin = Origin("flag", OPTIONS.get(key, f"--set {key}"))
            yield Given(key, value, origin, raw=isinstance(value, str))
    for text in overrides:
        key, equals, value = text.partition("=")
        if equals:
            origin = Origin("flag", f"--set {key.strip()}")
            yield Given(key.strip(), value.strip(), origin, raw=True)
        else:
            problems.append(Problem("--set", text, f"{text!r} is not KEY=VALUE"))


def unknown(given: Given, known: Mapping[str, Leaf], sections: Sequence[str]) -> Problem:
    """Describe a key that is not in the schema, with the nearest one that is."""
    section, dot, name = given.key.partition(".")
    where = given.origin.where
    if section == STEP:
        return Problem(where, STEP, "there is [op] beside [[step]]: a job has one of them")
    if section in sections and not dot:
        return Problem(where, given.key, f"{section} must be a table of keys")
    near = get_close_matches(section, sections, 1)
    advice = _near_in(near[0], name, known) if near else nearest(given.key, known)
    if not near and not advice.startswith(MEANT):
        advice = nearest(section, sections)
    return Problem(where, given.key, f"there is no key {given.key!r}; {advice}")


def _near_in(section: str, name: str, known: Mapping[str, Leaf]) -> str:
    """Say what may be meant by ``name``, which may be in a table, in a section that exists."""
    names = [key.partition(".")[2] for key in known if key.startswith(f"{section}.")]
    advice = nearest(name.partition(".")[0], names)
    if advice.startswith(MEANT):
        return advice.replace(MEANT, f"{MEANT}{section}.", 1)
    return advice if name else f"{MEANT}{section}'?"


def typed(text: str, leaf: Leaf, *, table: bool) -> object:
    """Return the value that ``text`` of a variable or flag means for ``leaf``, or a name in it.

    It stays text if the key takes only text, or if it is no TOML value. ``table``: it is the whole
    table of a leaf that is one.
    """
    value = _toml_value(text)
    if leaf.text and not table:
        return value if isinstance(value, str) else text
    return text if value is None else value


def untyped(text: str) -> object:
    """Return the TOML value that ``text`` of a flag means, or the text itself."""
    value = _toml_value(text)
    return text if value is None else value


def _toml_value(text: str) -> object:
    """Read ``text`` as a TOML value; None if it is none (or a date, which no key takes)."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError
        return None
    value = values.get("value")
    return value if len(values) == 1 and isinstance(value, _PLAIN) else None
