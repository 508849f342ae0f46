"""Expressions are parsed as muparser does, written again, and refused with a column."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from geobatch_tui.execution.params.calc import expression
from geobatch_tui.execution.params.calc.expression import (
    BINARY,
    FUNCTIONS,
    MOST_NODES,
    Band,
    ExpressionError,
    Number,
    Operation,
    Place,
    parse,
)
from geobatch_tui.execution.params.calc.expression_text import text_of
from geobatch_tui.execution.params.chain_params import RasterChain

_NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(Number)
_LEAVES = _NUMBERS | st.integers(0, 300).map(Band) | st.sampled_from(expression.PLACES).map(Place)


def _operations(children):
    binary = st.builds(Operation.of, st.sampled_from(sorted(BINARY)), children, children)
    signed = st.builds(Operation.of, st.just("!"), children)
    # A sign before a number is a part of it.
    negative = st.builds(Operation.of, st.just("neg"), children.filter(_is_no_number))
    conditional = st.builds(Operation.of, st.just("?"), children, children, children)
    names = sorted(set(FUNCTIONS) - {"ln", "atan2", "isnodata", *expression.AGGREGATES})
    function = st.builds(Operation.of, st.sampled_from(names), children)
    several = st.builds(
        lambda name, values: Operation.of(name, *values),
        st.sampled_from(sorted(expression.AGGREGATES)),
        st.lists(children, min_size=1, max_size=4),
    )
    return binary | signed | negative | conditional | function | several


def _is_no_number(node):
    return not isinstance(node, Number)


@settings(deadline=None, max_examples=150)
@given(st.recursive(_LEAVES, _operations, max_leaves=25))
def test_what_is_written_is_parsed_again(tree):
    """Text and tree say the same, whatever operators stand in each other."""
    assert parse(text_of(tree)).tree == tree
    assert parse(text_of(tree).replace(" ", "")).tree == tree


#: Expressions, and how muparser brackets them.
PRECEDENCE = {
    "1 + 2 * 3": "1 + (2 * 3)",
    "6 / 2 * 3": "(6 / 2) * 3",
    "1 - 2 + 3": "(1 - 2) + 3",
    "2 ^ 3 ^ 2": "2 ^ (3 ^ 2)",
    "-b1 ^ 2": "-(b1 ^ 2)",
    "2 ^ -b1 ^ 2": "2 ^ (-(b1 ^ 2))",
    "2 ^ -b1 * 4": "(2 ^ (-b1)) * 4",
    "-b1 * b2": "(-b1) * b2",
    "b1 * -b2 / b3": "(b1 * (-b2)) / b3",
    "b1 < b2 == b3": "(b1 < b2) == b3",
    "b1 == b2 < b3": "(b1 == b2) < b3",
    "b1 + 1 > b2 * 2": "(b1 + 1) > (b2 * 2)",
    "b1 || b2 && b3": "b1 || (b2 && b3)",
    "b1 && b2 == b3": "b1 && (b2 == b3)",
    "b1 && b2 || b3": "(b1 && b2) || b3",
    "!b1 == b2": "(!b1) == b2",
    "!b1 ^ 2": "!(b1 ^ 2)",
    "b1 ? b2 : b3 ? b4 : b5": "b1 ? b2 : (b3 ? b4 : b5)",
    "b1 ? b2 ? 1 : 2 : 3": "b1 ? (b2 ? 1 : 2) : 3",
    "b1 + 1 ? 2 : 3 + b4": "(b1 + 1) ? 2 : (3 + b4)",
    "b1 || b2 ? 1 : 2": "(b1 || b2) ? 1 : 2",
}


@pytest.mark.parametrize(("text", "bracketed"), PRECEDENCE.items(), ids=PRECEDENCE)
def test_operators_bind_as_muparsers_do(text, bracketed):
    """Powers from the right before signs, then products, sums, comparisons, and, or, choices."""
    assert parse(text).tree == parse(bracketed).tree


def test_names_of_bands_and_constants():
    """Bands have two names, and GDAL's constants their values."""
    assert parse("b3").tree == parse("X[3]").tree == parse("A [ 3 ]").tree == Band(3)
    assert parse("X").tree == parse("A").tree == Band(0)
    assert parse("A[2] + b1").rasters == {"A"}
    assert parse("NODATA").tree == Place("NODATA")
    assert parse("_pi").tree == Number(math.pi)
    assert parse("ln(b1)").tree == parse("log(b1)").tree
    for text in ("nan", "NaN", "NAN"):
        assert math.isnan(parse(text).tree.value)
    assert parse("1e3").tree == parse("1000.").tree == parse("+1E+3").tree == Number(1000)
    assert parse("-.5").tree == Number(-0.5)


