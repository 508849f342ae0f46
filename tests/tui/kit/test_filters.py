from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.tui.kit.filters import Filter, parse

FIELDS = {"class": "text", "item": "text", "stage": "text", "attempts": "number", "source": "text"}
ROW = {
    "class": "CorruptSourceError",
    "item": "a b.tif",
    "stage": "read",
    "attempts": 3,
    "source": "/data/Foo/a b.tif",
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("   ", True),
        ("foo", True),
        ("FOO tif", True),
        ("foo bar", False),
        ("!bar", True),
        ("!foo", False),
        ("class:corrupt", True),
        ("exc:corrupt", True),
        ("class:memory", False),
        ("!class:memory", True),
        ("class=corrupt", False),
        ("class=corruptsourceerror", True),
        ('"a b"', True),
        ('item:"a b"', True),
        ('item="a b.tif"', True),
        ('"b a"', False),
        ("attempts>2", True),
        ("attempts>3", False),
        ("attempts>=3", True),
        ("attempts<3", False),
        ("attempts<=3", True),
        ("attempts=3", True),
        ("attempts:3", True),
        ("n>2 stage:read", True),
        ("n>2 stage:write", False),
        ("!attempts>2", False),
        ("/data/", True),
        ("s3:x", False),
        ('"unfinished', False),
    ],
)
def test_grammar(text, holds):
    """Words are looked for anywhere, fields by name, numbers compared; all must hold."""
    assert parse(text, FIELDS).matches(ROW) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nope>3", "no field nope"),
        ("nope=3", "no field nope"),
        ("attempts>many", "many is none"),
        ("stage>3", "stage is no number"),
    ],
)
def test_problems_are_said_and_left_out(text, says):
    """A term that makes no sense is said to be so, and does not empty the list."""
    found = parse(text, FIELDS)
    assert len(found.problems) == 1
    assert says in found.problems[0]
    assert found.matches(ROW)


def test_row_without_the_field():
    """A field that a row lacks does not match, so its negation does."""
    assert not parse("stage:read", FIELDS).matches({"item": "x"})
    assert parse("!stage:read", FIELDS).matches({"item": "x"})


def test_nothing_typed_is_no_filter():
    """A filter that lets everything pass is false."""
    assert not parse("  ", FIELDS)
    assert not Filter()
    assert parse("x", FIELDS)


@given(st.text(max_size=60))
def test_any_text_is_a_filter(text):
    """No text that can be typed raises."""
    found = parse(text, FIELDS)
    found.matches(ROW)
    assert found.text == text.strip()


@given(st.text(min_size=1, max_size=20).filter(lambda t: not set(t) & set('"\x00') and t.split()))
def test_a_phrase_finds_itself(text):
    """A quoted phrase finds a row that holds it, whatever is in it."""
    assert parse(f'"{text}"', FIELDS).matches({"item": f"<{text}>"})
