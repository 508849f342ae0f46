"""The decorator of functions that are steps."""

from __future__ import annotations

import subprocess
import sys

import geobatch_tui
from geobatch_tui.functions import Declaration, declaration_of


def test_a_function_stays_what_it_was():
    """It is marked, not wrapped: it can be called and tested without geobatch."""

    @geobatch_tui.step(halo=2, dtype="float32", uses=["scipy"])
    def double(block):
        return 2 * block

    assert double(3) == 6
    assert declaration_of(double) == Declaration(halo=2, dtype="float32", uses=("scipy",))


def test_nothing_need_be_said():
    """Without parentheses, and without a decorator at all."""

    @geobatch_tui.step
    def one(block):
        return block

    assert declaration_of(one) == declaration_of(lambda block: block) == Declaration()


def test_what_numba_compiled_is_asked_for_the_function_in_it():
    """Whichever of the two decorators stands above the other."""

    @geobatch_tui.step(halo=1)
    def inner(block):
        return block

    class Compiled:
        py_func = staticmethod(inner)

    assert declaration_of(Compiled()).halo == 1


def test_the_decorator_loads_nothing():
    """A module of the user starts as fast as without it."""
    code = (
        "import sys\nfrom geobatch_tui import step\n"
        "print(sorted({'numpy', 'pydantic', 'rasterio', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
