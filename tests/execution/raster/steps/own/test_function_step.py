"""What functions of the user are given, and what becomes of their answers."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest
from chains import chain_item, raster, whole_of, window_of

from geobatch_tui.errors import InvalidInputError, PreflightError, SchemaError, StepError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.own import function_step

HEAD = "import numpy as np\nfrom geobatch_tui import step\n"


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@pytest.fixture
def item(tmp_path):
    """Plan a function ``f`` on a raster; keywords as of ``raster``."""

    def call(text, *, parameters=None, before=(), **how):
        (tmp_path / "steps.py").write_text(HEAD + dedent(text))
        own = {"use": f"{tmp_path / 'steps.py'}:f", **(parameters or {})}
        return chain_item(raster(tmp_path / "a.tif", **how), [*before, own])

    return call


def source_of(tmp_path):
    return whole_of(chain_item(tmp_path / "a.tif", [{"name": "edit"}]))


@pytest.mark.parametrize("rim", ["replicate", "reflect", "nodata", 7.0])
def test_what_lies_beyond_the_item_is_as_declared(item, tmp_path, rim):
    """As numpy pads the whole raster; a chunk's own rim is never padded."""
    found = item(
        f"""
        @step(halo=3, bands=1, rim={rim!r})
        def f(block, *, valid):
            return block[:1, :-6, 3:-3]
        """,
        size=(11, 9),
    )
    _, pixels, _ = whole_of(found)
    _, whole, _ = source_of(tmp_path)
    mode = {"replicate": "edge"}.get(rim, rim) if rim in {"replicate", "reflect"} else "constant"
    fill = {} if mode != "constant" else {"constant_values": -99.0 if rim == "nodata" else rim}
    padded = np.pad(whole[0], 3, mode, **fill)
    assert np.array_equal(pixels[0], padded[:-6, 3:-3])
    part, _ = window_of(found, Window(2, 1, 4, 3))
    assert np.array_equal(part, pixels[:, 1:4, 2:6])


def test_reflection_goes_to_and_fro_in_a_narrow_item(item, tmp_path):
    """A halo wider than the raster."""
    found = item(
        "@step(halo=9, rim='reflect')\ndef f(block): return block[:, 18:, 18:]", size=(3, 2)
    )
    _, whole, _ = source_of(tmp_path)
    padded = np.stack([np.pad(band, 9, "reflect") for band in whole])
    expected = np.where(whole != -99, padded[:, 18:, 18:], -99)
    assert np.array_equal(whole_of(found)[1], expected)


def test_what_it_asks_for_by_name_is_given(item):
    """Of the window of the answer, in pixels of the item."""
    found = item(
        """
        seen = {}
        @step(halo=1)
        def f(block, *, window, valid, nodata, transform, crs, bands, item, size: int = 3):
            answer = block[:, 1:-1, 1:-1].copy()
            assert not block.flags.writeable and block.flags.c_contiguous
            assert valid.shape == block.shape and valid.dtype == bool
            assert ((block == nodata) == ~valid).all()
            assert (window.col_off, window.row_off, window.shape) == (4, 5, answer.shape[1:])
            assert (transform.c, transform.f) == (10 + 4 * 0.05, 42 - 5 * 0.04)
            assert "WGS 84" in crs and bands == ("", "") and item == "key" and size == 3
            answer[:, 0, 0] = 5
            return answer
        """
    )
    pixels, _ = window_of(found, Window(4, 5, 6, 7))
    assert pixels[:, 0, 0].tolist() == [5, 5]


def test_numba_gets_what_it_can_compile(item):
    """Named tuples in place of objects, and the mask."""
    found = item(
        """
        import numba
        @step(bands=1)
        @numba.njit
        def f(block, *, window, valid, nodata, transform, crs, bands, item, size: int = 3):
            answer = block[:1].copy()
            answer[0, 0, 0] = window.col_off + transform.a + size + len(bands)
            return answer
        """
    )
    pixels, _ = window_of(found, Window(4, 5, 6, 7))
    assert pixels[0, 0, 0] == np.float32(4 + 0.05 + 3 + 2)


@pytest.mark.parametrize("validity", ["nodata", "alpha", "mask"])
def test_invalid_stays_invalid_unless_the_function_sees_it(item, tmp_path, validity):
    """One that knows of nothing cannot make a pixel valid; one that sees what is may fill it."""
    found = item("def f(block): return np.full_like(block, 7)", validity=validity)
    plan, pixels, mask = whole_of(found)
    _, whole, before = source_of(tmp_path)
    if validity == "mask":
        assert np.array_equal(mask, before)
    elif validity == "alpha":
        assert np.array_equal(pixels[-1], whole[-1])
        assert (pixels[:-1] == 7).all()
    else:
        assert np.array_equal(pixels == 7, whole != -99)
    assert plan.validity == validity
    filled = item(
        "@step(nodata=-1)\ndef f(block, *, valid): return np.where(valid, block, 7)",
        validity=validity,
    )
    plan, pixels, mask = whole_of(filled)
    assert (plan.validity, plan.nodata, plan.count, mask) == ("nodata", -1.0, 2, None)
    assert (pixels[:, 5:12, 8:20] == 7).all()


