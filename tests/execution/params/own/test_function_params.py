"""Parameters of functions of the user, checked without running them."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from geobatch_tui.execution.params.chain_params import RasterChain

SOURCE = """
from typing import Literal, Optional
import numpy as np
from geobatch_tui import step

@step(files=("lut.csv",), uses=("pydantic",))
def f(block, *, size: int = 5, gain: float = 1.0, how: Literal["a", "b"] = "a", on: bool = False,
      sides: tuple[int, int] = (1, 2), names: list[str] = [], limit: "float | None" = None,
      kernel=np.ones(3), free=None, plain="x", nodata): ...

def g(block, *, needed: int): ...

def h(block, *, kernel: np.ndarray = None): ...
"""


@pytest.fixture
def checked(tmp_path):
    """Check a step that uses a function of SOURCE; returns its dump, or the error."""
    (tmp_path / "steps.py").write_text(SOURCE)
    (tmp_path / "lut.csv").write_text("1,2\n")

    def call(function="f", **values):
        use = f"{tmp_path / 'steps.py'}:{function}"
        chain = RasterChain.model_validate({"steps": [{"use": use, **values}]})
        dumped = chain.model_dump(mode="json")
        again = RasterChain.model_validate(dumped)
        assert again == chain or any(value != value for value in values.values())  # noqa: PLR0124
        return dumped["steps"][0]

    return call


def test_defaults_that_are_written_out_are_filled_in(checked):
    """As pydantic's models do; what is computed is left to the function."""
    step = checked()
    own = {"name", "use", "function"}
    assert {name: value for name, value in step.items() if name not in own} == {
        "size": 5, "gain": 1.0, "how": "a", "on": False, "sides": [1, 2], "names": [],
        "limit": None, "free": None, "plain": "x",
    }  # fmt: skip
    assert step["name"] == "function"
    assert set(step["function"]["libraries"]) == {"numpy", "pydantic"}
    assert set(step["function"]["files"]) == {"lut.csv"}
    assert step["function"]["line"] == 7


def test_values_are_taken(checked):
    """Of each type, and any where nothing is said."""
    step = checked(
        size=7, gain=2, how="b", on=True, sides=[3, 4], limit=math.nan, kernel=[[1]], free={"a": 1}
    )
    assert (step["gain"], step["sides"], step["kernel"]) == (2.0, [3, 4], [[1]])
    assert math.isnan(checked(limit="nan")["limit"])


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"siz": 1}, "siz", "f has no parameter 'siz'; did you mean 'size'"),
        ({"nodata": 1}, "nodata", "given to f by geobatch"),
        ({"size": "7"}, "size", "valid integer"),
        ({"size": 1.5}, "size", "valid integer"),
        ({"size": True}, "size", "valid integer"),
        ({"how": "c"}, "how", "'a' or 'b'"),
        ({"sides": [1]}, "sides", "Field required"),
        ({"plain": 1}, "plain", "valid string"),
        ({"function": "g"}, "needed", "Field required"),
        ({"function": "h"}, "kernel", "steps.py:13: no job file can give np.ndarray"),
        ({"function": "i"}, "use", "no function 'i'"),
    ],
)
def test_wrong_values_are_named(checked, values, key, says):
    """At their own key, so that a job file's line can be told."""
    with pytest.raises(ValidationError) as caught:
        checked(**values)
    (error, *_) = caught.value.errors()
    assert error["loc"][3] == key
    assert says in error["msg"]


def test_a_step_is_named_or_used(checked):
    """Not both."""
    with pytest.raises(ValidationError, match="not both"):
        checked(name="clip")


def test_files_and_libraries_have_to_be_there(checked, tmp_path):
    """Else nobody could tell whether they changed."""
    (tmp_path / "lut.csv").write_text("3")
    changed = checked()["function"]["files"]
    (tmp_path / "lut.csv").unlink()
    with pytest.raises(ValidationError, match=r"lut\.csv cannot be read"):
        checked()
    assert len(changed["lut.csv"]) == 32
    (tmp_path / "steps.py").write_text("@step(uses=['no-such-thing'])\ndef f(block): ...\n")
    with pytest.raises(ValidationError, match="'no-such-thing' is not installed"):
        checked()


def test_portable_code_knows_no_processor(checked, tmp_path):
    """Nor a version of numpy."""
    assert checked()["function"]["cpu"]
    (tmp_path / "steps.py").write_text("@step(portable=True)\ndef f(block): ...\n")
    read = checked()["function"]
    assert (read["cpu"], read["libraries"]) == ("", {})
