"""Puts a job together from its layers, and remembers which layer set each value.

Lowest to highest: built-in defaults, job file, environment, command line. All problems of all
layers are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from geobatch_tui.config import crs
from geobatch_tui.config.chains import data_kind, own_functions, step_keys, step_kinds
from geobatch_tui.config.cluster import cluster_code
from geobatch_tui.config.fields import Leaf, leaves
from geobatch_tui.config.job_reader import JobFile, read_job_file
from geobatch_tui.config.loaded_job import LoadedJob, flat
from geobatch_tui.config.notify import notify_section as notify
from geobatch_tui.config.paths import absolute
from geobatch_tui.config.problems import InvalidJobError, Problem, describe, show_value
from geobatch_tui.config.schema import Job, JobValues, build_params, dump_job
from geobatch_tui.config.setting_types import CREATION_OPTIONS, nearest_option
from geobatch_tui.config.sources import (
    PIPELINE,
    STEP,
    STEPS,
    Given,
    Notes,
    Origin,
    from_environment,
    from_file,
    from_flags,
    from_pipeline,
    typed,
    unknown,
)
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from geobatch_tui.execution.protocol.messages import Json

__all__ = ["LoadedJob", "Origin", "flat", "from_plan_json", "load_job", "make_job"]

_DEFAULT = Origin("default", "")
_DEPTH = 2  # section.key; what follows is a name in a free table


def load_job(
    path: str | os.PathLike[str] | None,
    *,
    pipeline: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedJob:
    """Load the job file at ``path`` under the environment and the command line.

    Tables merge key by key: a layer that sets ``output.creation.compress`` leaves the other
    creation options of the layers below.

    Args:
        path: TOML, or YAML or ``.gdalg.json`` by its extension; None: all values come from the
            other layers.
        pipeline: a chain in GDAL's words, as ``read a.tif ! hillshade ! write out``.
        overrides: ``KEY=VALUE`` with dotted keys; the top layer, later ones win.
        flags: values by dotted key for options of their own, as ``--workers``; None: not given.
        environ: the environment; None: that of this process.

    Raises:
        ConfigError: something is wrong; the message has one line for each problem.
    """
    file = read_job_file(Path(path)) if path is not None else None
    notes = Notes([], [])
    given = [
        *(from_file(file, notes) if file else ()),
        *from_environment(os.environ if environ is None else environ),
        *(from_pipeline(pipeline, notes) if pipeline is not None else ()),
        *from_flags(flags or {}, overrides, notes.problems),
    ]
    return _Assembly(file, notes).build(given)


def make_job(values: Mapping[str, object]) -> LoadedJob:
    """Make a job of nested ``values``, as a job file has them; paths are relative to the cwd.
    Raises ConfigError with a line for each problem."""
    notes = Notes([], [])
    return _Assembly(None, notes).build(
        [
            replace(given, origin=Origin("flag", "values"))
            for given in from_file(JobFile(Path("values"), values, {}), notes)
        ]
    )


def from_plan_json(
    data: Json,
    *,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
) -> LoadedJob:
    """Rebuild a job that :meth:`LoadedJob.to_json` kept, under new values of the command line.

    ``log.file``, ``source.allow_code`` and what ``notify.OWN`` lists are left out: no record says
    what to run, or where to write. Raises ConfigError if it does not fit, or values are wrong.
    """
    notes = Notes([], [])
    try:
        origins = {key: Origin(layer, where) for key, (layer, where) in data["origins"].items()}
        values, path = flat(data["job"]), Path(data["path"]) if data["path"] else None
        for key in ("log.file", "source.allow_code", *notify.OWN):
            values.pop(key, None)
        masked, warnings = list(data["redacted"]), tuple(data["warnings"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"the kept plan is damaged: {type(error).__name__}: {error}") from error
    loaded = _Assembly(None, notes).build(
        [
            *(Given(key, value, origins.get(key, _DEFAULT)) for key, value in values.items()),
            *(each for each in from_environment(os.environ) if each.key in notify.OWN),
            *from_flags(flags or {}, overrides, notes.problems),
        ]
    )
    redacted = tuple(key for key in masked if loaded.origins.get(key) is origins.get(key))
    new = tuple(text for text in loaded.warnings if text not in warnings)
    return LoadedJob(loaded.job, loaded.origins, path, warnings + new, redacted)


class _Assembly:
    """A load: collects values and problems, then makes the job or raises all problems."""

    def __init__(self, file: JobFile | None, notes: Notes) -> None:
        self.file = file
        self.problems, self.warnings = notes.problems, notes.warnings
        self.refused: dict[str, Given] = {}
        self.values: dict[str, object] = {}
        self.origins: dict[str, Origin] = {}
        self.known: dict[str, Leaf] = {}
        self.op: str | None = None
        #: Files of functions that the job file names, as steps or in a pipeline.
        self.named: set[str] = set()
        self.steps: step_kinds.Known = {}

    def build(self, given: Sequence[Given]) -> LoadedJob:
        if any(problem.key == PIPELINE for problem in self.problems):
            raise InvalidJobError(self.problems)  # as nothing of it is known
        given = data_kind.with_operation(given, self.file.path.parent if self.file else Path.cwd())
        self.op = self._op_name(given)
        self.steps = step_kinds.steps_of(self.op)
        for entry in given:
            if self.op is None and entry.key.startswith("op.") and entry.key != "op.name":
                continue  # nobody knows the parameters of an unknown operation
            self._take(entry)
        for key, entry in self.refused.items():
            self.problems.append(Problem(entry.origin.where, key, entry.refused))
        job = self._validated()
        self.problems += own_functions.refused(job, self.file, self.named)
        self.problems += [*cluster_code.refused(job, self.file), *notify.refused(job, self.origins)]
        if self.problems or job is None:
            raise InvalidJobError(self.problems)
        values = flat(dump_job(job))
        origins = {key: self.origins.get(key, _DEFAULT) for key in values}
        warnings = (*self.warnings, *self._warnings(values), *own_functions.warnings(job))
        return LoadedJob(job, origins, self.file.path if self.file else None, warnings)

    def _op_name(self, given: Sequence[Given]) -> str | None:
        """Return the operation that the highest layer names, if it exists."""
        self.known = leaves()
        named = [entry for entry in given if entry.key == "op.name"]
        if not named or not isinstance(named[-1].value, str):
            return None
        try:
            self.known = leaves(named[-1].value)
        except ConfigError as error:
            self.problems.append(Problem(named[-1].origin.where, "op.name", error.message))
            return None
        return named[-1].value

    def _take(self, given: Given) -> None:
        steps = self.values.get(STEPS)
        if step_keys.is_step_key(given.key, steps):
            self._take_step(steps, given)
            return
        leaf, key = self._leaf_of(given.key)
        if leaf is None:
            self.problems.append(unknown(given, self.known, tuple(Job.model_fields)))
            return
        table = leaf.mapping and key == leaf.key
        value = typed(str(given.value), leaf, table=table) if given.raw else given.value
        if not table:
            self._put(leaf, key, value, given)
        elif isinstance(value, Mapping):
            for name, entry in value.items():
                self._put(leaf, f"{key}.{_folded(leaf, str(name))}", entry, given)
        else:
            text = f"{key} = {show_value(key, value)}: must be a table of names and values"
            self.problems.append(Problem(given.origin.where, key, text))

    def _take_step(self, steps: Any, given: Given) -> None:
        """Take a value for a parameter of one step."""
        try:
            changed = step_keys.with_value(steps, given, self.steps)
            self.values[STEPS] = own_functions.with_paths(changed, Path.cwd(), self.steps)
        except ConfigError as error:
            self.problems.append(Problem(given.origin.where, given.key, error.message))
            return
        self.origins[STEPS] = given.origin

    def _put(self, leaf: Leaf, key: str, value: object, given: Given) -> None:
        origin = given.origin
        file = self.file if origin.layer == "file" else None
        if file and file.where(key) != str(file.path):
            origin = Origin("file", file.where(key))
        name = key.removeprefix(f"{leaf.key}.")
        if leaf.key == "output.creation" and name not in CREATION_OPTIONS:
            text = f"{name!r} is not a creation option; {nearest_option(name)}"
            self.problems.append(Problem(origin.where, key, text))
            return
        base = file.path.parent if file else Path.cwd()
        if leaf.path:
            value = absolute(value, base)
        elif key == STEPS:
            value = own_functions.with_paths(value, base, self.steps, kept=file is None)
            self.named |= own_functions.files_of(value) if file else set()
        self.values[key] = value
        self.origins[key] = origin
        self.refused.pop(key, None)
        if given.refused:
            self.refused[key] = given

    def _leaf_of(self, key: str) -> tuple[Leaf | None, str]:
        """Return the leaf that ``key`` names, or in whose table it is; and the key, folded."""
        if key in self.known:
            return self.known[key], key
        parts = key.split(".", 2)
        leaf = self.known.get(".".join(parts[:2])) if len(parts) > _DEPTH else None
        if leaf is None or not leaf.mapping:
            return None, key
        return leaf, f"{leaf.key}.{_folded(leaf, parts[_DEPTH])}"

    def _validated(self) -> Job | None:
        nested = self._nested()
        op = nested["op"]
        if self.op is not None:
            del op["name"]
            try:
                nested["op"] = {"name": self.op, "params": build_params(self.op, op)}
            except ValidationError as error:
                nested["op"] = {}
                self._report(error, ("op",))
        elif isinstance(op.get("name"), str):
            nested["op"] = {}  # no such operation: said already
        try:
            return Job.model_validate(nested)
        except ValidationError as error:
            self._report(error, ())
            return None

    def _nested(self) -> JobValues:
        nested: JobValues = {section: {} for section in Job.model_fields}
        if self.file:
            nested["job"]["name"] = self.file.path.stem
        for key, value in self.values.items():
            *tables, name = key.split(".", _DEPTH)
            table: dict[str, Any] = nested
            for part in tables:
                table = table.setdefault(part, {})
            table[name] = value
        return nested

    def _report(self, error: ValidationError, prefix: tuple[str, ...]) -> None:
        """Add the problems of a validation, one for each key, whatever types it could have."""
        by_key: dict[str, list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False):
            loc = [*prefix, *map(str, detail["loc"])]
            if loc[:2] == ["op", "steps"] and len(loc) > _DEPTH:
                self._report_step(loc, detail)
                continue
            _leaf, key = self._leaf_of(".".join(loc[: _DEPTH + 1]))
            by_key.setdefault(key if key in self.values else ".".join(loc[:2]), []).append(detail)
        for key, details in by_key.items():
            if not key:  # of the job as a whole: its validators name the key first
                for detail in details:
                    text = str(detail.get("ctx", {}).get("error") or detail["msg"])
                    named = text.partition(": ")[0]
                    self.problems.append(Problem(self._where(named), named, safe(text)))
                continue
            done = any(problem.key.startswith(("op", STEP)) for problem in self.problems)
            if key == "op.params" or (key == "op.name" and done):
                continue  # follows from what is reported already
            text = describe(key, details, self.values.get(key, details[0]["input"]))
            self.problems.append(Problem(self._where(key), key, text))

    def _report_step(self, loc: list[str], detail: ErrorDetails) -> None:
        """Add a problem in a step, at its line."""
        key = step_keys.named(loc)
        origin = self.origins.get(STEPS, _DEFAULT)
        line = step_keys.where(self.file, loc, origin.where)
        where = line if origin.layer == "file" else origin.where
        if detail["type"] == "extra_forbidden":
            text = step_keys.unknown(loc, self.steps)
        else:
            text = describe(key, [detail], detail["input"])
        problem = Problem(where, key, text)
        if problem not in self.problems:  # a list of several lacks more than one value
            self.problems.append(problem)

    def _where(self, key: str) -> str:
        if key in self.origins:
            return self.origins[key].where
        return self.file.where(key) if self.file else ""

    def _warnings(self, values: Mapping[str, object]) -> Iterator[str]:
        for key, leaf in self.known.items():
            value = values.get(key)
            if not (leaf.crs and isinstance(value, str) and value):
                continue
            if warning := crs.check_crs(value).warning:
                yield f"{key}: {warning}"


def _folded(leaf: Leaf, name: str) -> str:
    return name.lower() if leaf.fold else name
