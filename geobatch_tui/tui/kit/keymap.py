"""Every key of the console: one registry, so that one key means one thing everywhere.

UPPERCASE changes the job, lowercase only the view. A user's file moves keys by their ids::

    # ~/.config/geobatch/keys.toml
    [keys]
    "job.pause" = "ctrl+p"
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from textual.binding import Binding

from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit.themes import config_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Key:
    """A key: what it is by default, its short name in the footer, and what it does."""

    key: str
    name: str
    help: str
    display: str | None = None


KEYS: Final[Mapping[str, Key]] = {
    "mode.run": Key("1", "Run", "The run at a glance"),
    "mode.map": Key("2", "Map", "Every chunk in its place"),
    "mode.dead": Key("3", "Dead", "Dead letters, with their evidence"),
    "mode.log": Key("4", "Log", "The log of the run"),
    "mode.history": Key("5", "History", "Earlier runs"),
    "mode.config": Key("6", "Config", "The job's configuration"),
    "mode.units": Key("7", "Units", "Chunks and items, sorted by what they cost"),
    "palette": Key("colon,ctrl+p", "Commands", "Find any command by its name", ":"),
    "jump": Key("ctrl+o", "Jump", "Go to a screen, a run or a chunk", "^o"),
    "trail.back": Key("left_square_bracket", "Back", "The screen before", "["),
    "trail.forward": Key("right_square_bracket", "Forward", "The screen after", "]"),
    "whole": Key("0", "Whole", "One panel whole, the next, or all"),
    "help": Key("question_mark,f1", "Help", "The keys that work here", "?"),
    "filter": Key("slash", "Filter", "Show only what matches", "/"),
    "faults": Key("z", "Faults", "Show only what went wrong"),
    "freeze": Key("p", "Freeze", "Hold the picture still; the run goes on"),
    "job.pause": Key("P", "Pause", "Start no new chunks, or go on", "P"),
    "workers.more": Key("plus", "More workers", "One worker more", "+"),
    "workers.less": Key("minus", "Fewer workers", "One worker less", "-"),
    "mark": Key("space", "Mark", "Mark or unmark"),
    "mark.range": Key("v", "Range", "Mark a range"),
    "mark.all": Key("a", "All", "Mark all that are shown"),
    "group": Key("g", "Group", "Group, or list one by one"),
    "sort": Key("s", "Sort", "Sort by the next column"),
    "sort.reverse": Key("b", "Backwards", "Sort the other way round"),
    "retry": Key("R", "Retry", "Try dead letters again", "R"),
    "retry.with": Key("A", "Retry with", "Try again with changes", "A"),
    "split": Key("S", "Split", "Split 2x2 and try again", "S"),
    "dismiss": Key("X", "Dismiss", "Dismiss with a note", "X"),
    "copy": Key("y", "Copy", "Copy the selection, or what reproduces it"),
    "run.clone": Key("c", "Clone", "Make a job out of the run's"),
    "job.new": Key("ctrl+n", "New", "A new job, from an example", "^n"),
    "job.read": Key("ctrl+l", "Load", "Read a job file", "^l"),
    "job.plan": Key("f5", "Plan", "What the job would do, what it makes stale"),
    "job.try": Key("d", "Dry run", "Run nine chunks in a scratch directory"),
    "job.toml": Key("t", "TOML", "The form, or the job file that it makes"),
    "job.diff": Key("equals_sign", "Differences", "What differs from file and last run", "="),
    "step.add": Key("i,insert", "Add step", "Add a step to the chain, above the cursor", "i"),
    "step.remove": Key("x,delete", "Remove", "Remove the step from the chain", "x"),
    "step.copy": Key("ctrl+d", "Double", "Put the step into the chain twice", "^d"),
    "step.up": Key("left_curly_bracket,shift+up", "Up", "Move the step up in the chain", "{"),
    "step.down": Key("right_curly_bracket,shift+down", "Down", "Move the step down", "}"),
    "step.result": Key("r", "Result", "What the step gives, of one chunk"),
    "undo": Key("ctrl+z", "Undo", "Take the last edit back", "^z"),
    "note": Key("comma", "Note", "A note of your own", ","),
    "replay": Key("t", "Replay", "Watch the run again, in twenty seconds"),
    "run.start": Key("ctrl+r", "Run", "Run this job, or go on with it", "^r"),
    "map.show": Key("o", "On map", "Show it on the map"),
    "map.mode": Key("m", "Mode", "What the map shows"),
    "detail.less": Key("less_than_sign", "Less", "Less detail", "<"),
    "detail.more": Key("greater_than_sign", "More", "More detail", ">"),
    "next": Key("n", "Next", "The next one of its kind"),
    "previous": Key("N", "Previous", "The previous one of its kind", "N"),
    "follow": Key("f", "Follow", "Follow the end"),
    "wrap": Key("w", "Wrap", "Wrap long lines"),
    "units": Key("u", "Units", "Other units"),
    "editor": Key("e", "Editor", "Open in $EDITOR or $PAGER"),
    "export": Key("ctrl+s", "Save", "Save or export what is shown", "^s"),
    "open": Key("enter", "Open", "Open what the cursor is on"),
    "back": Key("escape", "Back", "Back, or close", "esc"),
    "detach": Key("q", "Quit", "Leave the console"),
    "job.stop": Key("Q", "Stop now", "End the run at once", "Q"),
}
"""All keys by their ids. An id stays; its key is the user's to change."""


