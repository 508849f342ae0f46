"""Colour themes: those that ship, and the user's own files, which are read again when changed."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

import geobatch_tui
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

DEFAULT: Final = "night"

#: For themes that do not name them, such as Textual's own: states of chunks, a ramp for figures
#: from low to high, and text that stays in the background.
DEFAULTS: Final[Mapping[str, str]] = {
    "chunk-wait": "#6b7785",
    "chunk-run": "#4f9cf0",
    "chunk-done": "#46a06f",
    "chunk-dead": "#e5566a",
    "chunk-retry": "#d79a2b",
    "ramp-1": "#2f5f96",
    "ramp-2": "#2f8a9c",
    "ramp-3": "#5aa874",
    "ramp-4": "#c79a2c",
    "ramp-5": "#e5663f",
    "quiet": "#7f8a97",
}

_COLORS: Final = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "boost",
    "success",
    "warning",
    "error",
)
_SCALARS: Final = {
    "name": str,
    "dark": bool,
    "ansi": bool,
    "luminosity_spread": float,
    "text_alpha": float,
}


_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_LONGEST: Final = 200  #: characters of a name
_SHARE: Final = re.compile(r"\s\d{1,3}%$")
_STYLES: Final = frozenset({"none", "not", "bold", "b", "italic", "i", "underline", "u", "reverse"})


@dataclass(frozen=True, slots=True)
class BadTheme:
    """A theme file that cannot be used, and why."""

    path: Path
    reason: str


def shipped() -> Path:
    """Return the directory of the themes that ship: inside a package, or beside it in a clone."""
    package = Path(geobatch_tui.__file__).parent
    inside = package / "themes"
    return inside if inside.is_dir() else package.parent / "themes"


def config_home() -> Path:
    """Return the directory of the user's own configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "geobatch"


def user_themes() -> Path:
    """Return the directory of the user's own themes."""
    return config_home() / "themes"


def first(names: Collection[str], kept: str = "") -> str:
    """Return the theme to begin with: the one that TEXTUAL_THEME names, else the one that was
    chosen last, else the default."""
    wanted = os.environ.get("TEXTUAL_THEME", "")
    return next((name for name in (wanted, kept) if name in names), DEFAULT)


def kept(file: Path) -> str:
    """Return the theme that was chosen last, by the file that keeps it; "": none."""
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.readline(_LONGEST).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def keep(file: Path, name: str) -> None:
    """Keep the choice of a theme; a home that cannot be written is no error."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(f"{name}\n", encoding="utf-8")


def load_all() -> tuple[list[Theme], list[BadTheme]]:
    """Load the themes that ship, then the user's, which replace those of the same name."""
    found: dict[str, Theme] = {}
    bad: list[BadTheme] = []
    for path in (*_files(shipped()), *_files(user_themes())):
        theme = load(path)
        if isinstance(theme, BadTheme):
            bad.append(theme)
        else:
            found[theme.name] = theme
    return list(found.values()), bad


def stamps() -> dict[Path, int]:
    """Return the modification times of the user's theme files."""
    found = {}
    for path in _files(user_themes()):
        try:
            found[path] = path.stat().st_mtime_ns
        except OSError:
            continue
    return found


def _files(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from sorted(directory.glob("*.toml"))


def load(path: Path) -> Theme | BadTheme:
    """Read one theme file; never raises for what is in it."""
    try:
        return _theme(tomllib.loads(path.read_text(encoding="utf-8")), path.stem)
    except (OSError, UnicodeDecodeError) as error:
        return BadTheme(path, f"cannot be read: {error}")
    except tomllib.TOMLDecodeError as error:
        return BadTheme(path, f"is no TOML: {error}")
    except ValueError as error:
        return BadTheme(path, str(error))


def _theme(data: dict[str, Any], stem: str) -> Theme:
    colors = _table(data, "colors")
    variables = _table(data, "variables")
    for key, value in data.items():
        kind = _SCALARS.get(key)
        if kind is None:
            raise ValueError(f"unknown key {safe(key, limit=40)}; there are {_listed(_SCALARS)}")
        if not isinstance(value, kind):
            raise ValueError(f"{key} must be of type {kind.__name__}")  # noqa: TRY004
    if "primary" not in colors:
        raise ValueError("colors.primary is missing")
    if strange := sorted(set(colors).difference(_COLORS)):
        raise ValueError(f"unknown colors {_listed(strange)}; there are {_listed(_COLORS)}")
    for name, value in colors.items():
        _check_color(f"colors.{name}", value)
    for name, value in variables.items():
        _check_variable(name, value)
    if data.get("ansi"):
        # Textual's style sheets ask for names that only themes of this kind have.
        base = BUILTIN_THEMES["ansi-dark" if data.get("dark", True) else "ansi-light"]
        variables = base.variables | variables
    return Theme(**{"name": stem, **data, **colors}, variables=variables)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(safe(name, limit=40) for name in names)


def _table(data: dict[str, Any], name: str) -> dict[str, str]:
    table = data.pop(name, {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError(f"[{name}] must be a table of texts")
    return table


def _check_variable(name: str, value: str) -> None:
    """Raise ValueError for a value that style sheets cannot take: used there, it ends the
    console."""
    where = f"variables.{safe(name, limit=60)}"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{where} is no name")
    if name.endswith("-style"):
        if not set(value.split()) <= _STYLES:
            raise ValueError(f"{where} is no text style: {safe(value, limit=40)}")
        return
    color = _SHARE.sub("", value).strip()
    if color != "auto":
        _check_color(where, color)


def _check_color(name: str, value: str) -> None:
    try:
        Color.parse(value)
    except ColorParseError:
        raise ValueError(f"{name} is no color: {safe(value, limit=40)}") from None
