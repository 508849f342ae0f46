"""Problems of a configuration: every one of a load, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.redact import redact_value
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

MEANT = "did you mean '"
_LONGEST_VALUE = 80
_EXPECTED = {
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table of names and values",
    "model_type": "must be a table",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "too_long": "has too many values",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "must be {} or more"),
    "greater_than": ("gt", "must be more than {}"),
    "less_than_equal": ("le", "must be {} or less"),
    "less_than": ("lt", "must be less than {}"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: ``where`` as ``job.toml:12``, the dotted ``key`` or "", and what is wrong."""

    where: str
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (safe(self.where), self.text)))


class InvalidJobError(ConfigError):
    """A job cannot be loaded; ``problems`` lists all that is wrong, one line each."""

    default_hint = "`geobatch config schema` lists every key and what it takes"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        hint = ""
        if any(problem.text == "output.dir is missing" for problem in self.problems):
            hint = "say where the outputs go: --output DIR"
        elif any(problem.key == "pipeline" for problem in self.problems):
            hint = "`geobatch ops` lists the steps, `geobatch ops STEP` the parameters of one"
        super().__init__("\n".join(map(str, self.problems)), hint=hint)


def nearest(word: str, known: Iterable[str], *, show: int = 8) -> str:
    """Say what may be meant by ``word``: the nearest known word, else the known ones."""
    names = sorted(known)
    near = get_close_matches(word, names, 1)
    if near:
        return f"{MEANT}{near[0]}'?"
    if not names:
        return ""
    return f"known: {', '.join(names[:show])}{' and more' if len(names) > show else ''}"


def show_value(key: str, value: object) -> str:
    """Write a value as a message shows it: on one line, short, without credentials."""
    name = key.rpartition(".")[2]
    clean = redact_value(value, name)
    if isinstance(clean, bool):
        return "true" if clean else "false"
    text = f'"{clean}"' if isinstance(clean, str) else str(clean)
    return safe(text, _LONGEST_VALUE)


def describe(key: str, details: Sequence[ErrorDetails], value: object) -> str:
    """Say the pydantic errors of a key in plain words: the key, its value, and what is allowed.

    A value that may be of several types has an error for each.
    """
    if details[0]["type"] == "missing" and not isinstance(details[0]["loc"][-1], int):
        return f"{key} is missing"
    texts = list(dict.fromkeys(map(_allowed, details)))
    if "." not in key:  # a whole section, whose values follow from no single line
        return f"{key}: {', or '.join(texts)}"
    return f"{key} = {show_value(key, value)}: {', or '.join(texts)}"


def _allowed(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        return f"must be one of {context['expected']}{_meant(detail)}"
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return text.format(context[name])
    if kind == "value_error":
        return safe(str(context["error"]))
    if kind == "missing":
        return "has too few values"
    if kind == "string_too_short" or (kind == "too_short" and not detail["input"]):
        return "must not be empty"
    return _EXPECTED.get(kind) or safe(detail["msg"])


def _meant(detail: ErrorDetails) -> str:
    """Suggest the allowed word that is nearest, whatever its case."""
    expected = detail["ctx"]["expected"].replace(" or ", ", ")
    folded = {word.strip("' ").lower(): word.strip("' ") for word in expected.split(",")}
    near = get_close_matches(str(detail["input"]).lower(), folded, 1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