REFUSED = {
    "": "empty",
    " ": "empty",
    "(b1 - b2": 'column 9: it ends where ")" is missing',
    "b1 - b2)": "column 8",
    "b1 +": "column 5: it ends where a value is missing",
    "* b1": "column 1",
    "b1 b2": "column 4: 'b2' stands where an operator is missing",
    "2b1": "column 2",
    "1e": "column 2",
    "0x1F": "column 2",
    "1e999": "more than a float64 holds",
    "b1 = 3": '"==" compares',
    "1, 2": "a comma",
    "b1 & b2": "column 4: '&' has no meaning",
    "b1 % 2": "column 4",
    "b1 <> 2": "column 5",
    "b1 ? 2": '":"',
    "b1 ? : 2": "column 6",
    "sum()": "sum takes at least one value, not 0",
    "sum(b1, )": "column 9",
    "sin(1, 2)": "sin takes one value, not 2",
    "atan2(1)": "atan2 takes two values, not 1",
    "sin": "sin is a function",
    "sni(b1)": "did you mean 'sin'",
    "SUM(b1)": "did you mean 'sum'",
    "nodata": "did you mean 'NODATA'",
    "B4": "did you mean 'b4'",
    "nir - red": "bands are b1, b2",
    "b0": "column 1",
    "b01": "column 1",
    "b65536": "column 1",
    "b1234567890": "column 1",
    "X[0]": "counted from 1",
    "X[b1]": "counted from 1",
    "X[1": '"]"',
    "b1[2]": "X[2]",
    "NIR[1]": "no raster 'NIR'",
    "isnodata(b1 + 1)": "takes a band",
    # What would be something in Python.
    "__import__('os').system('true')": "no function '__import__'",
    "b1.__class__": "column 3: '.' has no meaning",
    "().__class__": "column 2",
    "b1.real": "column 3",
    "lambda: 1": "no value 'lambda'",
    "eval(b1)": "no function 'eval'",
    "open(b1)": "no function 'open'",
    "[1]": "column 1",
    "{1}": "column 1",
    "'1'": "column 1",
    '"1"': "column 1",
    "b1; b2": "column 3",
    "b1 if b2 else b3": "'if' stands where an operator",
    "b1 @ b2": "column 4",
    "b1 // b2": "column 5",
    "b1 ** 2": "column 5",
    "~b1": "column 1",
    "1_000": "column 2",
    "1j": "column 2",
    "\u0661 + 1": "column 1",  # a digit of another script
    "\uff11": "column 1",
    "b\u0661": "column 2",
    "b1\u00a0+ 1": "column 3",
    "b1 \u2212 b2": "column 4",
    "b1\x00": "column 3",
}


@pytest.mark.parametrize(("text", "says"), REFUSED.items(), ids=map(repr, REFUSED))
def test_what_is_no_expression_is_said(text, says):
    """Where it goes wrong, and what was perhaps meant."""
    with pytest.raises(ExpressionError) as raised:
        parse(text)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 9000 + "1",
        "!" * 9000 + "1",
        "2^" * 4000 + "1",
        "1?" * 3000,
        "b1?1:" * 1500 + "1",
        "sin(" * 2000 + "1" + ")" * 2000,
        "b1+" * 300 + "b1",
        f"sum({'b1,' * MOST_NODES}b1)",
        "1" * 9000,
        "x" * 9999,
        "b1 + 1" + " " * 10_000,
        "(" * 1_000_000,
    ],
    ids=lambda text: f"{text[:5]}-{len(text)}",
)
def test_monsters_are_refused_at_once(text):
    """Neither the stack nor time runs out, and the message stays short."""
    with pytest.raises(ExpressionError) as raised:
        parse(text)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "text",
    ["(" * 99 + "b1" + ")" * 99, "+".join(["b1"] * 199), "-" * 40 + "b1"],
    ids=["brackets", "sum", "signs"],
)
def test_what_is_within_bounds_is_taken(text):
    """Long sums and deep brackets are no monsters."""
    assert parse(text_of(parse(text).tree)).tree == parse(text).tree


@settings(deadline=None, max_examples=200)
@given(st.text("b12.+-*/^()[]<>=!&|?:, eXAsinmax_", max_size=30))
def test_no_text_breaks_the_parser(text):
    """Any text is a tree that can be written again, or an ExpressionError."""
    try:
        tree = parse(text).tree
    except ExpressionError:
        return
    assert text_of(parse(text_of(tree)).tree) == text_of(tree)  # NaN is not NaN


BAD_STEPS = {
    "syntax": ({"calc": "b1 +"}, "column 5"),
    "second": ({"calc": ["b1", "b1 +"]}, "column 5"),
    "none": ({"calc": []}, "calc is empty"),
    "missing": ({}, "Field required"),
    "number": ({"calc": [1]}, "string"),
    "input": ({"calc": "A", "input": ["A=f.tif"]}, "others are named by inputs"),
    "crs": ({"calc": "X", "no-check-crs": True}, "no_check_crs"),
    "two names": ({"calc": ["A", "X"]}, "names of one raster"),
    "builtin": ({"calc": "geometric_mean", "dialect": "builtin"}, "known: max, mean"),
    "argument": ({"calc": "sum(k=1)", "dialect": "builtin"}, "no arguments"),
    "dialect": ({"calc": "b1", "dialect": "exprtk"}, "muparser"),
    "type": ({"calc": "b1", "ot": "CFloat32"}, "float32"),
}


@pytest.mark.parametrize(("params", "says"), BAD_STEPS.values(), ids=BAD_STEPS)
def test_a_wrong_step_is_refused_as_the_job_is_read(params, says):
    """Before any file is opened."""
    with pytest.raises(ValidationError, match=says):
        RasterChain(steps=[{"name": "calc", **params}])


def test_a_right_step_is_taken():
    """One expression need not be a list; blanks do not count."""
    (step,) = RasterChain(steps=[{"name": "calc", "calc": " b1\n+  1 ", "ot": "Byte"}]).steps
    assert step.calc == ("b1 + 1",)
    assert step.output_data_type == "byte"
    assert step.propagate_nodata
    (step,) = RasterChain(steps=[{"name": "calc", "calc": "mean", "dialect": "builtin"}]).steps
    assert step.calc == ("mean",)
