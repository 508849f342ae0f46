"""A job that is being edited: values of a file or an earlier run, and the edits above them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.config.fields import Leaf, leaves
from geobatch_tui.config.layers import LoadedJob, from_plan_json, load_job
from geobatch_tui.config.problems import InvalidJobError
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json


FIELDS: Final = dict.fromkeys(("key", "value", "layer", "kind", "help", "problem"), "text")
"""What a filter of the form knows."""


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
class Draft:
    """A job with its edits, valid or not.

    Attributes:
        path: the job file below; it is where the job is saved by default.
        run_job: of an earlier run, instead of a file.
        edits: text by key, above all other layers.
        loaded: the job, as it was when it last was right.
        problems: sentences by key on what is wrong now; those of no key are under "".
    """

    path: Path | None
    loaded: LoadedJob
    run_job: Json | None = None
    edits: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read a job file. Raises ConfigError if it is invalid."""
        return cls(path, load_job(path))

    @classmethod
    def of_example(cls, path: Path, out: Path) -> Self:
        """Make a draft of an example, with outputs in ``out`` and no file of its own yet."""
        return cls.of_run(load_job(path, overrides=[f"output.dir={out}"]).to_json())

    @classmethod
    def of_run(cls, run_job: Json) -> Self:
        """Make a draft of an earlier run's job, as the ledger keeps it: without credentials, which
        are a problem of their keys. Raises ConfigError where it does not fit this version."""
        loaded = from_plan_json(run_job)
        return cls(None, loaded, run_job, problems=_masked(loaded))

    @property
    def right(self) -> bool:
        """Whether the job could be run."""
        return not self.problems

    @property
    def changed(self) -> bool:
        """Whether the job is not what its file says."""
        return bool(self.edits) or self.path is None

    def put(self, key: str, text: str) -> Draft:
        """Return the draft with an edit of one key; an empty text takes the edit back."""
        edits = {name: value for name, value in self.edits.items() if name != key}
        if text.strip():
            edits[key] = text.strip()
        overrides = [f"{name}={value}" for name, value in edits.items()]
        try:
            if self.run_job is not None:
                loaded = from_plan_json(self.run_job, overrides=overrides)
            else:
                loaded = load_job(self.path, overrides=overrides)
        except InvalidJobError as error:
            problems: dict[str, str] = {}
            for problem in error.problems:
                problems.setdefault(problem.key, problem.text)
            return replace(self, edits=edits, problems=problems)
        except ConfigError as error:
            return replace(self, edits=edits, problems={"": str(error)})
        return replace(self, edits=edits, loaded=loaded, problems=_masked(loaded))

    def fields(self) -> list[Field]:
        """Return all keys in the order of the schema, with those of the chosen operation."""
        try:
            known = leaves(self.edits.get("op.name", self.loaded.job.op.name))
        except ConfigError:
            known = leaves(self.loaded.job.op.name)
        values = self.loaded.job.effective(redacted=True)
        return [self._field(leaf, values) for leaf in known.values()]

    def _field(self, leaf: Leaf, values: Json) -> Field:
        problem = next(
            (text for key, text in self.problems.items() if f"{key}.".startswith(f"{leaf.key}.")),
            "",
        )
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


def _masked(loaded: LoadedJob) -> dict[str, str]:
    said = "it held credentials, which are never kept with a run: give it again"
    return dict.fromkeys(loaded.redacted, said)


def text_of(value: object) -> str:
    """Return a value as it is typed: text as it is, all else as TOML on one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_toml(entry)}" for name, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return _toml(value)


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
