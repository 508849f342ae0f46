"""Steps on values, pixel by pixel, and what GDAL 3.13 gives."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of, window_of
from kept_gdal import all_by_gdal
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from geobatch_tui.errors import InvalidInputError, SchemaError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.source import opened_source


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def written(path, pixels, *, nodata=None, palette=None, mask=None, **bands):
    """Write ``pixels`` (bands, h, w) as a TIFF."""
    pixels = np.asarray(pixels)
    profile = {
        "driver": "GTiff", "width": pixels.shape[2], "height": pixels.shape[1],
        "count": len(pixels), "dtype": pixels.dtype, "crs": "EPSG:3035", "nodata": nodata,
        "transform": from_origin(4_000_000, 3_000_000, 10, 10),
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "w", **profile) as out:
        for name, values in bands.items():
            setattr(out, name, values)
        if palette:
            out.write_colormap(1, palette)
        out.write(pixels)
        if mask is not None:
            out.write_mask(np.asarray(mask))
    return path


def every(dtype):
    """All values of a type of 8 or 16 bits, as one band."""
    info = np.iinfo(dtype)
    side = 16 if info.bits == 8 else 256
    return np.arange(info.min, info.max + 1).astype(dtype).reshape(1, side, side)


def floats(dtype="float32", *, low=-50, high=300, size=(1, 64, 100)):
    """Values at random, and many half way between whole numbers."""
    rng = np.random.default_rng(5)
    values = rng.uniform(low, high, size)
    values[:, ::2] = np.round(values[:, ::2]) + 0.5
    return values.astype(dtype)


def both(tmp_path, cases):
    """Ours and GDAL's pixels of each case: a source, a step, and GDAL's words for it."""
    pairs, pipelines = [], []
    for number, (source, step, words) in enumerate(cases):
        out = tmp_path / f"gdal{number}.tif"
        pipelines.append(f"read {source} ! {words} ! write {out}")
        pairs.append((whole_of(chain_item(source, [step])), out))
    all_by_gdal(pipelines)
    for (plan, pixels, mask), out in pairs:
        with rasterio.open(out) as dataset:
            yield plan, pixels, mask, dataset


RANGE = {"input_min": 3, "input_max": 190}
RANGE_WORDS = "--input-min 3 --input-max 190"


def test_scale_and_unscale_are_gdals(tmp_path):
    """No pixel differs, whatever the types, the range and the power."""
    sources = {
        "byte": written(tmp_path / "byte.tif", every("uint8")),
        "int8": written(tmp_path / "int8.tif", every("int8")),
        "int16": written(tmp_path / "int16.tif", every("int16")),
        "uint16": written(tmp_path / "uint16.tif", every("uint16")),
        "nodata": written(tmp_path / "nodata.tif", every("uint16"), nodata=65535),
        "int32": written(tmp_path / "int32.tif", every("int16").astype("int32") * 9001),
        "float": written(tmp_path / "float.tif", floats()),
        "double": written(tmp_path / "double.tif", floats("float64")),
        "packed": written(
            tmp_path / "packed.tif", np.concatenate([every("int16")] * 2), nodata=-9999,
            scales=(0.01, 1), offsets=(273.15, 0),
        ),
    }  # fmt: skip
    cases = []
    for name in ("byte", "int8", "int16", "uint16", "int32", "float"):
        for more, words in (
            ({}, ""),
            ({"exponent": 1.7}, "--exponent 1.7"),
            ({"no_clip": True, "output_min": 7, "output_max": 99.5},
             "--no-clip --output-min 7 --output-max 99.5"),
            ({"output_min": 200, "output_max": 20, "output_data_type": "UInt8"},
             "--output-min 200 --output-max 20 --output-data-type UInt8"),
            ({"output_data_type": "Float32", "exponent": 0.45},
             "--output-data-type Float32 --exponent 0.45"),
        ):  # fmt: skip
            step = {"name": "scale", **RANGE, **more}
            cases.append((sources[name], step, f"scale {RANGE_WORDS} {words}"))
    cases.append((sources["double"], {"name": "scale", **RANGE}, f"scale {RANGE_WORDS}"))
    cases.append((sources["nodata"], {"name": "scale", **RANGE}, f"scale {RANGE_WORDS}"))
    cases += [
        (sources[name], {"name": "unscale"}, "unscale") for name in ("packed", "byte", "double")
    ]
    whole = {"name": "unscale", "output_data_type": "Int16"}
    cases.append((sources["packed"], whole, "unscale --output-data-type Int16"))
    for (source, step, _), (_, pixels, _, dataset) in zip(
        cases, both(tmp_path, cases), strict=True
    ):
        theirs = dataset.read()
        assert pixels.dtype == theirs.dtype
        differ = pixels != theirs
        if source == sources["nodata"]:  # GDAL lets valid pixels become nodata
            assert differ.sum() == 65535 - 190
            assert (theirs[differ] == 65535).all()
            assert (pixels[differ] == 65534).all()
        else:
            assert not differ.any(), (source.name, step)


def test_a_scale_of_doubles_keeps_their_digits(tmp_path):
    """GDAL reads doubles in 32 bits where the output is not as wide; 8 and 9 become the same."""
    values = np.array([[[1e8, 1e8 + 1, 1e8 + 2, 1e8 + 3]]])
    path = written(tmp_path / "a.tif", values)
    step = {
        "name": "scale", "input_min": 1e8, "input_max": 1e8 + 3, "output_min": 0,
        "output_max": 3, "output_data_type": "UInt8",
    }  # fmt: skip
    assert whole_of(chain_item(path, [step]))[1].tolist() == [[[0, 1, 2, 3]]]


def test_the_range_of_a_scale_is_exact(tmp_path):
    """Without one it is that of the valid pixels of each band, through the steps before; it is in
    the plan, with the size of the pass."""
    path = raster(tmp_path / "a.tif", size=(230, 190))
    clip = {"name": "clip", "window": [10, 20, 150, 100]}
    item = chain_item(path, [clip, {"name": "scale", "output_data_type": "UInt8"}])
    with rasterio.open(path) as dataset:
        pixels = dataset.read(masked=True)[:, 20:120, 10:160]
    ranges = [[float(band.min()), float(band.max())] for band in pixels]
    assert item.plan.detail["chain"][-1]["values"]["input"] == ranges
    assert item.plan.notes["first pass of step 2 (scale)"]["pixels"] == 15000
    (said,) = (text for text in item.plan.warnings if "range" in text)
    assert "a look at all 15000 pixels before the first chunk" in said
    _, scaled, _ = whole_of(item)
    valid = ~pixels.mask
    assert scaled[0][valid[0]].max() == 255


def test_a_range_without_ends_is_refused(tmp_path):
    """Infinite values; no valid pixel at all is no error, as there is nothing to scale."""
    values = np.array([[[1, np.inf], [np.nan, 2]]], "float32")
    path = written(tmp_path / "a.tif", values)
    with pytest.raises(SchemaError, match="band 1 has infinite values"):
        chain_item(path, [{"name": "scale"}])
    path = written(tmp_path / "b.tif", np.full((1, 2, 2), 7, "uint8"), nodata=7)
    item = chain_item(path, [{"name": "scale"}])
    assert any("no valid pixel" in text for text in item.plan.warnings)
    assert (whole_of(item)[1] == 7).all()
    path = written(tmp_path / "c.tif", np.full((1, 2, 2), 1e300))
    with pytest.raises(SchemaError, match=r"the one value 1e\+300"):
        chain_item(path, [{"name": "scale"}])
    path = written(tmp_path / "d.tif", np.full((1, 2, 2), 5, "uint8"))
    assert (whole_of(chain_item(path, [{"name": "scale"}]))[1] == 0).all()  # as in GDAL


def test_values_out_of_every_range(tmp_path):
    """NaN, infinities and overflow: floats keep them, whole numbers are held within their type, and
    NaN is 0; a power of what is below 0 is NaN."""
    values = np.array([[[np.nan, np.inf, -np.inf, -1, 1e30, 0, 5]]], "float32")
    path = written(tmp_path / "a.tif", values)
    step = {"name": "scale", "input_min": 0, "input_max": 10, "output_min": 0, "output_max": 100}
    clipped = whole_of(chain_item(path, [step]))[1][0, 0]
    assert math.isnan(clipped[0])
    assert clipped[1:].tolist() == [100, 0, 0, 100, 0, 50]
    free = {**step, "no_clip": True, "output_data_type": "UInt8"}
    assert whole_of(chain_item(path, [free]))[1][0, 0].tolist() == [0, 255, 0, 0, 255, 0, 50]
    power = {**step, "no_clip": True, "exponent": 0.5}
    item = chain_item(path, [power])
    assert any("they become NaN" in text for text in item.plan.warnings)
    rooted = whole_of(item)[1][0, 0]
    assert np.isnan(rooted[[0, 2, 3]]).all()
    assert rooted[1] == np.inf


def test_powers_are_the_nearest_numbers():
    """Within a place of the last bit of the C library's, whose bits depend on the processor."""
    rng = np.random.default_rng(1)
    for exponent in (0.45, 0.5, 1.5, 2.0, 7.7):
        values = np.concatenate([rng.random(500), rng.uniform(0.99, 1.01, 500), [0, 1, 1e-320]])
        wanted = np.array([math.pow(value, exponent) for value in values])
        found = values.copy()
        pixel_loops.power(found, exponent)
        assert (np.abs(found - wanted) <= np.spacing(wanted)).all()
        assert (found == wanted).mean() > 0.97
    odd = np.array([-2.0, -0.0, np.inf, -np.inf])
    pixel_loops.power(odd, 3.0)
    assert odd.tolist() == [-8, 0, math.inf, -math.inf]


