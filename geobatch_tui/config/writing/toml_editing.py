"""Changes values of a job file in TOML where they stand: comments, order and the rest stay.

By tomlkit, which keeps every character that it need not change; what comes out is read again by
``tomllib`` and compared with what was meant.
"""

from __future__ import annotations

import copy
import tomllib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tomlkit import TOMLDocument
    from tomlkit.items import Item

type _Table = dict[str, Any]
_STEP: Final = "step"


def edited_toml(
    text: str, changes: Mapping[str, object], steps: Sequence[_Table] | None = None
) -> str | None:
    """Return a job file with other values; None: it cannot be done without writing it anew.

    Args:
        text: of the job file, which is valid.
        changes: values by ``section.key``; None takes the key out.
        steps: those of a chain, in place of the file's; None: they stay.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    meant = tomllib.loads(text)
    try:
        document = tomlkit.parse(text)
        for key, value in changes.items():
            section, _, name = key.partition(".")
            _put(document, section, name, value)
            _mean(meant, section, name, value)
        if steps is not None and not _put_steps(document, meant, steps):
            return None
        written = document.as_string()
        return written if tomllib.loads(written) == meant else None
    except (TOMLKitError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return None  # a form of TOML that tomlkit does not take apart


def _mean(meant: _Table, section: str, name: str, value: object) -> None:
    table = meant.setdefault(section, {}) if value is not None else meant.get(section, {})
    if value is None:
        table.pop(name, None)
    else:
        table[name] = copy.deepcopy(value)


def _put(document: TOMLDocument, section: str, name: str, value: object) -> None:
    import tomlkit

    if value is None:
        if section in document and name in document[section]:
            del document[section][name]
        return
    if section not in document:
        document.add(tomlkit.nl())
        document.add(section, tomlkit.table())
    _assign(document[section], name, value)


def _assign(table: Any, name: str, value: object) -> None:
    """Set a value; a table that is there is changed key by key."""
    old = table.get(name)
    if isinstance(value, dict) and hasattr(old, "keys"):
        for key in [key for key in old if key not in value]:
            del old[key]
        for key, inner in value.items():
            if old.get(key) != inner:
                _assign(old, key, inner)
    else:
        table[name] = _item(value)


def _item(value: object) -> Item:
    """Return a value as TOML on one line."""
    import tomlkit

    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, inner in value.items():
            table.append(key, _item(inner))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        for inner in value:
            array.append(_item(inner))
        return array
    return tomlkit.item(value)


def _put_steps(document: TOMLDocument, meant: _Table, steps: Sequence[_Table]) -> bool:
    """Change the tables of steps; whether the file has any. One that stays keeps its comments."""
    import tomlkit

    inside = _STEP not in document
    holder: Any = document.get("op", {}) if inside else document
    name = f"{_STEP}s" if inside else _STEP
    old = holder.get(name)
    if not isinstance(old, tomlkit.items.AoT) or not steps:
        return False
    tables = [*old.body]
    new = tomlkit.aot()
    for step in steps:
        table = _taken(tables, step)
        for key in [key for key in table if key not in step]:
            del table[key]
        for key, value in step.items():
            if table.get(key) != value:
                _assign(table, key, value)
        new.append(table)
    holder[name] = new
    place = meant["op"] if inside else meant
    place[name] = [copy.deepcopy(dict(step)) for step in steps]
    return True


def _taken(tables: list[Any], step: _Table) -> Any:
    """Take the table of a step out of those that are left: an equal one, else one of the same step
    with other values, else a new one."""
    import tomlkit

    def is_alike(table: Any) -> bool:
        return all(table.get(key) == step.get(key) for key in ("name", "use"))

    for fits in (lambda table: table.unwrap() == step, is_alike):
        for number, table in enumerate(tables):
            if fits(table):
                return tables.pop(number)
    return tomlkit.table()
