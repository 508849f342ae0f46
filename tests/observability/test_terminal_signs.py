from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.observability.alert import window_title
from geobatch_tui.observability.terminal_signs import Signs, form_of, notification, title


@pytest.mark.parametrize(
    ("environ", "form"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "9"),
        ({"KITTY_WINDOW_ID": "1", "TERM": "xterm-kitty"}, "9"),
        ({"TERM": "foot"}, "777"),
        ({"VTE_VERSION": "7200", "TERM": "xterm-256color"}, "777"),
        ({"VTE_VERSION": "5000"}, ""),
        ({"TERM": "linux"}, ""),
        ({}, ""),
    ],
)
def test_terminals_are_known_by_their_variables(environ, form):
    """One that is not known to show notifications gets none: it might print them."""
    assert form_of("auto", environ) == form
    assert form_of("off", environ) == ""
    assert form_of("777", environ) == "777"
    assert form_of("x", environ) == ""


def test_sequences_are_what_terminals_read():
    assert notification("9", "relief", "ended", {}) == "\x1b]9;relief: ended\a"
    assert notification("777", "a;b", "c;d", {}) == "\x1b]777;notify;a,b;c,d\a"
    wrapped = notification("9", "a", "b", {"TMUX": "/tmp/x"})
    assert wrapped == "\x1bPtmux;\x1b\x1b]9;a: b\a\x1b\\"
    assert Signs(bell=True, osc="off").told("a", "b", {}) == "\a"
    assert Signs().told("a", "b", {}) == ""


def test_the_title_says_how_far():
    assert window_title("relief", 63, 100, 2) == "63 % relief ✗2 — geobatch"
    assert window_title("relief", 0, 0, 0, "planning") == "relief planning — geobatch"


@given(st.text())
def test_no_text_ends_a_sequence(text):
    """Whatever a file is called: one sequence, and nothing behind it."""
    for sequence in (
        title(text),
        notification("9", text, text, {}),
        notification("777", text, text, {}),
    ):
        assert sequence.startswith("\x1b]")
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in sequence[1:-1])
        assert sequence.endswith("\a")
