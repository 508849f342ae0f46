"""Programs give what the same expressions give in Python, whatever registers they take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.execution.params.calc.expression import Band, Number, Operation, parse
from geobatch_tui.execution.raster.algebra import calc_program, value_range
from geobatch_tui.execution.raster.algebra.calc_functions import OF_NUMPY, numerics
from geobatch_tui.execution.raster.algebra.calc_program import (
    TILE,
    Loop,
    program_of,
    trees_of,
)
from geobatch_tui.execution.raster.algebra.calc_run import Run, over_bands

VALUES = (0.0, -0.0, 1.0, -1.0, 2.0, 3.5, -2.5, 0.5, 1e-300, 1e300, math.inf, -math.inf, math.nan)


class Rows:
    """Bands in memory."""

    def __init__(self, bands, valid=None):
        self.bands, self.known = np.asarray(bands), valid

    def band(self, band, part):
        return self.bands[band, part]

    def valid(self, band, part):
        return None if self.known is None else self.known[band, part]

    def coordinate(self, axis, part):
        return np.arange(part.start, part.stop) * (10.0 if axis == "x" else -1.0)


def computed(texts, rows, *, flatten=False, nodata=None):
    """The bands that expressions give on the first tile of ``rows``."""
    program = program_of(
        (texts,) if isinstance(texts, str) else texts, len(rows.bands), flatten=flatten
    )
    found = {}
    with np.errstate(all="ignore"):
        Run(program, rows, nodata).tile(
            slice(0, rows.bands.shape[1]),
            lambda band, values, _: found.update({band: values.copy()}),
        )
    return np.stack([found[band] for band in range(len(found))])


def every_pair():
    first, second = np.meshgrid(VALUES, VALUES)
    return Rows([first.ravel(), second.ravel()])


def by_python(node, bands):
    """The value of a tree at one pixel, by the rules of IEEE 754."""
    match node:
        case Number(value):
            return value
        case Band(number):
            return bands[number - 1]
        case Operation(name, operands):
            return _applied(name, [by_python(operand, bands) for operand in operands])


def _summed(values):
    total = np.float64(values[0])
    for value in values[1:]:
        total = total + np.float64(value)
    return total


def _sign(value):
    return value if math.isnan(value) else float(value > 0) - float(value < 0)


def _without_nan(pick):
    return lambda values: math.nan if any(map(math.isnan, values)) else pick(values)


_BY_PYTHON = {
    "+": _summed,
    "-": lambda v: np.float64(v[0]) - np.float64(v[1]),
    "*": lambda v: np.float64(v[0]) * np.float64(v[1]),
    "/": lambda v: np.float64(v[0]) / np.float64(v[1]),
    "<": lambda v: v[0] < v[1],
    ">": lambda v: v[0] > v[1],
    "<=": lambda v: v[0] <= v[1],
    ">=": lambda v: v[0] >= v[1],
    "==": lambda v: v[0] == v[1],
    "!=": lambda v: v[0] != v[1],
    "&&": lambda v: v[0] != 0 and v[1] != 0,
    "||": lambda v: v[0] != 0 or v[1] != 0,
    "!": lambda v: v[0] == 0,
    "neg": lambda v: -v[0],
    "?": lambda v: v[1] if v[0] != 0 else v[2],
    "abs": lambda v: abs(v[0]),
    "sqrt": lambda v: np.sqrt(np.float64(v[0])),
    "rint": lambda v: np.floor(np.float64(v[0]) + 0.5),
    "sign": lambda v: _sign(v[0]),
    "isnan": lambda v: math.isnan(v[0]),
    "sum": _summed,
    "avg": lambda v: _summed(v) / len(v),
    "min": _without_nan(min),
    "max": _without_nan(max),
}


def _applied(name, values):
    with np.errstate(all="ignore"):
        return float(_BY_PYTHON[name](values))


EXACT = [
    "b1 + b2", "b1 - b2", "b1 * b2", "b1 / b2", "-b1", "+b1", "!b1", "b1 < b2", "b1 > b2",
    "b1 <= b2", "b1 >= b2", "b1 == b2", "b1 != b2", "b1 && b2", "b1 || b2", "b1 ? b2 : 7",
    "b1 < b2 ? b1 : b2", "abs(b1)", "sqrt(b1)", "rint(b1)", "sign(b1)", "isnan(b1)", "sum(b1)",
    "sum(b1, b2, b1)", "avg(b1, b2, 3)", "min(b1, b2)", "max(b1, b2)", "min(b1, b2, 1)", "max(b1)",
    "(b1 - b2) / (b1 + b2)", "b1 + (b1 * 2) * sqrt(b2) - b1", "(b1 > 1) + (b2 > 1) * 2", "4",
    "b1 * b1 + b2 * b2 - b1 * b2", "1 - (b1 - (b2 - (b1 - (b2 - 1))))", "nan", "1 / 0",
]  # fmt: skip


@pytest.mark.parametrize("text", EXACT)
def test_operators_are_those_of_ieee(text):
    """To the bit, for zeros of both signs, infinities and NaN too."""
    rows = every_pair()
    expected = [by_python(parse(text).tree, pair) for pair in rows.bands.T]
    assert np.array_equal(computed(text, rows)[0], expected, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b1 ^ 1", lambda x: x),
        ("b1 ^ 2", lambda x: x * x),
        ("b1 ^ 3", lambda x: x * x * x),
        ("b1 ^ 5", lambda x: (x * x) * (x * x) * x),
        ("b1 ^ -2", lambda x: 1 / (x * x)),
        ("b1 ^ 0.5", np.sqrt),
        ("b1 ^ 0", np.ones_like),
        ("b1 ^ 1.5", lambda x: x**1.5),
        ("2 ^ b1", lambda x: 2**x),
        ("b1 ^ 65", lambda x: x**65.0),
    ],
)
def test_powers(text, expected):
    """Whole exponents are products, in a fixed order."""
    values = np.array([0.5, 1, 1.5, 2, 3, 7.25])
    assert np.array_equal(computed(text, Rows([values]))[0], expected(values))


@pytest.mark.parametrize("name", sorted(set(OF_NUMPY) - {"^"}))
def test_functions_of_numpy(name):
    """They are numpy's, and the program says so."""
    values = np.array([0.1, 0.5, 0.9, 1.0, 1.7, 30.0])
    two = name == "atan2"
    text = f"{name}(b1, 2)" if two else f"{name}(b1)"
    with np.errstate(all="ignore"):
        expected = OF_NUMPY[name](values, 2) if two else OF_NUMPY[name](values)
    assert np.array_equal(computed(text, Rows([values]))[0], expected, equal_nan=True)
    assert program_of((text,), 1, flatten=False).uses_numpy
    assert not program_of(("b1 / b2 ^ 3 > sqrt(b1)",), 2, flatten=False).uses_numpy
    assert set(numerics()) == {"numpy", "cpu", "libc"}