def test_alpha_and_masks_stay(tmp_path):
    """Partly transparent pixels stay so; GDAL scales alpha too."""
    pixels = np.array([[[10, 20, 30]], [[0, 77, 255]]], "uint8")
    path = written(tmp_path / "a.tif", pixels, colorinterp=[ColorInterp.gray, ColorInterp.alpha])
    step = {"name": "scale", "input_min": 0, "input_max": 51}
    plan, scaled, _ = whole_of(chain_item(path, [step]))
    assert plan.validity == "alpha"
    assert scaled[:, 0].tolist() == [[50, 100, 150], [0, 77, 255]]
    wide = {**step, "output_data_type": "UInt16", "output_min": 0, "output_max": 51}
    assert whole_of(chain_item(path, [wide]))[1][1, 0].tolist() == [0, 65535, 65535]
    path = written(tmp_path / "b.tif", pixels[:1], mask=[[True, False, True]])
    plan, scaled, mask = whole_of(chain_item(path, [step]))
    assert plan.validity == "mask"
    assert mask.tolist() == [[True, False, True]]


def test_what_describes_other_values_goes(tmp_path):
    """Scale, offset and unit of bands that are scaled; unscale keeps the unit, and drops the rest."""
    path = written(
        tmp_path / "a.tif", every("int16"), scales=(0.1,), offsets=(5.0,), units=("m",)
    )  # fmt: skip
    item = chain_item(path, [{"name": "scale", **RANGE}])
    plan, *_ = whole_of(item)
    assert (plan.scales, plan.offsets, plan.units) == ((1.0,), (0.0,), ("",))
    assert any("scale and the offset" in text for text in item.plan.warnings)
    plan, pixels, _ = whole_of(chain_item(path, [{"name": "unscale"}]))
    assert (plan.scales, plan.offsets, plan.units) == ((1.0,), (0.0,), ("m",))
    assert plan.dtype == "float32"
    assert pixels[0, 0, 0] == np.float32(-32768 * 0.1 + 5)


