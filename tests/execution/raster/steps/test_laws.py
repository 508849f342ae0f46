"""The two laws of steps: any cut gives the same pixels, and a step may be stored or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from assembling import publish
from chains import BESIDE, EXAMPLES, VALIDITIES, chain_item, raster, whole_of, window_of
from pyproj import CRS

from geobatch_tui.errors import InvalidInputError
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.params.frozen import COMBINING
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import Raster
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.step_table import STEPS

LOSSLESS = {"format": "GTiff", "creation": {"compress": "DEFLATE", "blocksize": 16}}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def _same(one, other):
    """Whether two blocks are equal to the bit, but for which NaN a NaN is."""
    (pixels, mask), (others, other_mask) = one, other
    assert pixels.dtype == others.dtype
    assert np.array_equal(pixels, others, equal_nan=pixels.dtype.kind == "f")
    assert np.array_equal(
        *(np.ones(pixels.shape[1:], bool) if m is None else m for m in (mask, other_mask))
    )


def _said(whole, field):
    """A property of a raster, with one word for what a file cannot tell apart."""
    raster, _, mask = whole
    value = getattr(raster, field)
    if isinstance(value, float) and np.isnan(value):
        return "NaN"
    if field == "crs":
        return CRS.from_wkt(value).to_epsg() or value
    if value != value:  # noqa: PLR0124 - NaN
        return "nan"
    if field == "validity" and mask is not None and mask.all():
        return "none"
    return value


def test_every_step_has_parameters_and_an_example():
    """Nothing is left out of the laws."""
    assert set(STEPS) == {step["name"] for step in EXAMPLES.values()} | BESIDE
    assert set(STEPS) == set(STEP_PARAMS) - COMBINING
    assert [step.name for step in STEPS.values()] == sorted(STEPS)


def _cut(tmp_path, name, validity):
    """Hold random windows of a step, down to a pixel, against the same of the whole."""
    path = raster(tmp_path / f"{validity}.tif", validity=validity)
    item = chain_item(path, [EXAMPLES[name]])
    plan, pixels, mask = whole_of(item)
    rng = np.random.default_rng(len(name))
    for _ in range(8):
        left, top = int(rng.integers(plan.width)), int(rng.integers(plan.height))
        width = int(rng.integers(1, plan.width - left + 1))
        height = int(rng.integers(1, plan.height - top + 1))
        window = Window(left, top, width, height)
        part = pixels[:, *window.slices], None if mask is None else mask[window.slices]
        _same(window_of(item, window), part)


@pytest.mark.parametrize("name", EXAMPLES)
def test_any_cut_gives_the_same_pixels(tmp_path, name):
    """compute(W) is compute(V)[W], on two kinds of raster; on all of them below."""
    start = list(EXAMPLES).index(name) % 2
    for validity in VALIDITIES[start::2]:
        _cut(tmp_path, name, validity)


@pytest.mark.slow
@pytest.mark.parametrize("validity", VALIDITIES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_any_cut_of_any_raster_gives_the_same_pixels(tmp_path, name, validity):
    """The same on every kind of raster."""
    _cut(tmp_path, name, validity)


def _hold(tmp_path, first, seconds, validity):
    """Hold ``first`` and each of ``seconds`` in one pass against two jobs with a file between."""
    source = raster(tmp_path / f"{validity}.tif", validity=validity, size=(41, 39))
    between = tmp_path / "between" / f"{validity}.tif"
    between.parent.mkdir(exist_ok=True)
    stored = chain_item(source, [EXAMPLES[first]], output=LOSSLESS)
    mask = whole_of(stored)[2]
    Path(publish(stored)[0]).rename(between)
    for second in seconds:
        # A mask that hides nothing is not stored; whether it does, no plan can know.
        if mask is not None and mask.all() and EXAMPLES[second]["name"] == "nodata-to-alpha":
            continue
        try:
            fused = whole_of(chain_item(source, [EXAMPLES[first], EXAMPLES[second]]))
        except InvalidInputError as error:
            with pytest.raises(type(error)):
                chain_item(between, [EXAMPLES[second]])
            continue
        apart = whole_of(chain_item(between, [EXAMPLES[second]]))
        _same(fused[1:], apart[1:])
        for field in Raster.__dataclass_fields__:
            assert _said(fused, field) == _said(apart, field), (second, field)


#: Pairs that only slow tests try: for uint16 alone a loop would be compiled, for seconds. Other types
#: are warped behind other steps.
COMPILED = {("scale-own-range", "reproject-bilinear"), ("scale-own-range", "reproject-cubic")}


@pytest.mark.parametrize("first", EXAMPLES)
def test_a_step_may_be_stored_or_not(tmp_path, first):
    """Two steps in one pass give what two jobs give with a file between them: its pixels, and
    what it says of itself. A twelfth of the pairs is tried, so that each step comes second on each kind
    of raster: all are below."""
    names = list(EXAMPLES)
    at = names.index(first)
    seconds = [name for name in names[at % 12 :: 12] if (first, name) not in COMPILED]
    _hold(tmp_path, first, seconds, VALIDITIES[(at + at // 12) % 4])


@pytest.mark.slow
@pytest.mark.parametrize("validity", VALIDITIES)
@pytest.mark.parametrize("first", EXAMPLES)
def test_any_step_may_be_stored_or_not(tmp_path, first, validity):
    """The same on every kind of raster."""
    _hold(tmp_path, first, EXAMPLES, validity)
