"""Finds the line on which each key of a TOML text stands.

``tomllib`` says nothing of positions, so this walks the text a second time. It relies on
``tomllib`` having accepted the text: it skips values, it does not check them.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
#: Texts, in which ``#`` begins no comment, and comments.
TEXT_OR_COMMENT = re.compile(rf"{_STRING.pattern}|#[^\n]*", re.DOTALL)
_SCALAR = re.compile(r"[^\s,\]}#][^,\]}#\n]*")


def key_lines(text: str) -> dict[str, int]:
    """Return the line numbers, from 1, of all keys and tables of ``text``, by dotted key.

    Keys of inline tables count as keys. A key in an array of tables has the table's number, from
    0, in it: ``step.1.name``.
    """
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[str, int] = {}
        self.counted, self.line = 0, 1

    def run(self) -> dict[str, int]:
        table: tuple[str, ...] = ()
        tables: Counter[tuple[str, ...]] = Counter()
        self._blank()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                start = self.at
                is_array = self.text.startswith("[[", start)
                self.at += 2 if is_array else 1
                table = self._key(())
                if is_array:
                    number, tables[table] = tables[table], tables[table] + 1
                    table = (*table, str(number))
                self._mark(table, start)
                self.at = self.text.index("]", self.at)
                while self.text.startswith("]", self.at):
                    self.at += 1
            else:
                self._pair(table)
            self._blank()
        return self.lines

    def _blank(self) -> None:
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]

    def _mark(self, key: tuple[str, ...], position: int) -> None:
        self.line += self.text.count("\n", self.counted, position)
        self.counted = position
        for depth in range(1, len(key) + 1):
            self.lines.setdefault(".".join(key[:depth]), self.line)

    def _key(self, prefix: tuple[str, ...]) -> tuple[str, ...]:
        """Read a dotted key, and leave the position behind it."""
        parts = list(prefix)
        while True:
            self._blank()
            match = _PART.match(self.text, self.at)
            if match is None:
                raise ValueError(f"no key at offset {self.at}")
            self.at = match.end()
            word = match[0]
            parts.append(str(tomllib.loads(f"k = {word}")["k"]) if word[0] in "\"'" else word)
            self._blank()
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def _pair(self, table: tuple[str, ...]) -> None:
        self._blank()
        start = self.at
        key = self._key(table)
        self._mark(key, start)
        self.at += 1  # the equals sign
        self._value(key)

    def _value(self, key: tuple[str, ...]) -> None:
        self._blank()
        opening = self.text[self.at]
        if opening == "{":
            self._group("}", lambda: self._pair(key))
        elif opening == "[":
            self._group("]", lambda: self._value(key))
        else:
            match = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            if match is None:
                raise ValueError(f"no value at offset {self.at}")
            self.at = match.end()

    def _group(self, closing: str, entry: Callable[[], None]) -> None:
        """Read the entries of an array or inline table, with its brackets."""
        self.at += 1
        self._blank()
        while self.text[self.at] != closing:
            entry()
            self._blank()
            if self.text[self.at] == ",":
                self.at += 1
                self._blank()
        self.at += 1