MAPPINGS = (
    "[-inf,50)=1; [50,90]=PASS_THROUGH; (90,120)=2; 120=3; (120,inf]=4; NAN=9",
    "7=1;DEFAULT=PASS_THROUGH",
    "(-5,5)=0; [5,200]=1; DEFAULT=2",
)


def test_reclassify_is_gdals(tmp_path):
    """No pixel differs, whatever the type; also with a type of its own."""
    sources = [
        written(tmp_path / "byte.tif", every("uint8")),
        written(tmp_path / "int16.tif", every("int16")),
        written(tmp_path / "int32.tif", every("int16").astype("int32")),
        written(tmp_path / "float.tif", floats()),
        written(tmp_path / "double.tif", floats("float64")),
    ]
    cases = [
        (source, {"name": "reclassify", "mapping": text, **more}, f"reclassify -m '{text}' {words}")
        for source in sources
        for text in MAPPINGS
        for more, words in (
            ({}, ""),
            ({"output_data_type": "UInt8"}, "--output-data-type UInt8"),
        )
    ]
    for (source, step, _), (_, pixels, _, dataset) in zip(
        cases, both(tmp_path, cases), strict=True
    ):
        theirs = dataset.read()
        assert pixels.dtype == theirs.dtype
        assert np.array_equal(pixels, theirs), (source.name, step)


