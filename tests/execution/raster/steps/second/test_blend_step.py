"""The step *blend*, and the raster beside what comes in: as GDAL 3.13 blends, and what is refused."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import publish
from chains import chain_item, raster, whole_of, window_of
from kept_gdal import all_by_gdal
from pydantic import ValidationError
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from geobatch_tui.errors import (
    CorruptSourceError,
    InvalidInputError,
    SchemaError,
    SourceChangedError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.protocol.messages import StagePlan
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.kernels.images.blend_loops import OPERATORS
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.stages import phases

WIDTH, HEIGHT = 48, 21
_KINDS = {
    1: [ColorInterp.gray],
    2: [ColorInterp.gray, ColorInterp.alpha],
    3: [ColorInterp.red, ColorInterp.green, ColorInterp.blue],
    4: [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha],
}
#: Operators that GDAL runs beyond its memory if the overlay has more bands.
AS_THEY_STAND = {"darken", "lighten", "color-dodge", "color-burn"}
LOSSLESS = {"format": "GTiff", "creation": {"compress": "DEFLATE", "blocksize": 16}}


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def image(path, bands, *, seed=0, width=WIDTH, **profile):
    """Write an image of noise, with all of black, white and transparent."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (bands, HEIGHT, width)).astype("uint8")
    pixels[:, :3] = rng.choice([0, 255], (bands, 3, width))
    if bands in {2, 4}:
        pixels[-1, 5:8], pixels[-1, 8:12] = 0, 255
    profile = {
        "driver": "GTiff", "width": width, "height": HEIGHT, "count": bands, "dtype": "uint8",
        "crs": "EPSG:3035", "transform": from_origin(4_000_000, 3_000_000, 10, 10),
        "photometric": "rgb" if bands > 2 else "minisblack", **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.colorinterp = _KINDS[bands]
        out.write(pixels)
    return path


def given(step):
    """The step as a worker gets it."""
    model = STEP_PARAMS[step["name"]].model_validate(step)
    return json.loads(model.model_dump_json())


def blended(path, overlay, operator="src-over", opacity=100):
    """What blend gives."""
    return whole_of(_item(path, overlay, operator=operator, opacity=opacity))


def _item(path, overlay, **how):
    overlay = str(overlay) if isinstance(overlay, Path) else overlay
    return chain_item(path, [given({"name": "blend", "overlay": overlay, **how})])


# --- GDAL --------------------------------------------------------------------------------------


def _runs(operator, bands, over):
    """Whether GDAL takes such images, and stays within its memory."""
    if operator == "hsv-value":
        return bands >= 3 and (bands, over) != (4, 1)
    if operator in {"darken", "lighten"} and (bands + 1) // 2 != (over + 1) // 2:
        return False
    if operator == "src-over" and (bands == 2 or (bands > 2 and over == 2)):
        return False
    return not (operator in AS_THEY_STAND and over > bands)


def test_pixels_are_those_of_gdal(tmp_path):
    """To the bit, with every operator, on every kind of image, with and without opacity: each two of
    operator, image and overlay meet, as half of all do."""
    lower = {bands: image(tmp_path / f"b{bands}.tif", bands) for bands in _KINDS}
    upper = {bands: image(tmp_path / f"o{bands}.tif", bands, seed=bands) for bands in _KINDS}
    jobs = [
        (operator, bands, over, opacity, tmp_path / f"{operator}{bands}{over}{opacity}.tif")
        for operator, bands, over, opacity in itertools.product(
            OPERATORS, _KINDS, _KINDS, (100, 37)
        )
        if _runs(operator, bands, over)
        and (list(OPERATORS).index(operator) + bands + over) % 2 == 0
        and (opacity == 37 or operator in {"src-over", "hsv-value", "multiply"})
    ]
    all_by_gdal(
        f"read {lower[bands]} ! blend --overlay {upper[over]} --operator {operator} "
        f"--opacity {opacity} ! write {out} --co INTERLEAVE=PIXEL"
        for operator, bands, over, opacity, out in jobs
    )
    for operator, bands, over, opacity, out in jobs:
        _, pixels, _ = blended(lower[bands], upper[over], operator, opacity)
        with rasterio.open(out) as dataset:
            assert np.array_equal(dataset.read(), pixels), (operator, bands, over, opacity)
    assert len(jobs) > 60


def test_a_few_numbers(tmp_path):
    """Grey 100 and 200 with 150 over them."""
    lower, upper = image(tmp_path / "b.tif", 1), image(tmp_path / "o.tif", 1)
    for path, row in ((lower, [100, 200]), (upper, [150, 150])):
        with rasterio.open(path, "r+") as dataset:
            dataset.write(np.resize(np.array(row, "uint8"), (1, HEIGHT, WIDTH)))
    expected = {
        "src-over": [150, 150], "multiply": [59, 118], "screen": [191, 232],
        "overlay": [118, 209], "hard-light": [127, 209], "darken": [100, 150],
        "lighten": [150, 200], "color-dodge": [242, 255], "color-burn": [0, 95],
    }  # fmt: skip
    for operator, row in expected.items():
        _, [pixels], _ = blended(lower, upper, operator)
        assert pixels[0, :2].tolist() == row, operator
    assert blended(lower, upper, "src-over", 50)[1][0, 0, :2].tolist() == [125, 175]


def test_what_gdal_does_otherwise_is_said(tmp_path):
    """Where it runs beyond its memory, takes other pixels, or another band."""
    odd = {"width": WIDTH + 5}
    lower = {n: image(tmp_path / f"b{n}.tif", n, **odd) for n in _KINDS}
    upper = {n: image(tmp_path / f"o{n}.tif", n, **odd) for n in _KINDS}
    for bands, over, operator, text in (
        (3, 4, "darken", "over other memory"), (4, 4, "src-over", "last 5 columns"),
        (2, 1, "src-over", "another colour"), (3, 2, "src-over", "its alpha for green"),
        (4, 1, "hsv-value", "alpha of the first of its block"),
    ):  # fmt: skip
        item = _item(lower[bands], upper[over], operator=operator)
        assert text in " ".join(item.plan.warnings)


# --- laws --------------------------------------------------------------------------------------

SHADE = {"input": "{source}", "steps": [{"name": "hillshade", "zfactor": 200}]}
COLOURS = {"name": "color-map", "colors": [["40", 0, 0, 255, 255], ["150", 255, 90, 0, 90]]}


@pytest.mark.parametrize("operator", OPERATORS)
def test_any_cut_gives_the_same_pixels(tmp_path, operator):
    """Of a chain beside it too, which looks around each pixel."""
    for validity in ("nodata", "mask"):
        path = raster(tmp_path / f"{validity}.tif", validity=validity)
        alpha = operator in {"src-over", "multiply"}
        steps = [given({**COLOURS, "add_alpha": alpha})]
        overlay = SHADE if operator not in AS_THEY_STAND else {**SHADE, "steps": [
            *SHADE["steps"], COLOURS
        ]}  # fmt: skip
        item = chain_item(path, [*steps, given({
            "name": "blend", "overlay": overlay, "operator": operator, "opacity": 60
        })])  # fmt: skip
        _, pixels, mask = whole_of(item)
        for window in (Window(0, 0, 1, 1), Window(5, 4, 17, 9), Window(30, 20, 17, 21)):
            part, own = window_of(item, window)
            assert np.array_equal(part, pixels[:, *window.slices])
            assert mask is None or np.array_equal(own, mask[window.slices])


@pytest.mark.parametrize("validity", ["none", "nodata", "alpha", "mask"])
def test_it_may_be_stored_or_not(tmp_path, validity):
    """What is before it, and what is behind."""
    overlay = image(tmp_path / "o.tif", 4)
    path = _grey(tmp_path / "a.tif", validity)
    first = given({"name": "scale", "input_min": 0, "input_max": 200, "output_data_type": "uint8"})
    last = given({"name": "calc", "calc": ["b1 + 1"], "output_data_type": "UInt8"})
    for operator in ("src-over", "multiply", "color-burn"):
        blend = given({"name": "blend", "overlay": str(overlay), "operator": operator})
        _, fused, mask = whole_of(chain_item(path, [first, blend, last]))
        stored = chain_item(path, [first, blend], output=LOSSLESS)
        between = publish(stored)[0]
        _, apart, own = whole_of(chain_item(Path(between), [last]))
        assert np.array_equal(fused, apart)
        assert (mask is None) == (own is None)
        assert mask is None or np.array_equal(mask, own)
        opened_source.release()
        Path(between).unlink()


def _grey(path, validity):
    path = raster(path, size=(WIDTH, HEIGHT), dtype="uint8", bands=1, validity=validity)
    with rasterio.open(path, "r+") as dataset:
        dataset.crs, dataset.transform = "EPSG:3035", from_origin(4_000_000, 3_000_000, 10, 10)
    return path


def test_holes_of_the_overlay_leave_the_image(tmp_path):
    """And what the image has no data for stays so."""
    lower, upper = image(tmp_path / "b.tif", 3), _grey(tmp_path / "o.tif", "mask")
    _, pixels, _ = blended(lower, upper, "multiply")
    with rasterio.open(lower) as dataset, rasterio.open(upper) as over:
        hole = over.dataset_mask() == 0
        assert hole.any()
        assert np.array_equal(pixels[:, hole], dataset.read()[:, hole])
    plan, pixels, _ = blended(_grey(tmp_path / "n.tif", "nodata"), image(tmp_path / "c.tif", 1))
    with rasterio.open(tmp_path / "n.tif") as dataset:
        assert np.array_equal(pixels[0] == plan.nodata, dataset.read(1) == 0)


# --- the raster beside -------------------------------------------------------------------------


def test_another_file_in_its_place_is_noticed(tmp_path):
    """By the job that is read anew, and by a chunk that was planned before."""
    lower, upper = image(tmp_path / "b.tif", 1), image(tmp_path / "o.tif", 1)
    item = _item(lower, upper)
    before = item.params["steps"][0]["overlay_state"]
    os.utime(upper, (1, 1))
    with pytest.raises(SourceChangedError, match=r"overlay: .*o\.tif is not the file"):
        whole_of(item)
    with pytest.raises(SourceChangedError, match="overlay: "):
        chain_item(lower, item.params["steps"])
    step = given({"name": "blend", "overlay": str(upper)})
    assert step["overlay_state"] != before
    nested = given({"name": "blend", "overlay": {"input": str(upper), "steps": [COLOURS]}})
    os.utime(upper, (2, 2))
    again = given({"name": "blend", "overlay": {"input": str(upper), "steps": [COLOURS]}})
    assert nested["overlay_state"] != again["overlay_state"]


def test_a_kept_plan_does_not_say_what_is_read(tmp_path):
    """The path is that of the job."""
    item = _item(image(tmp_path / "b.tif", 1), image(tmp_path / "o.tif", 1))
    assert "o.tif" not in json.dumps(item.plan.detail)


def test_damage_in_it_is_said_by_its_name(tmp_path):
    """No other block is looked for in the source."""
    upper = image(tmp_path / "o.tif", 1, compress="lzw")
    item = _item(image(tmp_path / "b.tif", 1), upper)
    state = upper.stat()
    data = bytearray(upper.read_bytes())
    data[200:400] = bytes(200)
    upper.write_bytes(data)
    os.utime(upper, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(CorruptSourceError, match=r"o\.tif") as raised:
        whole_of(item)
    plan = RasterPlan.from_json(item.plan.detail)
    phase = phases.Phase(item, plan, 0, source=StagePlan(item.plan.grid, 0, 0, 1, 0, ""))
    with pytest.raises(CorruptSourceError), phase.blaming_the_stage():  # nor is what is stored
        raise raised.value


def test_what_reads_the_source_beside_stores_nothing(tmp_path):
    """From a stage on there is no source; a file may stand beside one."""
    path = image(tmp_path / "b.tif", 1)
    for overlay, stored in (({"input": "{source}"}, False), (str(path), True)):
        steps = [{"name": "set-type", "output_data_type": "uint8"}, {"name": "materialize"}]
        item = chain_item(path, [*map(given, steps), given({"name": "blend", "overlay": overlay})])
        assert bool(item.plan.stages) == stored


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"width": WIDTH + 1}, "overlay: it has 49x21 pixels"),
        ({"crs": "EPSG:32632"}, "overlay: it is in"),
        ({"transform": from_origin(4_000_005, 3_000_000, 10, 10)}, "0.5 pixels apart"),
    ],
)
def test_another_grid_is_refused(tmp_path, overlay, message):
    """By what is other."""
    upper = image(tmp_path / "o.tif", 1, **overlay)
    with pytest.raises(SchemaError, match=message):
        _item(image(tmp_path / "b.tif", 1), upper)


