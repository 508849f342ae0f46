from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.observability.text import command_line, harmless, safe, safe_lines

ANY = st.text(st.characters(exclude_categories=[]), max_size=40) | st.text(
    "\\xu01b\x1b\x07\n\x7f\x85\u202e\u200b\udcff\udc80\ud800\U000e0041é界😀 ", max_size=20
)
_ESCAPES = re.compile(r"\\(?:(\\)|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def unescape(text: str) -> str:
    """The inverse of ``safe``, written for the test."""

    def back(match: re.Match[str]) -> str:
        slash, byte, short, long = match.groups()
        if slash:
            return "\\"
        if byte:
            code = int(byte, 16)
            return chr(code if code < 0x80 else 0xDC00 + code)
        return chr(int(short or long, 16))

    return _ESCAPES.sub(back, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("relief.tif", "relief.tif"),
        ("Räume/界 😀.tif", "Räume/界 😀.tif"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("a\x7fb\x9bc", "a\\x7fb\\u009bc"),
        ("gpj.\u202efit", "gpj.\\u202efit"),
        ("a\u200bb\u2066c\ufeff", "a\\u200bb\\u2066c\\ufeff"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\ud83d", "\\ud83d"),
        ("\U000e0041", "\\U000e0041"),
        ("C:\\new", "C:\\new"),
        ("C:\\x41", "C:\\\\x41"),
        ("a\\\\b", "a\\\\\\b"),
        ("\\\x1b", "\\\\\\x1b"),
        ("end\\", "end\\"),
        ("", ""),
    ],
)
def test_what_does_not_print_is_shown(text, shown):
    """Controls, bidi and zero-width characters and raw bytes become escapes; the rest stays."""
    assert safe(text) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("esc\\x1b[2J", "esc\\x1b[2J"),
        ("esc\x1b[2J", "esc\\x1b[2J"),
        ("two\nlines", "two\\x0alines"),
        ("bidi\u202e", "bidi\\u202e"),
    ],
)
def test_what_is_harmless_is_not_escaped_twice(text, expected):
    """What was made harmless before stays as it is; what was not is escaped."""
    assert harmless(text) == expected


@given(ANY)
def test_nothing_in_the_result_can_drive_a_terminal(text):
    """The result prints as it is: no control, format, surrogate or separator character."""
    shown = safe(text)
    assert shown.isprintable()
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")


@given(ANY)
def test_two_texts_never_look_alike(text):
    """The text can be told from its safe form, so no two names fall together."""
    assert unescape(safe(text)) == text


@given(ANY, st.integers(0, 30))
def test_a_limit_holds_and_never_cuts_an_escape(text, limit):
    """A shortened text fits, marks its cut, and holds whole escapes only."""
    short, whole = safe(text, limit), safe(text)
    assert len(short) <= limit
    if len(whole) <= limit:
        assert short == whole
    elif limit:
        assert short.endswith("…")
        assert text.startswith(unescape(short[:-1]))


@given(ANY)
def test_lines_stay_lines(text):
    """A traceback keeps its line breaks, and nothing else that could drive a terminal."""
    lines = safe_lines(text).split("\n")
    assert lines == [safe(line) for line in text.split("\n")]


def test_a_command_line_is_quoted_for_a_shell():
    """A command that is shown can be pasted, whatever the path holds."""
    assert command_line("geobatch retry", "my out; rm -rf x") == "geobatch retry 'my out; rm -rf x'"
    assert command_line("geobatch retry", "a\x1b[2J") == "geobatch retry $'a\\033[2J'"