def test_nodata_of_a_mapping(tmp_path):
    """Invalid pixels stay so, but where the mapping speaks of nodata; a class that is nodata is."""
    values = np.array([[[-9, 1, 2, 3, np.nan]]], "float32")
    path = written(tmp_path / "a.tif", values, nodata=-9)

    def classes(text, **more):
        item = chain_item(path, [{"name": "reclassify", "mapping": text, **more}])
        plan, pixels, mask = whole_of(item)
        return plan, pixels[0, 0].tolist(), mask, item.plan.warnings

    _, pixels, _, said = classes("(-inf,2]=5; DEFAULT=6")
    assert pixels == [-9, 5, 5, 6, -9]
    assert any("GDAL takes -9.0 for a value, which becomes 5" in text for text in said)
    for text in ("NO_DATA=4; DEFAULT=6", "-9=4; DEFAULT=6"):
        _, pixels, _, said = classes(text)
        assert pixels == [4, 6, 6, 6, 4]
        assert not any("GDAL" in text for text in said)
    assert classes("NAN=7; 1=NO_DATA; 2=-9; DEFAULT=PASS_THROUGH")[1] == [-9, -9, -9, 3, 7]
    # A type that cannot hold nodata gets a mask.
    plan, pixels, mask, _ = classes("1=NO_DATA; DEFAULT=8", output_data_type="UInt8")
    assert plan.validity == "mask"
    assert mask.tolist() == [[False, False, True, True, False]]
    assert pixels[2:4] == [8, 8]


def test_a_value_without_a_class_is_named(tmp_path):
    """The value and its place [row, column], also in a small window; it is no use to try again."""
    values = np.zeros((2, 300, 300), "uint8")
    values[1, 270, 31] = 77
    path = written(tmp_path / "a.tif", values)
    item = chain_item(path, [{"name": "reclassify", "mapping": "0=1"}])
    for window in (Window(0, 0, 300, 300), Window(30, 260, 5, 40)):
        with pytest.raises(InvalidInputError, match=r"value 77 of band 2 at .* \[270, 31\]") as got:
            window_of(item, window)
        assert got.value.evidence == {"band": 2, "value": 77, "pixel": [270, 31], "step": 1}
        assert got.value.reaction == "permanent"
    window_of(item, Window(0, 0, 300, 270))
    path = written(tmp_path / "b.tif", np.array([[[np.nan, 1]]], "float32"))
    item = chain_item(path, [{"name": "reclassify", "mapping": "1=2"}])
    with pytest.raises(InvalidInputError, match="value nan of band 1"):
        whole_of(item)