def test_other_images_are_refused(tmp_path):
    """Types, palettes, numbers of bands, and what is no raster."""
    grey, colours = image(tmp_path / "b.tif", 1), image(tmp_path / "c.tif", 3)
    for path, overlay, how, message in (
        (raster(tmp_path / "f.tif", bands=1), grey, {}, "float32"),
        (raster(tmp_path / "u.tif", dtype="uint8", validity="none"), grey, {}, "has 2 bands"),
        (grey, colours, {"operator": "hsv-value"}, "the input is grey"),
        (grey, colours, {"operator": "darken"}, "has 1, the overlay 3"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            _item(path, overlay, **how)
    (tmp_path / "x.tif").write_text("no raster")
    with pytest.raises(UnsupportedFormatError, match="overlay"):
        _item(grey, tmp_path / "x.tif")
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InvalidInputError, match="no regular file"):
        _item(grey, tmp_path / "pipe.tif")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "overlay"),
        ({"overlay": "/no/file.tif"}, "cannot be read"),
        ({"overlay": 3}, "path of a file, or a table"),
        ({"overlay": {"input": "{source}", "steps": [{"name": "hill"}]}}, "no step 'hill'"),
        ({"overlay": {"input": "{source}", "steps": [{"name": "slope", "a": 1}]}}, "slope: "),
        ({"overlay": {"input": "{source}", "steps": [{"use": "a.py:b"}]}}, "a.py cannot be"),
        ({"overlay": {"input": "{source}", "steps": [{"name": "mosaic"}]}}, "mosaic combines"),
        ({"overlay": {"input": "{source}", "more": 1}}, "more"),
        ({"overlay": {"input": "{source}"}, "opacity": 101}, "opacity"),
        ({"overlay": {"input": "{source}"}, "operator": "xor"}, "operator"),
    ],
)
def test_bad_parameters_are_refused(step, message):
    """Before any raster is read."""
    with pytest.raises(ValidationError, match=message):
        given({"name": "blend", **step})
