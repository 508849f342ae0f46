"""Rasters beside what *calc* gets, by names: in GDAL's words, and in any cut."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of, window_of
from pydantic import ValidationError

from geobatch_tui.config.layers import load_job
from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.gdal_commands import item_command
from geobatch_tui.execution.raster.source import opened_source


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@pytest.fixture
def two(tmp_path):
    """Two rasters of one band on the same grid, with holes in other places, and one of two."""
    return [
        raster(tmp_path / "a.tif", bands=1, seed=1),
        raster(tmp_path / "b.tif", bands=1, seed=2, dtype="int16"),
        raster(tmp_path / "c.tif", bands=2, seed=3, validity="mask"),
    ]


def given(calc, **how):
    """The step as a worker gets it."""
    step = {"name": "calc", "calc": calc, "output_data_type": "Float32", **how}
    return json.loads(STEP_PARAMS["calc"].model_validate(step).model_dump_json())


def made(path, calc, **how):
    """What calc gives, with NaN where it gives nothing."""
    plan, pixels, mask = whole_of(chain_item(path, [given(calc, **how)]))
    hidden = np.zeros(pixels.shape, bool) if mask is None else np.broadcast_to(~mask, pixels.shape)
    if plan.nodata is not None:
        hidden = hidden | (pixels == plan.nodata)
    return np.where(hidden, np.nan, pixels)


def read(path):
    """Bands as floats, with NaN for nodata."""
    with rasterio.open(path) as dataset:
        return dataset.read(masked=True).astype("float64").filled(np.nan)


def test_names_stand_for_other_rasters(two):
    """By their only band, by a band, or by each in turn; what one has not, the result has not."""
    a, b, c = map(read, two)
    beside = {"B": str(two[1]), "other": str(two[2])}
    assert np.allclose(made(two[0], "X - B", inputs=beside), a - b, equal_nan=True)
    assert np.allclose(made(two[0], "b1 / other[2]", inputs=beside), a / c[1:], equal_nan=True)
    expected = (c + b) / 2
    found = made(two[2], "(X + B) / 2", inputs={"B": str(two[1])})
    assert np.allclose(found, expected, equal_nan=True)
    flat = made(two[0], "sum(B, other)", inputs=beside, flatten=True)
    assert np.allclose(flat, (b + c[:1] + c[1:]), equal_nan=True)
    turns = made(two[2], "X - other", inputs=beside)
    assert (turns[~np.isnan(turns)] == 0).all()
    chosen = made(two[0], "isnodata(B) ? -1 : B", inputs=beside, propagate_nodata=False)
    assert np.array_equal(chosen == -1, np.isnan(b))


def test_a_chain_may_stand_beside(two):
    """Computed with each window, around it too; in any cut the same."""
    side = {"input": "{source}", "steps": [{"name": "neighbors", "kernel": "equal"}]}
    item = chain_item(two[0], [given("X - mean", inputs={"mean": side})])
    _, pixels, _ = whole_of(item)
    for window in (Window(0, 0, 1, 1), Window(11, 7, 20, 13), Window(40, 39, 7, 2)):
        assert np.array_equal(window_of(item, window)[0], pixels[:, *window.slices], equal_nan=True)


@pytest.mark.parametrize("form", ["{} ! write {}", "gdal raster {} {}"])
def test_gdals_words_are_the_same_job(two, tmp_path, form):
    """As a first step, as a command, and as the command that is told. GDAL's wheel has no
    muparser, so it cannot be asked for its pixels."""
    words = f"calc -i A={two[0]} -i B={two[1]} --calc 'A * 2 - B' --ot Float32"
    loaded = load_job(None, pipeline=form.format(words, tmp_path / "out"), environ={})
    assert loaded.job.source.inputs == (str(two[0]),)
    [step] = loaded.job.op.params.model_dump(mode="json")["steps"]
    item = chain_item(two[0], [step])
    command = item_command(item)
    assert f"calc -i A={two[0]} -i B={two[1]} --calc 'A * 2 - B'" in command
    told = load_job(None, pipeline=command, flags={"output.dir": "out"}, environ={}).job
    assert told.op.params.steps[0].inputs_state == step["inputs_state"]
    assert told.source.inputs == loaded.job.source.inputs
    _, [pixels], _ = whole_of(item)
    expected = (2 * read(two[0]) - read(two[1]))[0]
    known = ~np.isnan(expected)
    assert np.array_equal(pixels[known], expected[known].astype("float32"))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"calc": "X - C", "inputs": {}}, "there is no raster 'C'"),
        ({"calc": "X - B", "inputs": {"B": "/no/file.tif"}}, "B: /no/file.tif cannot be read"),
        ({"calc": "X - b2", "inputs": {"b2": "/no/file.tif"}}, "b2"),
        ({"calc": "A", "inputs": {"A": {"input": "{source}"}}}, "'A' is no name for a raster"),
        ({"calc": "sqrt", "inputs": {"sqrt": {"input": "{source}"}}}, "no name for a raster"),
        (
            {"calc": "mean", "dialect": "builtin", "inputs": {"B": {"input": "{source}"}}},
            "builtin functions take what comes in alone",
        ),
    ],
)
def test_bad_parameters_are_refused(step, message):
    """Before any raster is read."""
    with pytest.raises(ValidationError, match=message):
        STEP_PARAMS["calc"].model_validate({"name": "calc", **step})


def test_other_rasters_are_refused(two, tmp_path):
    """Another grid, a band that is not there, and other numbers of bands in turn."""
    other = raster(tmp_path / "d.tif", size=(12, 9), bands=1)
    for calc, beside, message in (
        ("X - B", other, r"inputs.B: it has 12x9 pixels"),
        ("X - B[2]", two[1], r"there is no band 2 of B, which has 1"),
        ("X - B", raster(tmp_path / "e.tif", bands=3), r"2 and 3 bands are taken in turn"),
    ):
        with pytest.raises(SchemaError, match=message):
            chain_item(two[2], [given(calc, inputs={"B": str(beside)})])