@pytest.mark.parametrize(
    ("mapping", "more", "said"),
    [
        ("1=300", {}, "300 cannot occur in uint8"),
        ("1=1.5", {}, "1.5 cannot occur in uint8"),
        ("1=nan", {}, "nan cannot occur in uint8"),
        ("1=1e39", {"output_data_type": "Float32"}, "cannot be held by float32"),
        ("1=NO_DATA", {}, "the input has no nodata"),
        ("NO_DATA=1", {}, "the input has no nodata"),
    ],
)
def test_classes_that_cannot_be_are_refused(tmp_path, mapping, more, said):
    """In the plan, before a pixel is read."""
    path = written(tmp_path / "a.tif", every("uint8"))
    with pytest.raises(SchemaError, match=said):
        chain_item(path, [{"name": "reclassify", "mapping": mapping, **more}])


COLOURS = """\
# a comment
-20 blue
0   10 20 30 200
0   90 80 70
60:255,255,0
60   0 0 0
250  red 128
"""


def test_color_map_is_gdals(tmp_path):
    """No pixel differs: values, shares of the range, names, edges, palettes of GMT."""
    colours = tmp_path / "colours.txt"
    colours.write_text(COLOURS)
    shares = tmp_path / "shares.txt"
    shares.write_text("0% white\n12.5% 1 2 3\n100% aqua 7\n")
    gmt = tmp_path / "ramp.cpt"
    gmt.write_text("# COLOR_MODEL = RGB\n0 0/0/0 50 10/20/30\n50 9 8 7 200 250 1 2\nB 1 1 1\n")
    sources = [
        written(tmp_path / "byte.tif", every("uint8")),
        written(tmp_path / "int16.tif", every("int16")),
        written(tmp_path / "float.tif", floats(size=(1, 64, 1100))),
    ]
    cases = [
        (
            source,
            {"name": "color-map", "color_map": str(file), "color_selection": how, **more},
            f"color-map --color-map {file} --color-selection {how} {words}",
        )
        for source in sources
        for file in (colours, shares, gmt)
        for how in ("interpolate", "exact", "nearest")
        for more, words in (({}, ""), ({"add_alpha": True}, "--add-alpha"))
        if how != "nearest" or not more
    ]
    palette = {value: (value, 255 - value, value // 2, 255 - value) for value in range(256)}
    image = written(tmp_path / "palette.tif", every("uint8"), palette=palette)
    cases.append((image, {"name": "color-map", "add_alpha": True}, "color-map --add-alpha"))
    for (source, step, _), (_, pixels, _, dataset) in zip(
        cases, both(tmp_path, cases), strict=True
    ):
        theirs = dataset.read()
        assert pixels.shape == theirs.shape
        assert (pixels != theirs).sum() == 0, (source.name, step)


def test_colours_of_nodata(tmp_path):
    """Nv says it; without it nodata is transparent, or masked, and GDAL colours its value."""
    values = np.array([[[-5, 0, 10, np.nan]]], "float32")
    path = written(tmp_path / "a.tif", values, nodata=-5)
    step = {"name": "color-map", "colors": [["0.0", 0, 0, 0, 255], ["10.0", 10, 20, 30, 255]]}
    item = chain_item(path, [step])
    plan, pixels, mask = whole_of(item)
    assert (plan.validity, plan.count, plan.dtype) == ("mask", 3, "uint8")
    assert mask.tolist() == [[False, True, True, False]]
    assert pixels[:, 0, 2].tolist() == [10, 20, 30]
    assert any("nodata is masked" in text for text in item.plan.warnings)
    plan, pixels, _ = whole_of(chain_item(path, [{**step, "add_alpha": True}]))
    assert plan.colorinterp == ("red", "green", "blue", "alpha")
    assert pixels[3, 0].tolist() == [0, 255, 255, 0]
    said = {**step, "colors": [*step["colors"], ["nv", 7, 8, 9, 60]], "add_alpha": True}
    pixels = whole_of(chain_item(path, [said]))[1]
    assert pixels[:, 0, 0].tolist() == pixels[:, 0, 3].tolist() == [7, 8, 9, 60]
    # Beside nodata its neighbours' colours stand, as in GDAL, and none is mixed with that of nv.
    for value, colour in ((-4.0, [0, 0, 0]), (5.0, [5, 10, 15])):
        path = written(tmp_path / "b.tif", np.array([[[value]]], "float32"), nodata=-5)
        assert whole_of(chain_item(path, [said]))[1][:3, 0, 0].tolist() == colour


def test_color_map_refuses(tmp_path):
    """What has no palette and no map, and a band that is not there."""
    path = raster(tmp_path / "a.tif", validity="alpha")
    with pytest.raises(SchemaError, match="has no palette"):
        chain_item(path, [{"name": "color-map"}])
    with pytest.raises(SchemaError, match="there is no band 4"):
        chain_item(path, [{"name": "color-map", "band": 4}])
    with pytest.raises(SchemaError, match="band 3 is alpha"):
        chain_item(path, [{"name": "color-map", "band": 3}])


def test_nodata_to_alpha_is_gdals(tmp_path):
    """The same bands and the same alpha, but for types in which 255 is not opaque."""
    rng = np.random.default_rng(3)
    values = rng.integers(0, 4, (2, 50, 60))
    byte = written(tmp_path / "byte.tif", values.astype("uint8"), nodata=3)
    plain = written(tmp_path / "plain.tif", values.astype("uint8"))
    masked = written(tmp_path / "mask.tif", values.astype("uint8"), mask=values[0] > 1)
    wide = written(tmp_path / "wide.tif", values.astype("uint16"), nodata=3)
    cases = [
        (byte, {"name": "nodata-to-alpha"}, "nodata-to-alpha"),
        (plain, {"name": "nodata-to-alpha", "nodata": 1}, "nodata-to-alpha --nodata 1"),
        (plain, {"name": "nodata-to-alpha", "nodata": [1, 2]}, "nodata-to-alpha --nodata 1,2"),
        (plain, {"name": "nodata-to-alpha"}, "nodata-to-alpha"),
        (masked, {"name": "nodata-to-alpha"}, "nodata-to-alpha"),
        (wide, {"name": "nodata-to-alpha"}, "nodata-to-alpha"),
    ]
    for (source, *_), (plan, pixels, _, dataset) in zip(cases, both(tmp_path, cases), strict=True):
        theirs = dataset.read()
        if source == wide:
            theirs[-1] = np.where(theirs[-1] == 255, 65535, theirs[-1])
        assert np.array_equal(pixels, theirs)
        assert (plan.validity == "alpha") == (len(theirs) == 3)
        assert plan.nodata is None


def test_nodata_to_alpha_refuses(tmp_path):
    """As many values as bands, which the type can hold; and a palette."""
    path = raster(tmp_path / "a.tif", dtype="uint8")
    with pytest.raises(SchemaError, match="nodata has 3 values; the input has 2 bands"):
        chain_item(path, [{"name": "nodata-to-alpha", "nodata": [1, 2, 3]}])
    with pytest.raises(SchemaError, match="nan cannot occur in uint8"):
        chain_item(path, [{"name": "nodata-to-alpha", "nodata": "nan"}])
    image = written(tmp_path / "b.tif", every("uint8"), nodata=0, palette={1: (1, 2, 3, 255)})
    with pytest.raises(SchemaError, match="palette"):
        chain_item(image, [{"name": "nodata-to-alpha"}])
    values = np.array([[[np.inf, -np.inf, np.nan, 0]]], "float32")
    path = written(tmp_path / "c.tif", values)
    item = chain_item(path, [{"name": "nodata-to-alpha", "nodata": "-inf"}])
    json.dumps(item.plan.detail, allow_nan=False)
    assert whole_of(item)[1][1, 0].tolist() == [255, 0, 0, 255]
