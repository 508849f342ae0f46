"""What is read of a user's function without running it."""

from __future__ import annotations

import os
from textwrap import dedent

import pytest

from geobatch_tui.execution.params.own.function_code import read, split

PLAIN = '''
"""About."""
import numpy as np
from geobatch_tui import step

@step(halo=1)
def f(block, *, valid, size: int = 5):
    """What it does."""
    return block + size
'''


@pytest.fixture
def code(tmp_path):
    """Write modules, and read function ``f`` of the first."""

    def call(text, **others):
        (tmp_path / "steps.py").write_text(dedent(text), encoding="utf-8")
        for name, other in others.items():
            (tmp_path / f"{name}.py").write_text(dedent(other), encoding="utf-8")
        return read(tmp_path / "steps.py", "f")

    return call


def test_parameters_are_told_from_what_is_given(code):
    """Keyword-only arguments, but for names that geobatch fills in."""
    found = code(PLAIN)
    assert found.given == ("valid",)
    assert [(each.name, each.kind, each.default) for each in found.parameters] == [
        ("size", "literal", 5)
    ]
    assert found.line == 7


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace('"""About."""', '"""Something else."""  # and a comment'),
        PLAIN.replace('    """What it does."""\n', ""),
        PLAIN.replace("block + size", "(block\n            + size)"),
        "\n\n\n" + PLAIN.replace("5", "0x5"),
    ],
    ids=["docstring", "no docstring", "layout", "spelling"],
)
def test_what_does_nothing_changes_nothing(code, other):
    """A comment must not redo ten hours of work."""
    assert code(PLAIN).code == code(other).code


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace("size: int = 5", "size: int = 7"),
        PLAIN.replace("block + size", "block - size"),
        PLAIN.replace("halo=1", "halo=2"),
        PLAIN + "\nX = 1\n",
        PLAIN.replace("5", "5.0"),
        PLAIN.replace("return block", "return np.array(block)"),
    ],
    ids=["default", "operator", "halo", "module", "type", "call"],
)
def test_what_does_something_changes_the_code(code, other):
    """In the function and in its module."""
    assert code(PLAIN).code != code(other).code


def test_modules_beside_it_count(code, tmp_path):
    """Those that it imports, however it does, and not those that merely lie there."""
    text = "import one\ndef f(block):\n    from two import three\n    return one.x(block)\n"
    before = code(text, one="x = 1", two="from four import y", four="y = 2", five="z = 3")
    assert set(before.modules) == {"steps", "one", "two", "four"}
    assert code(text, five="z = 4").code == before.code
    assert code(text, four="y = 3").code != before.code
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "inner.py").write_text("from . import other")
    (tmp_path / "lib" / "other.py").write_text("")
    assert set(code("import lib.inner\ndef f(block): ...").modules) == {
        "steps", "lib.inner", "lib.other",
    }  # fmt: skip


def test_what_pythons_own_modules_are_called_is_not_taken(code):
    """A file ``signal.py`` that lies there takes no place."""
    assert set(code("import signal\ndef f(block): ...", signal="1/0").modules) == {"steps"}


def test_a_version_stands_for_the_code(code):
    """Its author knows what changes pixels."""
    text = "from geobatch_tui import step\n@step(version=3)\ndef f(block): return {}\n"
    assert code(text.format(1)).code == code(text.format(2)).code == "version 3"
    assert code(text.format(1)).digest != code(text.format(2)).digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def g(block): ...", "steps.py has no function 'f' at its top level; it has: g"),
        ("async def f(block): ...", "steps.py:1: f is async"),
        ("def f(): ...", "steps.py:1: f takes no block"),
        ("def f(block, size=5): ...", "'size' of f has to be keyword-only"),
        ("def f(block, **options): ...", "no \\* or \\*\\* of many"),
        ("def f(block, *, use): ...", "no parameter can be called 'use'"),
        ("def f(block):", "steps.py:1: expected an indented block"),
        ("x = 1\0", "null bytes"),
        ("@step(version=v())\ndef f(block): ...", "version of @step has to be written out"),
        ("@step(uses='scipy')\ndef f(block): ...", "uses of @step is a list of names"),
        ("x = " + "(" * 4000 + ")" * 4000 + "\ndef f(block): ...", "steps.py"),
    ],
)
def test_what_cannot_be_called_is_refused(code, text, says):
    """By file and line, before anything runs."""
    with pytest.raises(ValueError, match=says):
        code(text)


def test_pipes_and_books_are_no_code(tmp_path):
    """Nothing waits for a writer, or reads without end."""
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(ValueError, match="not a regular file"):
        read(tmp_path / "pipe.py", "f")
    (tmp_path / "large.py").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ValueError, match="more than 1 MiB"):
        read(tmp_path / "large.py", "f")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read(tmp_path / "absent.py", "f")


def test_a_use_is_a_file_and_a_function():
    """No module path, and no call."""
    assert split("a b/steps.py:f") == ("a b/steps.py", "f")
    for wrong in ("steps:f", "steps.py", "steps.py:f()", "steps.py:", ":f"):
        with pytest.raises(ValueError, match="a file and a function"):
            split(wrong)
