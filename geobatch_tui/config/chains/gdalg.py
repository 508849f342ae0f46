"""Reads ``.gdalg.json`` files: pipelines that GDAL keeps in place of the raster they would give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.chains.pipeline import Pipeline, read_pipeline
from geobatch_tui.config.chains.step_kinds import RASTER
from geobatch_tui.config.chains.step_paths import with_paths
from geobatch_tui.config.paths import absolute
from geobatch_tui.config.problems import show_value
from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.params import gdal_steps
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.config.chains.pipeline_words import Complaints

_TYPE: Final = "gdal_streamed_alg"
_KEYS: Final = frozenset({
    "type", "command_line", "gdal_version", "relative_paths_relative_to_this_file",
})  # fmt: skip
_LARGEST: Final = 1 << 20
#: The newest GDAL whose words are known, as its version's number begins.
_NEWEST: Final = 313
#: Parameters for which such a job takes GDAL's default: not those by which pixels are less exact.
TAKEN: Final = frozenset({("calc", "propagate_nodata")})
#: Defaults of outputs, by format.
_COMPRESSION: Final = {"COG": "LZW", "GTiff": "NONE"}
#: Formats that stand for no file.
_STREAM: Final = frozenset({"stream", "GDALG"})


def read_gdalg(path: Path) -> Pipeline:
    """Read a file of GDAL's as values of a job, with GDAL's defaults where they are others.

    Where it would write is not read: that says the command line, or the job file.

    Raises:
        ConfigError: it cannot be read, or is no such file.
    """
    name = safe(str(path))
    found = _object(path, name)
    command = found.get("command_line")
    if found.get("type") != _TYPE or not isinstance(command, str):
        raise ConfigError(
            f'{name} is no .gdalg.json file: its "type" is "{_TYPE}", and it has a "command_line"',
            hint="jobs are TOML or YAML files",
        )
    pipeline = read_pipeline(command, str(path), foreign=True)
    complaints = pipeline.complaints
    _check_version(found.get("gdal_version"), complaints)
    for key in sorted(found.keys() - _KEYS):
        complaints.warn(f"{safe(str(key))!r} is not read")
    beside = found.get("relative_paths_relative_to_this_file", True)
    if not isinstance(beside, bool):
        complaints.refuse("relative_paths_relative_to_this_file is true or false")
    return _as_job(pipeline, path.absolute().parent if beside else Path.cwd())


def _object(path: Path, name: str) -> dict[str, object]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{name} is over 1 MiB: this is no .gdalg.json file")
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not valid JSON: {safe(str(error))}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{name} holds no object: this is no .gdalg.json file")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _check_version(version: object, complaints: Complaints) -> None:
    if version is None:
        return
    text = str(version)
    if not (text.isascii() and text.isdecimal()) or len(text) > len("313030000"):
        complaints.warn(f"gdal_version {safe(text, 40)!r} is no version of GDAL's")
    elif int(text) // 10_000 > _NEWEST:
        complaints.warn(
            f"GDAL {text} is newer than {_NEWEST // 100}.{_NEWEST % 100}, whose words are known "
            "here: what it may mean otherwise is not"
        )


def _as_job(pipeline: Pipeline, base: Path) -> Pipeline:
    """Leave out where it would write, and put in GDAL's defaults."""
    values, complaints = dict(pipeline.values), pipeline.complaints
    places = [values.pop(key, None) for key in ("output.dir", "output.if_exists")]
    if any(places) and values.get("output.format") not in _STREAM:
        complaints.warn("where it would write is not used: say where by --output DIR")
    if values.get("output.format") in _STREAM:
        del values["output.format"]
    if "source.inputs" in values:
        values["source.inputs"] = absolute(values["source.inputs"], base)
    if complaints.problems or values["op.name"] not in {RASTER.chain, RASTER.copy}:
        return Pipeline(values, complaints)
    if "op.steps" in values:
        steps = [_with_defaults(step, complaints) for step in _steps(values)]
        values["op.steps"] = with_paths(steps, base, RASTER.steps)
    creation = values.get("output.creation")
    options = dict(creation) if isinstance(creation, dict) else {}
    if not any(str(option).lower() == "compress" for option in options):
        form = str(values.get("output.format", "COG"))
        options["compress"] = _COMPRESSION.get(form, "LZW")
        shown = show_value("compress", options["compress"])
        complaints.warn(f"output.creation.compress = {shown}, GDAL's default")
    values["output.creation"] = options
    return Pipeline(values, complaints)


def _steps(values: Mapping[str, object]) -> list[dict[str, object]]:
    steps = values.get("op.steps")
    return steps if isinstance(steps, list) else []


def _with_defaults(step: dict[str, object], complaints: Complaints) -> dict[str, object]:
    """Return a step with GDAL's defaults where they are others, and say which."""
    name = str(step["name"])
    known = RASTER.steps[name].model_fields
    for field, value in gdal_steps.DEFAULTS.get(name, {}).items():
        if field not in known or field in step:
            continue
        shown = show_value(field, value)
        if (name, field) in TAKEN:
            complaints.warn(f"{name}: {field} = {shown}, GDAL's default")
            step = {**step, field: value}
        else:
            ours = show_value(field, known[field].default)
            complaints.warn(f"{name}: {field} = {ours}, where GDAL's default is {shown}")
    return step
