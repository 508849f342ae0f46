"""Programs of the step *calc*: expressions as a list of operations on registers.

A register holds a value for each of :data:`TILE` pixels; a truth value is 1 or 0. Operations that
``kernels/algebra_loops.py`` has are run by one compiled loop, as many as follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.calc.expression import (
    AGGREGATES,
    CENTER_X,
    NODATA,
    Band,
    Node,
    Number,
    Operation,
    Place,
    SideBand,
    parse,
    walk,
)
from geobatch_tui.execution.raster.kernels.algebra_loops import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    #: Names of rasters beside what comes in, and how many bands each has.
    type Beside = tuple[tuple[str, int], ...]
    #: Their bands, by name.
    type Places = Mapping[str, range]

#: Pixels that are computed at a time.
TILE = 16_384
#: What expressions read is loaded once, if it is not more than this; else whenever it is read.
_MOST_KEPT = 16
#: The greatest whole exponent that is taken by multiplication.
_MOST_MULTIPLIED = 64

_CODES = {name: code for code, name in enumerate(CODES)}


@dataclass(frozen=True, slots=True)
class Load:
    """Fills register ``out`` with what is in a raster: a band, from 0, or whether it is nodata, or
    a coordinate."""

    what: Literal["band", "isnodata", "x", "y"]
    band: int
    out: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Operations that the compiled loop runs, each a code, three operands and a result."""

    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Numpy:
    """A function of numpy's, by its name in expressions, from registers to a register."""

    name: str
    operands: tuple[int, ...]
    out: int