_LEAVES = st.sampled_from([0.0, 1.0, 2.0, 0.25]).map(Number) | st.integers(1, 3).map(Band)


def _trees(children):
    two = st.sampled_from(["+", "-", "*", "/", "<", ">=", "==", "&&", "||"])
    one = st.sampled_from(["neg", "!", "abs", "rint"])
    some = st.sampled_from(["sum", "avg", "min", "max"])
    return (
        st.builds(Operation.of, two, children, children)
        | st.builds(Operation.of, one, children)
        | st.builds(Operation.of, st.just("?"), children, children, children)
        | st.builds(Operation.of, some, children, children, children)
    )


@given(
    st.lists(st.recursive(_LEAVES, _trees, max_leaves=20), min_size=1, max_size=3),
    st.booleans(),
)
def test_registers_are_not_overwritten(trees, keeps):
    """Any trees, compiled together, give what each pixel gives alone; whether bands are kept in
    registers or loaded whenever they are read."""
    bands = np.array([[0.0, 1, -2, 3, 0.5], [2, 2, -1, 0, 8], [1, 0, 4, -3, 0.25]])
    program = calc_program.compiled(trees, most_kept=16 if keeps else 0)
    found = {}
    with np.errstate(all="ignore"):
        Run(program, Rows(bands), None).tile(
            slice(0, 5), lambda band, values, _: found.update({band: values.copy()})
        )
    for band, tree in enumerate(trees):
        expected = [by_python(tree, pixel) for pixel in bands.T]
        assert np.array_equal(found[band], expected, equal_nan=True)
    for step in program.steps:
        if isinstance(step, Loop):
            assert all(row[-1] not in row[1:-1] for row in step.rows)


def test_one_loop_runs_all_that_needs_no_numpy():
    """What is called from Python is little: two bands, one loop, one result."""
    program = program_of(("(b4 - b3) / (b4 + b3)",), 4, flatten=False)
    assert [type(step).__name__ for step in program.steps] == ["Load", "Load", "Loop", "Store"]
    assert program.steps[-1].uses == (2, 3)


