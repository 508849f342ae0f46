"""Modules of the user, loaded by their path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from geobatch_tui.errors import PlanMismatchError, PreflightError, StepError
from geobatch_tui.execution.params.own import function_code
from geobatch_tui.execution.runtime import own_module
from geobatch_tui.execution.runtime.classify import failure
from geobatch_tui.execution.runtime.recorder import Recorder


@pytest.fixture
def load(tmp_path):
    """Write modules and load ``f`` of ``steps.py``."""

    def call(text=None, *, folder=tmp_path, **others):
        for name, other in {**others, **({"steps": text} if text else {})}.items():
            file = folder / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(other)
        code = function_code.read(folder / "steps.py", "f").code
        return own_module.load("steps.py:f", str(folder / "steps.py"), code, afresh=True)

    return call


def test_modules_beside_it_are_its_own(load, tmp_path):
    """Two jobs have a module of the same name each, and nobody else sees either."""
    text = (
        "import helper\ndef f(block):\n    from helper import x\n    return block + x + helper.x\n"
    )
    one = load(text, folder=tmp_path / "one", helper="x = 1")
    two = load(text, folder=tmp_path / "two", helper="x = 2")
    assert (one(0), two(0)) == (2, 4)
    assert "helper" not in sys.modules
    assert not [path for path in sys.path if str(tmp_path) in path]


@pytest.mark.parametrize(
    "text",
    [
        "import lib.inner\ndef f(block): return lib.inner.x",
        "import lib.inner as inner\ndef f(block): return inner.x",
        "from lib import inner\ndef f(block): return inner.x",
        "from lib.inner import x\ndef f(block): return x",
        "from .lib.inner import x\ndef f(block): return x",
    ],
)
@pytest.mark.parametrize("init", [{}, {"lib____init__": "y = 1"}], ids=["plain", "package"])
def test_folders_are_packages(load, text, init):
    """With and without an __init__.py, however they are imported."""
    assert (
        load(text, lib__inner="from . import other\nx = other.z", lib__other="z = 5", **init)(0)
        == 5
    )


def test_pythons_modules_are_pythons(load):
    """Whatever lies beside it."""
    found = load("import json\ndef f(block): return json.dumps(block)", json="1 / 0")
    assert found([1]) == "[1]"


def test_no_compiled_code_is_read_or_written(load, tmp_path):
    """What is run is what was digested."""
    load("import helper\ndef f(block): return 1", helper="x = 1")
    assert not list(tmp_path.rglob("__pycache__"))


def test_code_that_changed_is_refused(load, tmp_path):
    """A worker that starts late must not run other code than the others."""
    known = load("def f(block): return 1")
    (tmp_path / "steps.py").write_text("def f(block): return 2")
    file, code = str(tmp_path / "steps.py"), known.code.code
    assert own_module.load("steps.py:f", file, code) is known
    with pytest.raises(PlanMismatchError, match="is other code than when this run began"):
        own_module.load("steps.py:f", file, code, afresh=True)
    (tmp_path / "steps.py").unlink()
    with pytest.raises(PlanMismatchError, match="cannot be read any more"):
        own_module.load("steps.py:f", file, code, afresh=True)


def test_code_of_a_version_may_change(load):
    """Its author says that it gives the same."""
    text = "from geobatch_tui import step\n@step(version=1)\ndef f(block): return {}"
    assert (load(text.format(1))(0), load(text.format(2))(0)) == (1, 2)


def test_what_cannot_be_imported_says_where(load):
    """As no item can be made with it."""
    with pytest.raises(PreflightError, match=r"ZeroDivisionError: .* \(helper\.py, line 2\)"):
        load("import helper\ndef f(block): ...", helper="x = 0\n1 / x")


def test_a_failure_shows_the_frames_of_the_user(load):
    """And none of ours."""
    found = load("def f(block):\n    return g(block)\n\ndef g(block):\n    return block['a']\n")
    with pytest.raises(StepError, match=r"raised TypeError: .* \(steps.py, line 5\)") as caught:
        found(0)
    text = failure(caught.value).traceback
    assert [line.strip() for line in text.splitlines() if "File" in line] == [
        f'File "{found.code.modules["steps"]}", line {line}, in {name}'
        for line, name in ((2, "f"), (5, "g"))
    ]


def test_memory_that_ran_out_is_no_fault_of_the_function(load):
    """The chunk is tried again in parts."""
    with pytest.raises(MemoryError):
        load("def f(block): raise MemoryError")(0)


def test_what_it_says_is_kept_and_judged_as_no_failure(load, capsys):
    """In a process of its own; elsewhere streams belong to others."""
    text = "import warnings\ndef f(block):\n    print('ERROR: none')\n    warnings.warn('odd')\n"
    found = load(text)
    recorder = Recorder(alone=True)
    recorder.begin()
    try:
        found(0)
        assert recorder.notes == {"steps.py:f": "ERROR: none\nsteps.py:4: UserWarning: odd\n"}
        assert capsys.readouterr().out == ""
    finally:
        Recorder().begin()
    with pytest.warns(UserWarning, match="odd"):
        found(0)
    assert capsys.readouterr().out == "ERROR: none\n"


def test_numba_functions_are_taken_as_they_are(load, tmp_path):
    """What numba is asked to keep lies not beside them, where workers cannot write."""
    text = (
        "import numba\nfrom geobatch_tui import step\n"
        "@step(halo=1)\n@numba.njit(cache=True)\ndef f(block): return block + 1\n"
    )
    found = load(text)
    assert found(1) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["steps.py"]
    assert Path(found.call.py_func.__code__.co_filename).name == "steps.py"
