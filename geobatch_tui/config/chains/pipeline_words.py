"""Splits the text of a pipeline into words, and the words into steps; knows where each stands."""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.config.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A pipeline is typed by a person or written by a program; none is so long.
MOST_CHARACTERS = 1 << 17
_BARS = frozenset({"!", "|"})
_NUMBER = re.compile(r"-(?:\d|\.\d|inf\b|nan\b).*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as GDAL gets it, without quotes.

    Attributes:
        at: its place, for messages: ``column 12``.
        bare: nothing of it was in quotes, so ``!`` is what ends a step.
        inner: the words between ``[`` and ``]`` that it stands for, a pipeline in a pipeline.
    """

    text: str
    at: str
    bare: bool = True
    inner: tuple[Word, ...] | None = None

    @property
    def is_bar(self) -> bool:
        """Whether it stands between two steps."""
        return self.bare and self.text in _BARS

    @property
    def is_option(self) -> bool:
        """Whether it names an argument; a negative number does not."""
        return len(self.text) > 1 and self.text[0] == "-" and _NUMBER.fullmatch(self.text) is None


@dataclass(slots=True)
class Complaints:
    """What is wrong with a pipeline, and what differs from GDAL; ``where`` is its origin."""

    where: str
    problems: list[Problem]
    warnings: list[str]

    def refuse(self, text: str, word: Word | None = None) -> None:
        place = self.where if word is None else f"{self.where}: {word.at}"
        self.problems.append(Problem(place, "pipeline", text))

    def warn(self, text: str) -> None:
        self.warnings.append(f"{self.where}: {text}")


def words_of(text: str, complaints: Complaints) -> list[Word]:
    """Split ``text`` at blanks, as a shell does: words in quotes may hold blanks and bars."""
    if len(text) > MOST_CHARACTERS:
        complaints.refuse(f"{len(text):,} characters are too many for a pipeline")
        return []
    stream = io.StringIO(text)
    lexer = shlex.shlex(stream, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found = []
    end = 0
    try:
        while (token := lexer.get_token()) is not None:
            start = end + len(text[end:]) - len(text[end:].lstrip(lexer.whitespace))
            end = stream.tell()
            raw = text[start:end].strip(lexer.whitespace)
            found.append(Word(token, _place(text, start), raw == token))
    except ValueError:
        complaints.refuse("a quotation mark is not closed, or the last character is a backslash")
        return []
    return found


def with_nested(words: Sequence[Word], complaints: Complaints) -> list[Word]:
    """Return ``words`` with those from ``[`` to ``]`` as one; there is one level of them."""
    found: list[Word] = []
    start: Word | None = None
    inner: list[Word] = []
    for word in words:
        bracket = word.text if word.bare and word.text in {"[", "]"} else ""
        if bracket == "[" and start is not None:
            complaints.refuse("a pipeline in one that is in another is not run", word)
            return found
        if bracket == "]" and start is None:
            complaints.refuse("this ] closes no pipeline", word)
            return found
        if bracket == "[":
            start, inner = word, []
        elif bracket == "]" and start is not None:
            found.append(Word("[ ... ]", start.at, inner=tuple(inner)))
            start = None
        elif start is not None:
            inner.append(word)
        else:
            found.append(word)
    if start is not None:
        complaints.refuse("this pipeline is not closed by ]", start)
    return found


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position)
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"line {line + 1}, column {column}" if "\n" in text.strip() else f"column {column}"


def segments(words: Sequence[Word], complaints: Complaints) -> list[list[Word]]:
    """Split words at ``!`` and ``|``; one before the first step and behind the last may stand."""
    found: list[list[Word]] = [[]]
    for number, word in enumerate(words):
        if not word.is_bar:
            found[-1].append(word)
            continue
        if not found[-1] and number:
            complaints.refuse(f"there is no step before this {word.text!r}", word)
        if found[-1]:
            found.append([])
    return [segment for segment in found if segment]


@dataclass(frozen=True, slots=True)
class Argument:
    """A word that names an argument: ``name`` without its dashes, with its value if that came with
    it (``--name=value``)."""

    name: str
    value: str | None
    word: Word

    @property
    def shown(self) -> str:
        return f"{'-' if len(self.name) == 1 else '--'}{self.name}"


def argument_of(word: Word) -> Argument:
    """Read a word that is an option."""
    name, equals, value = word.text.partition("=")
    return Argument(name.lstrip("-"), value if equals else None, word)