@dataclass(frozen=True, slots=True)
class Store:
    """Gives band ``band`` of the output, which comes from ``uses``, bands from 0."""

    band: int
    register: int
    uses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Operations in order, how many registers they take, and which of these hold a number."""

    steps: tuple[Load | Loop | Numpy | Store, ...]
    registers: int
    numbers: tuple[tuple[int, float], ...]

    @property
    def uses_numpy(self) -> bool:
        """Whether its bits depend on more than the expressions."""
        return any(isinstance(step, Numpy) for step in self.steps)


@lru_cache(maxsize=32)
def program_of(
    texts: tuple[str, ...], bands: int, beside: Beside = (), *, flatten: bool
) -> Program:
    """Return the program of expressions on a raster of ``bands`` bands, and on those ``beside``
    it."""
    return compiled(trees_of(texts, bands, beside, flatten=flatten))


def compiled(trees: Sequence[Node], *, most_kept: int = _MOST_KEPT) -> Program:
    """Return the program of trees; what they read is loaded once, if it is at most ``most_kept``
    bands."""
    return _Compiler(trees, most_kept).program()


def trees_of(
    texts: Iterable[str], bands: int, beside: Beside = (), *, flatten: bool
) -> tuple[Node, ...]:
    """Return the tree of each band of the output, in which every band has its number: those of the
    rasters ``beside`` follow those of what comes in.

    Raises:
        SchemaError: a raster has not the band, or not as many as the others.
    """
    places = _places(bands, beside)
    trees: list[Node] = []
    for text in texts:
        tree = _numbered(parse(text, places).tree, places) if beside else parse(text).tree
        if flatten:
            tree = _flat(tree, bands, places)
        turns = {len(_turns(node, bands, places)) for node in walk(tree)} - {0}
        if len(turns) > 1:
            counts = " and ".join(map(str, sorted(turns)))
            raise SchemaError(f"calc: rasters of {counts} bands are taken in turn; say which band")
        each = range(turns.pop()) if turns else ()
        trees += (_of_band(tree, turn, bands, places) for turn in each) if each else [tree]
    return tuple(trees)


def _places(bands: int, beside: Beside) -> Places:
    """Return the bands of each raster beside, counted on from those of what comes in."""
    places: dict[str, range] = {}
    before = bands
    for name, count in beside:
        places[name] = range(before + 1, before + count + 1)
        before += count
    return places


def _turns(node: Node, bands: int, places: Places) -> Sequence[int]:
    """Return the bands that a name alone stands for, one in each turn; none for other nodes."""
    if isinstance(node, SideBand):
        return places[node.name]
    return range(1, bands + 1) if node == Band(0) else ()


def _numbered(tree: Node, places: Places) -> Node:
    """Give bands of rasters beside their numbers, but for those that are taken in turn."""
    if isinstance(tree, Operation):
        return Operation.of(tree.name, *(_numbered(each, places) for each in tree.operands))
    if not isinstance(tree, SideBand):
        return tree
    own = places[tree.name]
    if tree.number > len(own):
        raise SchemaError(
            f"calc: there is no band {tree.number} of {tree.name}, which has {len(own)}"
        )
    if tree.number or len(own) == 1:
        return Band(own[max(tree.number, 1) - 1])
    return tree


def bands_of(tree: Node) -> tuple[int, ...]:
    """Return the bands that a tree uses, from 0."""
    found = {node.number - 1 for node in walk(tree) if isinstance(node, Band)}
    return tuple(sorted(found))


def _flat(tree: Node, bands: int, places: Places) -> Node:
    """Put all bands in the place of ``X`` where it is an argument of an aggregate."""
    if not isinstance(tree, Operation):
        return tree
    operands: list[Node] = []
    for operand in tree.operands:
        turns = _turns(operand, bands, places) if tree.name in AGGREGATES else ()
        operands += map(Band, turns) if turns else [_flat(operand, bands, places)]
    return Operation.of(tree.name, *operands)


def _of_band(tree: Node, turn: int, bands: int, places: Places) -> Node:
    if isinstance(tree, Operation):
        operands = (_of_band(operand, turn, bands, places) for operand in tree.operands)
        return Operation.of(tree.name, *operands)
    turns = _turns(tree, bands, places)
    return Band(turns[turn]) if turns else tree


class _Compiler:
    """Writes the program of some trees. Registers of results are used again once they are read; no
    operation writes to one that it reads."""

    def __init__(self, trees: Sequence[Node], most_kept: int) -> None:
        self.trees = trees
        self.steps: list[Load | Loop | Numpy | Store] = []
        self.rows: list[tuple[int, ...]] = []
        self.free: list[int] = []
        self.registers = 0
        #: Registers that are filled once: with numbers, and with what is loaded.
        self.numbers: dict[str, int] = {}
        self.loaded: dict[tuple[str, int], int] = {}
        leaves = {_leaf(node) for tree in trees for node in walk(tree)} - {None}
        self.keeps = len(leaves) <= most_kept

    def program(self) -> Program:
        for band, tree in enumerate(self.trees):
            register = self._value(tree)
            self._end_loop()
            self.steps.append(Store(band, register, bands_of(tree)))
            self._done(register)
        loads = [step for step in self.steps if isinstance(step, Load)]
        if self.keeps:  # first, so that all operations are run in one loop
            self.steps = loads + [step for step in self.steps if not isinstance(step, Load)]
        numbers = tuple((register, float(text)) for text, register in self.numbers.items())
        return Program(tuple(self.steps), self.registers, numbers)

    # --- registers -----------------------------------------------------------------------------

    def _fresh(self) -> int:
        self.registers += 1
        return self.registers - 1

    def _new(self) -> int:
        return self.free.pop() if self.free else self._fresh()

    def _done(self, *registers: int) -> None:
        """Give registers back, but for those that are filled once."""
        kept = {*self.numbers.values(), *self.loaded.values()}
        self.free += sorted(set(registers) - kept)

    def _number(self, value: float) -> int:
        text = repr(float(value))
        if text not in self.numbers:
            self.numbers[text] = self._fresh()
        return self.numbers[text]

    def _load(self, what: Literal["band", "isnodata", "x", "y"], band: int) -> int:
        if (what, band) in self.loaded:
            return self.loaded[what, band]
        out = self._fresh() if self.keeps else self._new()
        if self.keeps:
            self.loaded[what, band] = out
        else:
            self._end_loop()
        self.steps.append(Load(what, band, out))
        return out

    # --- operations ----------------------------------------------------------------------------

    def _end_loop(self) -> None:
        if self.rows:
            self.steps.append(Loop(tuple(self.rows)))
            self.rows = []

    def _emit(self, name: str, *operands: int) -> int:
        """Apply an operation, whose operands are read no more."""
        out = self._new()
        if name in _CODES:
            padded = (*operands, *operands[:1] * (3 - len(operands)))
            self.rows.append((_CODES[name], *padded, out))
        else:
            self._end_loop()
            self.steps.append(Numpy(name, operands, out))
        self._done(*operands)
        return out

    def _value(self, node: Node) -> int:
        match node:
            case Number(value):
                return self._number(value)
            case Band(number):
                return self._load("band", number - 1)
            case Place(name):
                if name == NODATA:
                    return self._number(np.nan)
                return self._load("x" if name == CENTER_X else "y", 0)
            case SideBand(name):  # all have their numbers
                raise ValueError(f"{name} is a raster, and no band")
        return self._operation(node.name, node.operands)

    def _operation(self, name: str, nodes: tuple[Node, ...]) -> int:
        if name == "isnodata" and isinstance(nodes[0], Band):
            return self._load("isnodata", nodes[0].number - 1)
        if name in AGGREGATES:
            return self._aggregate(name, nodes)
        if name == "^" and isinstance(nodes[1], Number) and _is_multiplied(nodes[1].value):
            return self._power(self._value(nodes[0]), nodes[1].value)
        operands = [self._value(node) for node in nodes]
        if name in {">", ">="}:
            name, operands = {">": "<", ">=": "<="}[name], operands[::-1]
        return self._emit(name, *operands)

    def _aggregate(self, name: str, nodes: tuple[Node, ...]) -> int:
        """Take the operands from the left, so that each is read when its turn comes."""
        pairwise = name if name in _CODES else "+"
        total = self._value(nodes[0])
        for node in nodes[1:]:
            total = self._emit(pairwise, total, self._value(node))
        return self._emit("/", total, self._number(len(nodes))) if name == "avg" else total

    def _power(self, base: int, exponent: float) -> int:
        """Multiply a value with itself, in a fixed order."""
        if exponent == 0.5:
            return self._emit("sqrt", base)
        power = base
        for bit in f"{int(abs(exponent)):b}"[1:]:
            before, power = power, self._new()
            self.rows.append((_CODES["*"], before, before, before, power))
            self._done(*{before} - {base})
            if bit == "1":
                before, power = power, self._new()
                self.rows.append((_CODES["*"], before, base, base, power))
                self._done(before)
        self._done(*{base} - {power})
        return self._emit("/", self._number(1.0), power) if exponent < 0 else power


def _is_multiplied(exponent: float) -> bool:
    """Whether a power needs no more than multiplication, division and roots."""
    whole = exponent.is_integer() and 0 < abs(exponent) <= _MOST_MULTIPLIED
    return whole or exponent == 0.5


def _leaf(node: Node) -> tuple[str, int] | None:
    """Return what a node reads of a raster."""
    match node:
        case Band(number):
            return "band", number
        case Place(name) if name != NODATA:
            return name, 0
        case Operation("isnodata", (Band(number),)):
            return "isnodata", number
    return None
