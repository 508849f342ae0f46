"""Keys of steps: ``step[2].resampling``, or ``reproject.resampling`` where there is one of them.

Steps are counted from 1, as messages count them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from geobatch_tui.config.problems import nearest
from geobatch_tui.config.sources import STEP, untyped
from geobatch_tui.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.config.chains.step_kinds import Known
    from geobatch_tui.config.job_reader import JobFile
    from geobatch_tui.config.sources import Given

_NUMBERED = re.compile(r"step\[(\d+)\]\.([\w-]+)")
_NAMED = re.compile(r"([^\W\d][\w-]*)\.([\w-]+)")


def is_step_key(key: str, steps: object) -> bool:
    """Whether ``key`` names a parameter of one of ``steps``, the list of a job."""
    if not isinstance(steps, list):
        return False
    if _NUMBERED.fullmatch(key):
        return True
    match = _NAMED.fullmatch(key)
    return match is not None and match[1] in _names(steps)


def with_value(steps: Sequence[object], given: Given, known: Known) -> list[object]:
    """Return ``steps`` with the value that ``given`` sets in one of them.

    Raises:
        ConfigError: there is no such step, or there are several of its name.
    """
    number, name = _place(steps, given.key)
    step = steps[number]
    changed = dict(step) if isinstance(step, dict) else {}
    value = given.value
    model = known.get(str(changed.get("name")))
    field = (model.field_of(name) if model else None) or name.replace("-", "_")
    for other in [key for key in changed if model and model.field_of(key) == field]:
        del changed[other]  # by another of its names
    changed[field] = untyped(str(value)) if given.raw else value
    if model is not None and model.path_mark(field):
        for found in model.found_names():  # in the other file
            changed.pop(found, None)
    if name == "use":
        changed.pop("function", None)  # which is that of the other function
    return [*steps[:number], changed, *steps[number + 1 :]]


def named(loc: Sequence[str]) -> str:
    """Return the key of a place in a checked job: ``op``, ``steps``, number, and what is in it."""
    number, inner = int(loc[2]), loc[4:5]
    return f"{STEP}[{number + 1}]" + "".join(f".{part}" for part in inner)


def unknown(loc: Sequence[str], known: Known) -> str:
    """Say that a step has no parameter of the name at such a place, and which is nearest."""
    step, name = loc[3], loc[4]
    fields = [own for own in known[step].model_fields if own != "name"]
    return f"{named(loc)}: {step} has no parameter {name!r}; {nearest(name, fields)}"


def where(file: JobFile | None, loc: Sequence[str], otherwise: str) -> str:
    """Return the line of such a place in a job file; ``otherwise`` if the list is not from it."""
    if file is None or STEP not in file.lines:  # of no file, or of a pipeline
        return otherwise
    return file.where(".".join((STEP, *loc[2:3], *loc[4:5])))


def _place(steps: Sequence[object], key: str) -> tuple[int, str]:
    match = _NUMBERED.fullmatch(key)
    if match is not None:
        number = int(match[1])
        if not 1 <= number <= len(steps):
            raise ConfigError(f"there is no step {number}; the job has {len(steps)}")
        return number - 1, match[2]
    word, _, name = key.partition(".")
    found = [number for number, own in enumerate(_names(steps)) if own == word]
    if len(found) != 1:
        many = ", ".join(f"{STEP}[{number + 1}]" for number in found)
        raise ConfigError(
            f"{word} is several steps: {many}" if found else nearest(word, _names(steps))
        )
    return found[0], name


def _names(steps: Sequence[object]) -> list[str]:
    return [_name(step) if isinstance(step, dict) else "" for step in steps]


def _name(step: Mapping[str, object]) -> str:
    """Return the name of a step; of a function of the user, what it is called."""
    return str(step.get("use", "")).rpartition(":")[2] or str(step.get("name", ""))
