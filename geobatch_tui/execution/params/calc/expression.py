"""Expressions of the step *calc*: parsed to a tree, checked, and written again.

The syntax is muparser's as GDAL uses it. Nothing is evaluated here, and no name of Python's is ever
looked up: an expression is numbers, bands, operators and the functions that :data:`FUNCTIONS`
lists. The engine parses it to check a job, and a worker to compute with it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: An expression is refused beyond this many characters, nodes, levels of a tree, and brackets
#: within each other.
MOST_CHARACTERS, MOST_NODES, MOST_LEVELS, MOST_NESTED = 10_000, 1_000, 200, 100
#: The greatest number of a band.
MOST_BANDS = 65_535

#: Functions by name, with the numbers of arguments that they take, least and most.
FUNCTIONS = MappingProxyType(
    dict.fromkeys(
        (
            "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp",
            "isnan", "isnodata", "ln", "log", "log10", "log2", "rint", "sign", "sin", "sinh",
            "sqrt", "tan", "tanh",
        ),
        (1, 1),
    )
    | {"atan2": (2, 2)}
    | dict.fromkeys(("avg", "max", "min", "sum"), (1, MOST_NODES))
)  # fmt: skip
#: Functions of any number of values, which take all bands of ``X`` if *flatten* is on.
AGGREGATES = frozenset({"avg", "max", "min", "sum"})
#: Operators between two values: how tightly they bind. Equal ones are taken from the left, but for
#: ``^``.
BINARY = MappingProxyType(
    {
        "||": 1, "&&": 2, "<=": 3, ">=": 3, "!=": 3, "==": 3, "<": 3, ">": 3,
        "+": 4, "-": 4, "*": 5, "/": 5, "^": 7,
    }
)  # fmt: skip
#: How tightly a sign binds: ``-a^b`` is ``-(a^b)``, ``-a*b`` is ``(-a)*b``.
SIGN = 6
#: Names of the raster that comes in, as GDAL has them: without a name, and by one.
RASTERS = ("X", "A")
CONSTANTS = MappingProxyType(
    {"_pi": math.pi, "_e": math.e, "nan": math.nan, "NaN": math.nan, "NAN": math.nan}
)
#: Values that differ from pixel to pixel, or from raster to raster.
NODATA, CENTER_X, CENTER_Y = "NODATA", "_CENTER_X_", "_CENTER_Y_"
PLACES = (NODATA, CENTER_X, CENTER_Y)

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:"
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>\|\||&&|<=|>=|!=|==|[-+*/^<>!?:,()\[\]=])"
    r"|(?P<end>\Z)"
    r"|(?P<other>.))",
    re.DOTALL,
)
_BAND = re.compile(r"b([1-9][0-9]{0,4})")


class ExpressionError(ValueError):
    """An expression that cannot be computed: what is wrong with it, and in which column."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as it was written."""

    value: float


@dataclass(frozen=True, slots=True)
class Band:
    """A band of the raster that comes in, from 1; 0 for ``X``, which is each band in turn."""

    number: int


@dataclass(frozen=True, slots=True)
class SideBand:
    """A band of the raster ``name`` beside what comes in, from 1; 0 for its name alone."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Place:
    """A value by name, one of :data:`PLACES`."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or a function with what it works on; ``?`` has three operands, ``neg`` and ``!``
    have one."""

    name: str
    operands: tuple[Node, ...]
    levels: int = field(compare=False)

    @classmethod
    def of(cls, name: str, *operands: Node) -> Operation:
        """Return the operation; it knows how high its tree is."""
        return cls(name, operands, 1 + max(map(levels_of, operands)))


type Node = Number | Band | SideBand | Place | Operation


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. ``rasters``: names that it gives to the raster that comes in."""

    tree: Node
    rasters: frozenset[str]

    def nodes(self) -> Iterator[Node]:
        """Return all parts of the tree."""
        return walk(self.tree)