def test_a_masked_array_says_what_is_invalid(item):
    """As arrays of rasterio do."""
    text = "def f(block): return np.ma.masked_less(block, 100)"
    _, pixels, _ = whole_of(item(text, validity="nodata"))
    assert ((pixels == -99) | (pixels >= 100)).all()
    _, _, mask = whole_of(item(text, validity="mask", bands=1))
    assert 0 < mask.mean() < 1
    with pytest.raises(StepError, match="masks pixels, and its output marks none"):
        whole_of(item(text, validity="none"))


def test_what_it_declares_may_follow_from_parameters(item):
    """Halo, type, bands and nodata."""
    found = item(
        """
        @step(halo=lambda size: size // 2, dtype=lambda kind: kind, bands=lambda size: size,
              nodata=lambda fill: fill)
        def f(block, *, kind: str, size: int = 3, fill: float = float("nan")):
            half = size // 2
            part = block[:1, half:block.shape[1] - half, half:block.shape[2] - half]
            return np.repeat(part, size, axis=0).astype(kind)
        """,
        parameters={"kind": "int16", "size": 5, "fill": -5},
    )
    plan = RasterPlan.from_json(found.plan.detail)
    assert (plan.count, plan.dtype, plan.nodata) == (5, "int16", -5)
    assert plan.chain[-1].values["halo"] == 2
    assert whole_of(found)[1].shape == (5, 41, 47)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("halo=-1", "halo of its @step is -1"),
        ("halo=1.5", "halo of its @step is 1.5, not a number of pixels"),
        ("halo=lambda: 1 / 0", "halo of its @step raised ZeroDivisionError"),
        ("dtype='complex64'", "dtype of its @step is 'complex64'; rasters have"),
        ("bands=0", "bands of its @step is 0"),
        ("rim='mirror'", "rim of its @step is 'mirror'"),
        ("nodata='x'", "nodata of its @step is 'x'"),
        ("dtype='uint8', nodata=-1", "nodata of its @step does not fit"),
        ("memory=-1", "memory of its @step is -1"),
    ],
)
def test_what_cannot_be_declared_is_refused_in_the_plan(item, declared, says):
    """Before a pixel is read."""
    with pytest.raises(PreflightError, match=says):
        item(f"@step({declared})\ndef f(block): return block")


def test_a_rim_of_nodata_needs_one(item):
    """That is the item's fault, and costs the item."""
    with pytest.raises(SchemaError, match="its input has no nodata"):
        item('@step(halo=1, rim="nodata")\ndef f(block): ...', validity="none")
    assert issubclass(SchemaError, InvalidInputError)


def test_who_looks_around_blindly_is_warned(item):
    """What it gives beside invalid pixels is made of their values."""
    text = "@step(halo=1)\ndef f(block): return block[:, 1:-1, 1:-1]"
    (warning,) = item(text).plan.warnings
    assert "asks for neither valid nor nodata" in warning
    assert not item(text, validity="none").plan.warnings


def test_a_job_that_was_moved_goes_on(item, tmp_path):
    """A chunk asks the job where its functions are, and not the plan of an earlier run."""
    found = item("def f(block): return block")
    plan = RasterPlan.from_json(found.plan.detail)
    (step,) = found.params["steps"]
    moved = {**step, "function": {**step["function"], "file": "/moved/steps.py"}}
    behind = function_step.at_home(plan, [moved]).chain[1].values
    assert behind == {**plan.chain[1].values, "file": "/moved/steps.py"}
    first = {"name": "mosaic"}  # which is the first of the plan's steps, too
    assert function_step.at_home(plan, [first, moved]).chain[1].values == behind


def test_answers_are_copied(item):
    """A function may give the same array each time."""
    found = item("buffer = np.zeros((2, 3, 3), 'float32')\ndef f(block, *, window, nodata):\n"
                 "    buffer[:] = window.col_off\n    return buffer")  # fmt: skip
    first, _ = window_of(found, Window(0, 0, 3, 3))
    second, _ = window_of(found, Window(6, 0, 3, 3))
    assert (first == 0).all()
    assert (second == 6).all()


def test_memory_is_told(item):
    """Times the block; a wide halo makes the block larger than its window."""
    from geobatch_tui.execution.raster.steps.step_table import STEPS

    def scratch(declared):
        found = item(f"@step({declared})\ndef f(block): ...")
        chain = RasterPlan.from_json(found.plan.detail).chain
        return STEPS["function"].scratch(chain[1], chain[0].raster)

    assert scratch("memory=0") == 8
    assert scratch("") == 40
    assert scratch("memory=1, halo=512") == 64


@pytest.mark.parametrize("said", ["", "(memory=2.5)"])
def test_memory_that_is_not_declared_is_to_be_measured(item, said):
    """By the first chunks of a run; what is declared is taken."""
    planned = item(f"@step{said}\ndef f(block): return block").plan
    assert planned.notes.get("unmeasured") is (None if said else True)
    step = RasterPlan.from_json(planned.detail).chain[-1]
    assert step.values["memory"] == (2.5 if said else 4.0)
