"""A job that is being edited: values of a file or an earlier run, and the edits above them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.config.chains import own_functions, step_kinds, written_steps
from geobatch_tui.config.fields import Leaf, leaves
from geobatch_tui.config.layers import LoadedJob, from_plan_json, load_job
from geobatch_tui.config.problems import InvalidJobError
from geobatch_tui.config.sources import STEP, STEPS
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.redact import redact_value
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.jobs.step_list import StepList, number_of

if TYPE_CHECKING:
    from geobatch_tui.config.chains.written_steps import WrittenStep
    from geobatch_tui.execution.protocol.messages import Json


FIELDS: Final = dict.fromkeys(("key", "value", "layer", "kind", "help", "problem"), "text")
"""What a filter of the form knows."""

BASIC: Final = frozenset(
    {"job.name", "source.inputs", "source.layer", "source.src_crs"}
    | {"output.dir", "output.format", "output.creation", "output.if_exists"}
    | {"output.on_dead_chunk", "engine.max_workers", "engine.memory_budget"}
    | {"failures.max_failures"}
)
"""Keys that most jobs give, beside those of their operation."""

_PLACE: Final = "output.dir"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the form: its value as text, the layer that set it, and what is wrong with it."""

    leaf: Leaf
    text: str
    layer: str
    where: str = ""
    problem: str = ""

    def row(self) -> dict[str, str | float]:
        """Return the values that a filter looks at, by name."""
        return {
            "key": self.leaf.key,
            "value": self.text,
            "layer": self.layer,
            "kind": self.leaf.kind,
            "help": self.leaf.help,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class StepHead:
    """A step of the form: its number from 1, its name, the values that it was given, as text, what
    it does, and what is wrong with it as a whole."""

    number: int
    name: str
    given: str
    summary: str
    problem: str = ""

    @property
    def key(self) -> str:
        return f"{STEP}[{self.number}]"

    def row(self) -> dict[str, str | float]:
        """Return the values that a filter looks at, by name."""
        return {
            "key": f"{self.key} {self.name}",
            "value": self.given,
            "layer": "",
            "kind": "semantic",
            "help": self.summary,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class Draft:
    """A job with its edits, valid or not.

    Attributes:
        path: the job file below; it is where the job is saved by default.
        run_job: of an earlier run, instead of a file.
        edits: text by key, above all other layers.
        steps: the steps of a chain as they were edited; None: they were not.
        begun: those that it began with.
        fresh: it began with an example, and was never run.
        loaded: the job, as it was when it last was right.
        problems: sentences by key on what is wrong now; those of no key are under "".
    """

    path: Path | None
    loaded: LoadedJob
    run_job: Json | None = None
    edits: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[WrittenStep, ...] | None = None
    begun: tuple[WrittenStep, ...] = ()
    fresh: bool = False

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read a job file; one that does not say where outputs go, as those of GDAL, begins with a
        directory below the working directory as an edit. Raises ConfigError if it is invalid."""
        edits: dict[str, str] = {}
        try:
            loaded = load_job(path)
        except InvalidJobError as error:
            if [problem.text for problem in error.problems] != [f"{_PLACE} is missing"]:
                raise
            name = path.name.partition(".")[0] or path.name
            edits = {_PLACE: str(Path.cwd() / "out" / name)}
            loaded = load_job(path, overrides=_overrides(edits))
        return cls(path, loaded, edits=edits, begun=tuple(written_steps.written(loaded.job)))

    @classmethod
    def of_example(cls, path: Path, out: Path) -> Self:
        """Make a draft of an example, with outputs in ``out`` and no file of its own yet."""
        job = load_job(path, overrides=[f"output.dir={out}"]).to_json()
        return replace(cls.of_run(job), fresh=True)

    @classmethod
    def of_run(cls, run_job: Json) -> Self:
        """Make a draft of an earlier run's job, as the ledger keeps it: without credentials, which
        are a problem of their keys. Raises ConfigError where it does not fit this version."""
        loaded = from_plan_json(run_job)
        begun = tuple(written_steps.written(loaded.job))
        return cls(None, loaded, run_job, problems=_masked(loaded), begun=begun)

    @property
    def right(self) -> bool:
        """Whether the job could be run."""
        return not self.problems

    @property
    def changed(self) -> bool:
        """Whether the job is not what its file says."""
        return self.edited or self.path is None

    @property
    def edited(self) -> bool:
        """Whether something was edited, and not edited back."""
        return bool(self.edits) or (self.steps is not None and self.steps != self.begun)

    @property
    def operation(self) -> str:
        """The operation that is chosen, whether or not there is one of the name."""
        return self.edits.get("op.name", self.loaded.job.op.name)

    @property
    def chain(self) -> StepList | None:
        """The steps, if the operation runs a chain."""
        known = step_kinds.steps_of(self.operation)
        steps = self.begun if self.steps is None else self.steps
        return StepList(steps, known) if known else None

    def put(self, key: str, text: str) -> Draft:
        """Return the draft with an edit of one key; an empty text takes the edit back."""
        if number_of(key) and self.chain is not None:
            return self.with_steps(self.chain.put(key, text))
        edits = {name: value for name, value in self.edits.items() if name != key}
        if text.strip():
            edits[key] = text.strip()
        return self._checked(edits, self.steps)

    def with_steps(self, chain: StepList) -> Draft:
        """Return the draft with other steps. Paths in them are relative to the job file, or to the
        working directory."""
        base = self.path.absolute().parent if self.path is not None else Path.cwd()
        steps = own_functions.with_paths([*chain.steps], base, chain.known)
        return self._checked(dict(self.edits), tuple(steps))  # type: ignore[arg-type]

    def _checked(self, edits: Mapping[str, str], steps: tuple[WrittenStep, ...] | None) -> Draft:
        """Return the draft with edits and steps in place of its own, valid or not."""
        draft = replace(self, edits=edits, steps=steps)
        flags: dict[str, object] = {}
        if steps is not None and draft.chain is not None:
            # Else the steps that are left might be those of another kind of data.
            flags = {"op.name": draft.operation, STEPS: [*steps]}
        overrides = _overrides(edits)
        try:
            if self.run_job is not None:
                loaded = from_plan_json(self.run_job, overrides=overrides, flags=flags)
            else:
                loaded = load_job(self.path, overrides=overrides, flags=flags)
        except InvalidJobError as error:
            problems: dict[str, str] = {}
            for problem in error.problems:
                problems.setdefault(problem.key, problem.text)
            return replace(draft, problems=problems)
        except ConfigError as error:
            return replace(draft, problems={"": str(error)})
        return replace(draft, loaded=loaded, problems=_masked(loaded))

    def fields(self) -> list[Field]:
        """Return all keys in the order of the schema, with those of the chosen operation and, in
        the place of a list of steps, of each step."""
        try:
            known = leaves(self.operation)
        except ConfigError:
            known = leaves(self.loaded.job.op.name)
        values = self.loaded.job.effective(redacted=True)
        found: list[Field] = []
        for leaf in known.values():
            if leaf.key == STEPS and self.chain is not None:
                found += self._step_fields(self.chain)
            elif not leaf.found:
                found.append(self._field(leaf, values))
        return found

    def heads(self) -> list[StepHead]:
        """Return the steps of a chain, without their parameters."""
        chain = self.chain
        if chain is None:
            return []
        return [_head(chain, number, self.problems) for number in range(1, len(chain.steps) + 1)]

    def _step_fields(self, chain: StepList) -> list[Field]:
        layer = self.loaded.origins[STEPS].layer if STEPS in self.loaded.origins else ""
        found = []
        for number, step in enumerate(chain.steps, 1):
            for leaf in chain.leaves(number):
                name = leaf.key.rpartition(".")[2]
                value = step.get(name, leaf.default)
                is_old = self.steps is None or any(
                    other.get("name") == step.get("name") and other.get(name) == value
                    for other in self.begun
                )
                whose = ("file" if layer == "flag" else layer) if is_old else "edited"
                found.append(
                    Field(
                        leaf,
                        safe(text_of(redact_value(value))),
                        whose if name in step else "default",
                        problem=_problem(self.problems, leaf.key),
                    )
                )
        return found

    def _field(self, leaf: Leaf, values: Json) -> Field:
        problem = _problem(self.problems, leaf.key)
        if leaf.key in self.edits:
            return Field(leaf, safe(self.edits[leaf.key]), "edited", problem=problem)
        section, _, name = leaf.key.partition(".")
        value = values.get(section, {}).get(name, leaf.default)
        origins = [
            origin
            for key, origin in self.loaded.origins.items()
            if f"{key}.".startswith(f"{leaf.key}.") and origin.layer != "default"
        ]
        layer, where = (origins[0].layer, origins[0].where) if origins else ("default", "")
        return Field(leaf, safe(text_of(value)), layer, safe(where), problem)


def _overrides(edits: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in edits.items()]


def _problem(problems: Mapping[str, str], name: str) -> str:
    """Return what is wrong with a key, or in its table."""
    return next((text for key, text in problems.items() if f"{key}.".startswith(f"{name}.")), "")


def _head(chain: StepList, number: int, problems: Mapping[str, str]) -> StepHead:
    step = chain.steps[number - 1]
    names = (leaf.key.rpartition(".")[2] for leaf in chain.leaves(number))
    given = [name for name in names if name in step and name != "use"]
    return StepHead(
        number,
        safe(written_steps.name_of(step)),
        safe(" ".join(f"{name}={text_of(redact_value(step[name]))}" for name in given)),
        safe(written_steps.summary_of(step, chain.known)),
        _problem(problems, f"{STEP}[{number}]"),
    )


def _masked(loaded: LoadedJob) -> dict[str, str]:
    said = "it held credentials, which are never kept with a run: give it again"
    return dict.fromkeys(loaded.redacted, said)


def text_of(value: object) -> str:
    """Return a value as it is typed: text as it is if it has one line, all else as TOML on one."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _toml(value) if "\n" in value or "\r" in value else value
    return _toml(value)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_name(name)} = {_toml(entry)}" for name, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _name(text: object) -> str:
    name = str(text)
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