def parse(text: str, names: Collection[str] = ()) -> Expression:
    """Parse an expression; ``names`` are those of rasters beside what comes in. Raises
    ExpressionError, with the column."""
    return _Parser(text, names).expression()


def walk(tree: Node) -> Iterator[Node]:
    """Return all parts of a tree, the whole first."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Operation):
            waiting += node.operands


def levels_of(node: Node) -> int:
    """Return the height of a tree."""
    return node.levels if isinstance(node, Operation) else 1


class _Parser:
    """Reads one expression, token by token (Pratt 1973)."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text, self.names = text, names
        self.column = 1
        self.kind, self.word = "end", ""
        self.next_at = 0
        self.nodes = 0
        self.nested = 0
        self.rasters: set[str] = set()

    def expression(self) -> Expression:
        if len(self.text) > MOST_CHARACTERS:
            raise ExpressionError(
                f"an expression of {len(self.text):,} characters; at most {MOST_CHARACTERS:,}"
            )
        self._advance()
        if self.kind == "end":
            raise ExpressionError("an expression is empty")
        tree = self._conditional()
        if self.kind != "end":
            raise self._unexpected("an operator")
        return Expression(tree, frozenset(self.rasters))

    # --- tokens --------------------------------------------------------------------------------

    def _advance(self) -> None:
        found = _TOKEN.match(self.text, self.next_at)
        if found is None:  # any character matches
            raise self._error("it cannot be read")
        self.kind = str(found.lastgroup)
        self.word = found[self.kind]
        self.column, self.next_at = found.start(self.kind) + 1, found.end()
        if self.kind == "other":
            raise self._error(f"{self.word!r} has no meaning here")

    def _take(self, sign: str, what: str) -> None:
        if self.word != sign:
            raise self._unexpected(what)
        self._advance()

    def _error(self, said: str, column: int = 0) -> ExpressionError:
        column = column or self.column
        start = max(0, min(column - 30, len(self.text) - 60))
        text = self.text[start : start + 60]
        text = f"{'...' * (start > 0)}{text}{'...' * (start + 60 < len(self.text))}"
        return ExpressionError(f'"{text}", column {column}: {said}')

    def _unexpected(self, wanted: str) -> ExpressionError:
        if self.kind == "end":
            return self._error(f"it ends where {wanted} is missing")
        if self.word == "=":
            return self._error('"=" is no operator; "==" compares')
        if self.word == ",":
            return self._error("a comma stands between arguments of a function only")
        return self._error(f"{self.word[:30]!r} stands where {wanted} is missing")

    # --- the tree ------------------------------------------------------------------------------

    def _made(self, node: Node, column: int) -> Node:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self._error(f"more than {MOST_NODES:,} operands and operators", column)
        if levels_of(node) > MOST_LEVELS:
            raise self._error(
                f"more than {MOST_LEVELS} operations that wait for each other; sum(...) adds many "
                "values, and reclassify maps many classes",
                column,
            )
        return node

    def _deeper(self) -> None:
        self.nested += 1
        if self.nested > MOST_NESTED:
            raise self._error(f"more than {MOST_NESTED} brackets and signs within each other")

    def _conditional(self) -> Node:
        self._deeper()
        condition = self._binary(1)
        if self.word == "?":
            column = self.column
            self._advance()
            then = self._conditional()
            self._take(":", '":" of "? :"')
            other = self._conditional()
            condition = self._made(Operation.of("?", condition, then, other), column)
        self.nested -= 1
        return condition

    def _binary(self, least: int) -> Node:
        left = self._signed()
        while BINARY.get(self.word, 0) >= least:
            name, column = self.word, self.column
            self._advance()
            if name == "^":
                self._deeper()
            right = self._binary(BINARY[name] + (name != "^"))
            self.nested -= name == "^"
            left = self._made(Operation.of(name, left, right), column)
        return left

    def _signed(self) -> Node:
        if self.word not in {"-", "+", "!"}:
            return self._operand()
        sign, column = self.word, self.column
        self._advance()
        self._deeper()
        inner = self._binary(SIGN + 1)
        self.nested -= 1
        if sign == "+":
            return inner
        if sign == "-" and isinstance(inner, Number):
            return Number(-inner.value)
        return self._made(Operation.of("neg" if sign == "-" else "!", inner), column)

    def _operand(self) -> Node:
        kind, word, column = self.kind, self.word, self.column
        if kind == "number":
            self._advance()
            value = float(word)
            if math.isinf(value):
                raise self._error(f"{word[:30]} is more than a float64 holds", column)
            return self._made(Number(value), column)
        if kind == "name":
            self._advance()
            return self._called(word, column) if self.word == "(" else self._named(word, column)
        if word == "(":
            self._advance()
            inner = self._conditional()
            self._take(")", '")"')
            return inner
        raise self._unexpected("a value")

    def _called(self, name: str, column: int) -> Node:
        if name not in FUNCTIONS:
            raise self._unknown("function", name, column, list(FUNCTIONS))
        self._advance()
        operands: list[Node] = []
        while self.word != ")" or operands:
            operands.append(self._conditional())
            if self.word != ",":
                break
            self._advance()
        self._take(")", '"," or ")"')
        least, most = FUNCTIONS[name]
        if not least <= len(operands) <= most:
            wanted = "at least one value" if most > least else "one value"
            wanted = "two values" if least == 2 else wanted
            raise self._error(f"{name} takes {wanted}, not {len(operands)}", column)
        if name == "isnodata" and not isinstance(operands[0], Band | SideBand):
            raise self._error("isnodata takes a band, as isnodata(b1)", column)
        return self._made(Operation.of("log" if name == "ln" else name, *operands), column)

    def _named(self, name: str, column: int) -> Node:
        if name in CONSTANTS:
            return self._made(Number(CONSTANTS[name]), column)
        if name in PLACES:
            return self._made(Place(name), column)
        if name in self.names:
            number = self._index() if self.word == "[" else 0
            return self._made(SideBand(name, number), column)
        if name in RASTERS:
            self.rasters.add(name)
            return self._made(Band(self._index() if self.word == "[" else 0), column)
        if found := _BAND.fullmatch(name):
            if self.word == "[":
                raise self._error(f"{name} is a band; X[2] is band 2 of the raster")
            if int(found[1]) <= MOST_BANDS:
                return self._made(Band(int(found[1])), column)
        if self.word == "[" or re.fullmatch("[B-Z]", name):
            raise self._error(
                f"there is no raster {name[:30]!r}: X is what the step before it gives, and "
                "inputs names others",
                column,
            )
        if name in FUNCTIONS:
            raise self._error(f"{name} is a function: {name}(...)", column)
        raise self._unknown("value", name, column, ["b1", *RASTERS, *CONSTANTS, *PLACES])

    def _index(self) -> int:
        self._advance()
        word, column = self.word, self.column
        if not re.fullmatch("[1-9][0-9]{0,4}", word) or int(word) > MOST_BANDS:
            raise self._error("bands are counted from 1, as X[1]", column)
        self._advance()
        self._take("]", '"]"')
        return int(word)

    def _unknown(self, kind: str, name: str, column: int, known: list[str]) -> ExpressionError:
        said = f"there is no {kind} {name[:30]!r}"
        exact = [one for one in known if one.lower() == name.lower()]
        if kind == "value" and _BAND.fullmatch(name.lower()):
            exact = [name.lower()]
        near = exact or get_close_matches(name[:30], known, 1)
        if near:
            return self._error(f"{said}; did you mean {near[0]!r}?", column)
        bands = "bands are b1, b2 and so on" if kind == "value" else ", ".join(known)
        return self._error(f"{said}; {bands}", column)
