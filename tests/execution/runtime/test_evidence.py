"""What is kept of a failure."""

from __future__ import annotations

import json

import pytest

from geobatch_tui.execution.runtime import evidence

LINES = [
    (b"_tiffWriteProc: No space left on device.", True),
    (b"TIFFReadProc: fine", False),
    (b"ERROR 1: bad", True),
    (b"ERROR 1: PROJ: utm: Invalid latitude", False),
    (b"ERROR 1: Reprojection failed, err = 2049, further errors will be suppressed", False),
    (b"Warning 1: TIFFReadDirectory: unknown field", False),
    (b"no errors at all", False),
    (b"cp: Input/output error", True),
    (b"\xff\xfe ERROR \x00", True),
]


@pytest.mark.parametrize(("line", "damaged"), LINES)
def test_damage(line, damaged):
    """A line that says that bytes were lost is found, among others and before them."""
    assert (evidence.damage(line) is not None) is damaged
    assert (evidence.damage(b"a\n" + line + b"\nb\n") is not None) is damaged


def test_damage_is_found_past_the_tail():
    """An early line counts, however much follows it."""
    data = b"ERROR 1: early\n" + b"noise\n" * 100_000
    assert evidence.damage(data) == "ERROR 1: early"


def test_tail_is_json():
    """Any bytes become text that JSON holds, and the last ones are kept."""
    data = bytes(range(256)) * 1000
    text = evidence.tail(data)
    assert json.loads(json.dumps(text)) == text
    assert text.endswith("\\xff")
    assert len(evidence.tail(b"x" * 10**6)) == evidence.TAIL


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def test_traceback_holds_causes():
    """The whole chain is in the traceback."""
    with pytest.raises(RuntimeError) as raised:
        fail(RuntimeError("outer"), ValueError("inner"))
    text = evidence.traceback_of(raised.value)
    assert "ValueError: inner" in text
    assert "RuntimeError: outer" in text
    assert "in fail" in text


class NastyError(Exception):
    def __str__(self):
        raise RuntimeError("no")


def test_exception_without_text():
    """An exception whose text cannot be made is still described."""
    with pytest.raises(NastyError) as raised:
        fail(NastyError())
    assert "RuntimeError" in evidence.message_of(raised.value)
    assert "NastyError" in evidence.traceback_of(raised.value)


def test_endless_message_is_cut():
    """A message of megabytes keeps its beginning and its end."""
    text = evidence.message_of(ValueError("a" * 10**6 + "z"))
    assert len(text) < evidence.MESSAGE + 100
    assert text.startswith("aaa")
    assert text.endswith("z")


@pytest.mark.parametrize(
    ("code", "words"),
    [(-11, "died by SIGSEGV"), (3, "exited with code 3"), (-99, "died by signal 99")],
)
def test_exit_words(code, words):
    """Exit codes in words."""
    assert evidence.exit_words(code) == words