CHANGES: Final = frozenset(
    {"job.pause", "job.stop", "workers.more", "workers.less", "retry", "retry.with", "split"}
    | {"dismiss", "run.clone", "run.start"}
)
"""What a read-only console does not have."""

MOVES: Final = frozenset(
    {
        *("up", "down", "left", "right", "k", "j", "h", "l"),
        *("pageup", "pagedown", "home", "end", "G", "tab", "shift+tab"),
    }
)
"""Keys that move the cursor in every list and on the map, and are nobody's to change."""


def bind(
    identifier: str,
    action: str,
    *,
    show: bool = True,
    name: str = "",
    does: str = "",
    first: bool = False,
) -> Binding:
    """A binding of a key of the registry; with a name of its own in the footer, and what it does in
    the help, if there are words that fit better there. ``first``: it acts before keys behind it are
    handed to the widget that has the focus. Raises KeyError for an unknown id."""
    key = KEYS[identifier]
    return Binding(
        key.key,
        action,
        name or key.name,
        show=show,
        key_display=key.display,
        tooltip=does or key.help,
        id=identifier,
        priority=first,
    )


@dataclass(frozen=True, slots=True)
class Keymap:
    """The user's keys: ``changes`` by id, and sentences on what is wrong with them."""

    changes: Mapping[str, str]
    problems: tuple[str, ...] = ()


def keymap_path() -> Path:
    """Return the path of the user's file of keys."""
    return config_home() / "keys.toml"


def load_keymap(path: Path | None = None) -> Keymap:
    """Read the user's keys. A file that cannot be used changes nothing and is one problem."""
    path = path or keymap_path()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Keymap({})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Keymap({}, (f"{path}: {safe(str(error), limit=200)}",))
    table = data.get("keys", {})
    if not isinstance(table, dict) or set(data) - {"keys"}:
        return Keymap({}, (f"{path}: there must be one table, [keys]",))
    problems = [
        f"{path}: there is no key {safe(name, limit=60)}" for name in table if name not in KEYS
    ]
    problems += [
        f"{path}: {name} must be a text"
        for name, value in table.items()
        if not isinstance(value, str)
    ]
    changes = {
        name: value.strip()
        for name, value in table.items()
        if name in KEYS and isinstance(value, str) and value.strip()
    }
    return Keymap(changes, (*problems, *conflicts(changes)))


def conflicts(changes: Mapping[str, str]) -> list[str]:
    """Return sentences about keys that would have two meanings after ``changes``."""
    users: dict[str, list[str]] = defaultdict(list)
    for key in MOVES:
        users[key].append("a move of the cursor")
    for name, entry in KEYS.items():
        for one in changes.get(name, entry.key).split(","):
            users[key_name(one)].append(name)
    return [
        f"the key {safe(key, limit=40)} means {' and '.join(names)}"
        for key, names in users.items()
        if len(names) > 1 and not set(names) <= _APART
    ]


#: They may have one key, as they are never on one screen.
_APART: Final = frozenset({"job.toml", "replay"})


def key_name(text: str) -> str:
    """Return Textual's name of a key, for which a sign may stand."""
    return _NAMES.get(text.strip(), text.strip())


_NAMES: Final = {
    ":": "colon",
    "?": "question_mark",
    "/": "slash",
    "+": "plus",
    "-": "minus",
    "<": "less_than_sign",
    ">": "greater_than_sign",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
    "{": "left_curly_bracket",
    "}": "right_curly_bracket",
    "=": "equals_sign",
    ",": "comma",
}

SIGNS: Final = frozenset(_NAMES.values())
"""Keys that are typed, though not by a letter or digit."""