def test_all_bands():
    """``X`` is each band in turn, and all of them in an aggregate if that is asked for."""
    rows = Rows(np.arange(6.0).reshape(3, 2))
    assert computed("X * 2", rows).tolist() == [[0, 2], [4, 6], [8, 10]]
    assert computed(("X + b3", "7"), rows).tolist() == [[4, 6], [6, 8], [8, 10], [7, 7]]
    assert computed("sum(X)", rows).tolist() == rows.bands.tolist()
    assert computed("sum(X)", rows, flatten=True).tolist() == [[6, 9]]
    assert computed("X / sum(X, 1)", rows, flatten=True).tolist() == [
        [0, 1 / 10], [2 / 7, 3 / 10], [4 / 7, 5 / 10],
    ]  # fmt: skip
    assert computed("max(X) - min(X)", rows, flatten=True).tolist() == [[4, 4]]
    assert computed("sum(sqrt(X))", rows, flatten=True).shape == (3, 2)
    many = Rows(np.arange(400.0).reshape(200, 2))
    assert computed("sum(X)", many, flatten=True).tolist() == [many.bands.sum(axis=0).tolist()]
    assert program_of(("sum(X)",), 200, flatten=True).registers < 5


def test_what_is_not_valid():
    """It counts as the nodata value, if the program is to see it; isnodata tells."""
    rows = Rows([[1.0, 2.0], [3.0, 4.0]], np.array([[True, False], [True, True]]))
    assert computed("b1 + b2", rows).tolist() == [[4, 6]]
    assert computed("b1 + b2", rows, nodata=-9.0).tolist() == [[4, -5]]
    assert computed("isnodata(b1) ? b2 : b1", rows, nodata=math.nan).tolist() == [[1, 4]]
    assert computed("isnodata(b2)", rows).tolist() == [[0, 0]]
    assert computed("isnodata(X)", rows).tolist() == [[0, 1], [0, 0]]
    assert np.isnan(computed("NODATA", rows)).all()
    assert computed("_CENTER_X_ + _CENTER_Y_", rows).tolist() == [[0, 9]]


def test_a_tile_may_be_full():
    """Every register holds a tile."""
    values = np.arange(float(TILE))
    assert np.array_equal(computed("b1 * 2 + 1", Rows([values]))[0], values * 2 + 1)


BUILTIN = {
    "sum": [9, 5, 0],
    "mean": [3, 2.5, math.nan],
    "min": [2, 1, math.nan],
    "max": [4, 4, math.nan],
    "median": [3, 2.5, math.nan],
}


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_functions_skip_nodata(name):
    """Of an odd and an even number of values, and of none, as GDAL 3.13 has them."""
    valid = np.array([[True, True, False], [True, False, False], [True, True, False]])
    rows = Rows([[2.0, 4.0, 0.0], [4.0, 9.0, 0.0], [3.0, 1.0, 0.0]], valid)
    with np.errstate(all="ignore"):
        found = over_bands(name, rows, (0, 1, 2), slice(0, 3))
    assert np.array_equal(found, BUILTIN[name], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "bounded"),
    [
        ("b1 + b2 * 3 - 1", True),
        ("b1 / 2", True),
        ("2 / (b1 + 1)", True),
        ("sqrt(b1)", True),
        ("b1 / b2 > 1 ? b1 : -b1", True),
        ("min(b1, 3) + max(b1, b2) + avg(b1, 1) + sum(b1, b2)", True),
        ("abs(b1 - b2) + sign(b1) + rint(b1)", True),
        ("isnan(1 / b1)", True),
        ("b1 / b2", False),
        ("1 / (b1 - 3)", False),
        ("sqrt(b1 - 1)", False),
        ("log(b1)", False),
        ("b1 ? 1 : nan", False),
        ("b1 ? 1 : NODATA", False),
        ("b1 * 1e300 * 1e300", False),
        ("b1 ^ 2", False),
    ],
)
def test_ranges(text, bounded):
    """Whether each result is a number is known for sums, products and choices of whole numbers."""
    trees = trees_of((text,), 2, flatten=False)
    assert value_range.are_bounded(trees, "uint8") is bounded
    assert not value_range.are_bounded(trees, "float32")
    if bounded:
        pairs = np.array(np.meshgrid([0, 1, 7, 254, 255], [0, 1, 3, 255])).reshape(2, -1)
        assert np.isfinite(computed(text, Rows(pairs.astype(np.uint8)))).all()
