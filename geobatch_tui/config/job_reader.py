"""Reads a job file, TOML or YAML, and knows the line of every key."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.config.problems import InvalidJobError, Problem
from geobatch_tui.config.toml_lines import TEXT_OR_COMMENT, key_lines
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import yaml

_LARGEST = 1 << 20
_DEEPEST = 32
_KEYS = 10_000
MOST_YAML_VALUES = 100_000
_YAML_TEXT = "tag:yaml.org,2002:str"
_TOML_PLACE = re.compile(r"^(.*) \(at line (\d+), column \d+\)$", re.DOTALL)
_TOML_DEEP = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_DEEPEST}}}")
_TOML_KEY = re.compile(r"=|^[ \t]*+\[", re.MULTILINE)
_TWICE = ("Cannot overwrite a value", "Cannot declare", "Cannot mutate")


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file as read: nested ``values``, and ``lines`` (from 1) by dotted key."""

    path: Path
    values: Mapping[str, object]
    lines: Mapping[str, int]

    def where(self, key: str) -> str:
        """Return ``job.toml:12`` for ``key``, or for the nearest table around it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.path}:{self.lines[key]}" if key else str(self.path)


def is_gdalg(path: Path) -> bool:
    """Whether a file is a pipeline that GDAL keeps (``.gdalg.json``), by its name."""
    return path.name.lower().endswith((".gdalg.json", ".gdalg", ".json"))


def read_job_file(path: Path) -> JobFile:
    """Read the job file at ``path``: YAML or a pipeline of GDAL's by its extension, else TOML.
    Raises ConfigError, with file and line, if it cannot be read, or is not what its extension
    says."""
    if is_gdalg(path):
        return JobFile(path, {"job": {"name": _stem(path)}, "pipeline": {"gdalg": path.name}}, {})
    text = _read_text(path)
    if path.suffix.lower() in {".yaml", ".yml"}:
        return _read_yaml(path, text)
    return _read_toml(path, text)


def _stem(path: Path) -> str:
    return path.stem.removesuffix(".gdalg")


def _read_text(path: Path) -> str:
    name = safe(str(path))
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no job file {name}",
            hint="give a TOML or YAML file, or the output directory of an earlier run",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the job file {name}: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{name} is over 1 MiB: this is not a job file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text; is this a job file?") from None


def _read_toml(path: Path, text: str) -> JobFile:
    _refuse_large_toml(path, text)
    try:
        return JobFile(path, tomllib.loads(text), key_lines(text))
    except tomllib.TOMLDecodeError as error:
        match = _TOML_PLACE.match(str(error))
        what, line = (match[1], int(match[2])) if match else (str(error), text.count("\n") + 1)
        twice = what.startswith(_TWICE)
        reason = "this key or table is given twice" if twice else f"not valid TOML: {safe(what)}"
        raise _invalid(path, reason, line) from None
    except RecursionError:
        raise _invalid(path, "nested too deeply") from None
    except ValueError:  # of int(): Python reads no number of so many digits
        digits = re.search(r"[0-9_]{4300}", text)
        line = _line_at(text, digits.start()) if digits else 0
        raise _invalid(path, "a number of too many digits", line) from None


def _refuse_large_toml(path: Path, text: str) -> None:
    """Refuse thousands of keys, or keys of many parts: tomllib takes minutes for a megabyte."""
    bare = TEXT_OR_COMMENT.sub(_blanked, text)
    if deep := _TOML_DEEP.search(bare):
        raise _invalid(path, "nested too deeply", _line_at(bare, deep.start()))
    for count, key in enumerate(_TOML_KEY.finditer(bare)):
        if count == _KEYS:
            reason = f"more than {_KEYS:,} keys and tables: this is not a job file"
            raise _invalid(path, reason, _line_at(bare, key.start()))


def _blanked(string: re.Match[str]) -> str:
    """Return a word in place of a string, with its line breaks; nothing for a comment."""
    return "" if string[0][0] == "#" else "_" + "\n" * string[0].count("\n")


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _invalid(path: Path, reason: str, line: int = 0) -> InvalidJobError:
    return InvalidJobError([Problem(f"{path}:{line}" if line else str(path), "", reason)])


def _read_yaml(path: Path, text: str) -> JobFile:
    import yaml

    try:
        problems = _refused_yaml(path, text)
        root = None if problems else yaml.compose(text, Loader=yaml.SafeLoader)
        twice, lines = _walk_yaml(path, root) if root is not None else ([], {})
        if problems or twice:
            raise InvalidJobError(problems + twice)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"not valid YAML: {safe(error.problem or str(error))}"
        raise _invalid(path, reason, mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _invalid(path, f"not valid YAML: {safe(str(error))}") from None
    if values is not None and not isinstance(values, dict):
        raise _invalid(path, "must be a mapping of sections")
    return JobFile(path, values or {}, lines)


def _refused_yaml(path: Path, text: str) -> list[Problem]:
    """Refuse aliases, deep nesting and thousands of values.

    They may grow without end, or take minutes to be read, and no job file needs them.
    """
    import yaml

    problems: list[Problem] = []
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if count == MOST_YAML_VALUES:
            reason = f"more than {MOST_YAML_VALUES:,} values: give inputs by a pattern, or by @LIST"
            return [*problems, Problem(f"{path}:{_line(event)}", "", reason)]
        if isinstance(event, yaml.AliasEvent):
            reason = "YAML aliases are not read: write it out"
            problems.append(Problem(f"{path}:{_line(event)}", "", reason))
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return [*problems, Problem(f"{path}:{_line(event)}", "", "nested too deeply")]
    return problems


def _line(part: yaml.Event | yaml.Node) -> int:
    mark = part.start_mark
    return mark.line + 1 if mark else 0


def _walk_yaml(path: Path, root: yaml.Node) -> tuple[list[Problem], dict[str, int]]:
    """List the lines of all keys, and problems of keys that are not text, or given twice."""
    lines: dict[str, int] = {}
    problems = []
    for prefix, key in _yaml_keys(root):
        where = f"{path}:{_line(key)}"
        dotted = ".".join((*prefix, str(key.value)))
        if key.tag != _YAML_TEXT:
            reason = f"key {safe(str(key.value))} is not text: quote it"
            problems.append(Problem(where, "", reason))
        elif dotted in lines:
            reason = f"{safe(dotted)} is given twice, first on line {lines[dotted]}"
            problems.append(Problem(where, dotted, reason))
        lines.setdefault(dotted, _line(key))
    return problems, lines


def _yaml_keys(root: yaml.Node) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """List each key with the path of keys (and list positions) above it."""
    import yaml

    stack: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)]
    while stack:
        prefix, node = stack.pop()
        if isinstance(node, yaml.SequenceNode):
            stack.extend(((*prefix, str(n)), entry) for n, entry in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield prefix, key
                stack.append(((*prefix, str(key.value)), value))
