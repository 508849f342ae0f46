"""Commands of the user's own: programs, with placeholders for what the cursor is on.

The text is split into words first, and only then are placeholders filled in: a name is never more
than a part of one argument, whatever is in it. Into code for an interpreter none is filled::

    # ~/.config/geobatch/commands.toml
    [[command]]
    key = "f8"
    title = "Open in QGIS"
    run = "qgis {output}"
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit.keymap import KEYS, MOVES, key_name
from geobatch_tui.tui.kit.themes import config_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PLACEHOLDERS: Final[Mapping[str, str]] = {
    "dir": "where the run's outputs are",
    "item": "the name of the item under the cursor",
    "unit": "its chunk, as item@row,column, or the item",
    "input": "the source of the item",
    "output": "the output of the item",
}

_FIELD: Final = re.compile(r"\{\{|\}\}|\{([a-z]+)\}")
_BRACES: Final = {"{{": "{", "}}": "}"}
_INTERPRETER: Final = re.compile(
    r"(?:ba|da|z|k|fi|c|tc)?sh|(?:python|perl|ruby|node|php|lua|Rscript)[\d.]*"
)
_EVALUATORS: Final = frozenset({"ssh", "su", "watch", "parallel", "eval", "mosh", "awk", "gawk"})
"""Programs that take their arguments for code."""
_SCREENS: Final = frozenset(name.removeprefix("mode.") for name in KEYS if name.startswith("mode."))
_KEYS: Final = frozenset({"key", "title", "run", "confirm", "where", "terminal"})
_HINT: Final = """write for example: sh -c 'ls -l "$1"' sh {input}"""


@dataclass(frozen=True, slots=True)
class UserCommand:
    """A command.

    Attributes:
        title: its name.
        words: the program and its arguments, with placeholders.
        key: what starts it, beside the palette; "": nothing.
        confirm: whether it is asked about first.
        terminal: whether it has the terminal while it runs.
        where: names of the screens that it is for; none: all.
    """

    title: str
    words: tuple[str, ...]
    key: str = ""
    confirm: bool = False
    terminal: bool = False
    where: tuple[str, ...] = ()

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """Return the program and its arguments.

        Raises:
            ConfigError: a placeholder has no value here, or a name would be taken for an option.
        """
        found: list[str] = []
        for word in self.words:
            text = _FIELD.sub(lambda match: _value(match, values), word)
            if text.startswith("-") and not word.startswith("-") and "--" not in found:
                raise ConfigError(
                    f"{safe(self.title)}: {safe(text, limit=80)} begins as an option does",
                    hint="put -- before the placeholder, or use {input}, which is a whole path",
                )
            found.append(text)
        return found


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    name = match[1]
    if name is None:
        return _BRACES[match[0]]
    if not values.get(name):
        raise ConfigError(f"there is no {{{name}}} here: {PLACEHOLDERS[name]}")
    return values[name]


@dataclass(frozen=True, slots=True)
class UserCommands:
    """The user's commands, and sentences on what is wrong with their file."""

    commands: tuple[UserCommand, ...] = ()
    problems: tuple[str, ...] = ()


def commands_path() -> Path:
    """Return the path of the user's file of commands."""
    return config_home() / "commands.toml"


def load_commands(changes: Mapping[str, str]) -> UserCommands:
    """Read the user's commands. What cannot be used is left out, and is one problem.

    Args:
        changes: the user's keys by their ids.
    """
    path = commands_path()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return UserCommands()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return UserCommands((), (f"{path}: {safe(str(error), limit=200)}",))
    rows = data.get("command", [])
    if set(data) - {"command"} or not isinstance(rows, list):
        return UserCommands((), (f"{path}: there must be tables [[command]], and nothing else",))
    taken = {key_name(one) for name in KEYS for one in changes.get(name, KEYS[name].key).split(",")}
    taken |= MOVES
    commands: list[UserCommand] = []
    problems: list[str] = []
    for number, row in enumerate(rows, 1):
        try:
            command = _command(row)
        except ValueError as error:
            problems.append(f"{path}: command {number}: {error}")
            continue
        keys = {key_name(one) for one in command.key.split(",")} - {""}
        if keys & taken:
            problems.append(f"{path}: command {number}: the key {safe(command.key)} has a meaning")
            command = replace(command, key="")
        else:
            taken |= keys
        commands.append(command)
    return UserCommands(tuple(commands), tuple(problems))


def _command(row: object) -> UserCommand:
    """Return a command, or raise ValueError with what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError("it is no table")  # noqa: TRY004 - a sentence of many
    if strange := sorted(set(row) - _KEYS):
        raise ValueError(
            f"unknown key {safe(strange[0], limit=40)}; there are {', '.join(sorted(_KEYS))}"
        )
    texts = {name: row.get(name, "") for name in ("key", "title", "run")}
    flags = {name: row.get(name, False) for name in ("confirm", "terminal")}
    where = row.get("where", [])
    for name, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a text")  # noqa: TRY004
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false")  # noqa: TRY004
    if not isinstance(where, list) or not set(map(str, where)) <= _SCREENS:
        raise ValueError(f"where must be a list of {', '.join(sorted(_SCREENS))}")
    if not texts["title"].strip():
        raise ValueError("title is missing")
    return UserCommand(
        texts["title"].strip(),
        tuple(_words(texts["run"])),
        texts["key"].strip(),
        where=tuple(map(str, where)),
        **flags,
    )


def _words(text: str) -> Sequence[str]:
    """Split a command line, or raise ValueError with what is wrong with it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"run is no command line: {error}") from None
    if not words:
        raise ValueError("run is missing")
    named = [{match[1] for match in _FIELD.finditer(word)} - {None} for word in words]
    if named[0]:
        raise ValueError("the program must be named, not filled in")
    for name in sorted(set[str | None]().union(*named) - set(PLACEHOLDERS), key=str):
        raise ValueError(f"{{{name}}} is no placeholder; there are {', '.join(PLACEHOLDERS)}")
    for at, word in enumerate(words):
        program = PurePath(word).name
        if program in _EVALUATORS and any(named[at:]):
            raise ValueError(f"{program} takes names for code; {_HINT}")
        if _INTERPRETER.fullmatch(program) and named[_code_at(words, at)]:
            raise ValueError(f"no placeholder is filled into code for {program}; {_HINT}")
    return words


def _code_at(words: Sequence[str], at: int) -> int:
    """Return which word an interpreter takes for code; ``at`` itself, where it takes none."""
    for place in range(at + 1, len(words) - 1):
        word = words[place]
        if not word.startswith("-"):
            break
        if word.startswith("--"):
            if word in {"--eval", "--command"}:
                return place + 1
        elif "c" in word or "e" in word:
            return place + 1
    return at
