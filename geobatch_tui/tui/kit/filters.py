"""The filter grammar of all lists.

Terms are separated by spaces, and all must hold:

====================  ==========================================================
``word``              the word occurs anywhere, whatever its case
``"two words"``       so does the phrase
``class:Corrupt``     the field has the text in it
``item=a.tif``        the field is the text
``attempts>2``        the number is larger; also ``<``, ``>=``, ``<=`` and ``=``
``!term``             the term does not hold
====================  ==========================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import eq, ge, gt, le, lt
from typing import Final

Row = Mapping[str, str | float]
"""Fields of a row of a list; all texts together are what a plain word is looked for in."""

ALIASES: Final[Mapping[str, str]] = {
    "exc": "class",
    "error": "class",
    "msg": "message",
    "src": "source",
    "file": "source",
    "n": "attempts",
    "tries": "attempts",
}

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ":": eq,
    "=": eq,
    ">": gt,
    "<": lt,
    ">=": ge,
    "<=": le,
}
_TERM = re.compile(r'(!?)(?:([A-Za-z_]+)(>=|<=|:|=|>|<))?("[^"]*"?|\S*)')


@dataclass(frozen=True, slots=True)
class Term:
    """A condition. ``field`` is empty for a plain word; ``value`` is in lower case."""

    field: str
    operator: str
    value: str
    number: float | None
    negated: bool

    def matches(self, row: Row) -> bool:
        """Whether the condition holds; a field that the row does not have never matches."""
        return self.holds(row) is not self.negated

    def of_field(self, field: str) -> Term:
        """Return the same condition on one field."""
        return replace(self, field=field, negated=False)

    def holds(self, row: Row) -> bool:
        """Whether the condition holds, but for its negation."""
        if not self.field:
            return any(
                isinstance(text, str) and self.value in text.lower() for text in row.values()
            )
        value = row.get(self.field)
        if value is None:
            return False
        if isinstance(value, str) or self.number is None:
            text = str(value).lower()
            return text == self.value if self.operator == "=" else self.value in text
        return _COMPARISONS[self.operator](value, self.number)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter, parsed. It is false where it lets everything pass.

    Attributes:
        text: as it was written.
        terms: all of them must hold.
        problems: sentences on terms that cannot be understood; those are left out.
    """

    text: str = ""
    terms: tuple[Term, ...] = ()
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, row: Row) -> bool:
        """Whether all terms hold for a row."""
        return all(term.matches(row) for term in self.terms)


def parse(text: str, fields: Mapping[str, str]) -> Filter:
    """Parse a filter that an operator typed; ``fields`` are names of the list's fields, each with
    its kind: ``text`` or ``number``."""
    terms: list[Term] = []
    problems: list[str] = []
    for negation, name, operator, raw in _TERM.findall(text):
        value = raw.strip('"')
        if not value:
            continue
        found = _term(bool(negation), name.lower(), operator, value, fields)
        if isinstance(found, Term):
            terms.append(found)
        else:
            problems.append(found)
    return Filter(text.strip(), tuple(terms), tuple(problems))


def _term(
    negated: bool,  # noqa: FBT001 - in the order in which it is written
    name: str,
    operator: str,
    value: str,
    fields: Mapping[str, str],
) -> Term | str:
    field = ALIASES.get(name, name)
    if name and field not in fields:
        if operator != ":":
            return f"there is no field {name}; there are {', '.join(sorted(fields))}"
        # A path, a URL or a time, not a field: a word like any other.
        name, value = "", f"{name}:{value}"
    if not name:
        return Term("", ":", value.lower(), None, negated)
    if fields[field] != "number":
        if operator not in {":", "="}:
            return f"{name} is no number"
        return Term(field, operator, value.lower(), None, negated)
    try:
        return Term(field, operator, value, float(value), negated)
    except ValueError:
        return f"{name} is a number, {value} is none"
