"""fill-nodata and proximity: GDAL's values to the bit where it has them, and exact distances."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of
from kept_gdal import by_gdal
from pydantic import ValidationError

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.chain_params import RasterChain
from geobatch_tui.execution.raster.source import opened_source


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def done(path, name, **how):
    """The plan, the pixels and the mask of a step, and what its plan warns of."""
    item = chain_item(path, [{"name": name, **how}])
    return *whole_of(item), item.plan.warnings


def by_words(path, words):
    """The pixels that GDAL's step gives."""
    by_gdal(f"read {path} ! {words} ! write --overwrite {path.with_name('gdal.tif')}")
    with rasterio.open(path.with_name("gdal.tif")) as out:
        return out.read()


def holed(path, **how):
    """A raster with larger holes too, some of them at its rims."""
    raster(path, size=(61, 47), validity="nodata", **how)
    with rasterio.open(path, "r+") as out:
        pixels = out.read()
        for top, left, size in ((0, 40, 9), (20, 52, 12), (30, 0, 17), (25, 20, 15)):
            pixels[:, top : top + size, left : left + size] = out.nodata
        out.write(pixels)
    return path


def filled_slowly(values, valid, most):
    """GDAL's definition, pixel by pixel: the nearest of each column's next, by quadrants."""
    out = values.astype(float)
    height, width = valid.shape
    for r, c in np.argwhere(~valid):
        total = weights = 0.0
        for down, side in ((0, -1), (1, -1), (0, 1), (1, 1)):
            best = most + 1.0
            value = 0.0
            for s in range(side > 0, most + 1):
                x = min(max(c + side * s, 0), width - 1)
                rows = range(r + 1, height) if down else range(r, -1, -1)
                row = next((y for y in rows if valid[y, x]), None)
                if row is not None and (x - c) ** 2 + (row - r) ** 2 < best * best:
                    best, value = float(np.hypot(x - c, row - r)), float(values[row, x])
            if best <= most:
                total, weights = total + value * (1 / best), weights + 1 / best
        out[r, c] = total / weights if weights else np.nan
    return out


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize(("most", "smoothing"), [(3, 0), (40, 0), (6, 3)])
def test_holes_are_filled_as_gdal_fills_them(tmp_path, dtype, most, smoothing):
    """To the bit, with and without smoothing; what is far from all stays as it is."""
    path = holed(tmp_path / "a.tif", dtype=dtype)
    how = {"max_distance": most, "smoothing_iterations": smoothing}
    plan, pixels, _, warnings = done(path, "fill-nodata", **how)
    words = f"fill-nodata --max-distance {most} --smoothing-iterations {smoothing}"
    assert np.array_equal(pixels, by_words(path, words))
    assert (plan.count, plan.nodata, warnings) == (1, -99, ())
    assert (pixels == -99).any() == (most < 40)


def test_the_nearest_fills_where_gdal_writes_nothing(tmp_path):
    """GDAL writes 0 where the nearest lies up to a pixel beyond the distance; here it stays."""
    path = holed(tmp_path / "a.tif")
    _, pixels, _, _ = done(path, "fill-nodata", strategy="nearest", max_distance=40)
    assert np.array_equal(
        pixels, by_words(path, "fill-nodata --strategy nearest --max-distance 40")
    )
    _, pixels, _, _ = done(path, "fill-nodata", strategy="nearest", max_distance=3)
    expected = by_words(path, "fill-nodata --strategy nearest --max-distance 3")
    other = pixels != expected
    assert 0 < other.sum() < 200
    assert set(pixels[other]) == {-99}
    assert set(expected[other]) == {0}


@pytest.mark.parametrize("validity", ["alpha", "mask"])
def test_alpha_and_masks_are_filled(tmp_path, validity):
    """In float64 for wide types, from the definition; the alpha or the mask says so."""
    path = raster(tmp_path / "a.tif", size=(23, 19), validity=validity, dtype="float64")
    with rasterio.open(path) as source:
        valid = (source.read(3) if validity == "alpha" else source.read_masks(1)) > 0
        values = source.read(2)
    plan, pixels, mask, warnings = done(path, "fill-nodata", band=2, max_distance=4)
    expected = filled_slowly(values, valid, 4)
    known = ~np.isnan(expected)
    assert np.allclose(pixels[0][known], expected[known], rtol=1e-15)
    assert np.array_equal(pixels[0][valid], values[valid])
    assert np.array_equal(pixels[-1] > 0 if validity == "alpha" else mask, known)
    assert plan.count == (2 if validity == "alpha" else 1)
    assert any("pixels that are filled become" in text for text in warnings)


def test_what_cannot_be_filled_says_so(tmp_path):
    """Nothing invalid, a palette, a mask of another file, no end, no band."""
    path = raster(tmp_path / "a.tif", validity="none")
    assert any("nothing to fill" in text for text in done(path, "fill-nodata")[3])
    with pytest.raises(SchemaError, match="there is no band 3"):
        done(path, "fill-nodata", band=3)
    with pytest.raises(SchemaError, match="band 3 is alpha"):
        done(raster(tmp_path / "b.tif", validity="alpha"), "fill-nodata", band=3)
    raster(path, validity="nodata", bands=1, dtype="uint8")
    with rasterio.open(path, "r+") as out:
        out.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
    with pytest.raises(SchemaError, match="mean is another colour"):
        done(path, "fill-nodata", max_distance=3)
    assert done(path, "fill-nodata", max_distance=3, strategy="nearest")[0].colormap
    for how, said in (
        ({"max_distance": 0}, "1 to 2048 pixels"),
        ({"max_distance": 2049}, "1 to 2048 pixels"),
        ({"mask": "a.tif"}, "Extra inputs"),
        ({"smoothing_iterations": -1}, "greater than or equal to 0"),
    ):
        with pytest.raises(ValidationError, match=said):
            RasterChain.model_validate({"steps": [{"name": "fill-nodata", **how}]})


def scattered(path, dtype="uint8", share=0.03, size=(70, 55)):
    """A raster without nodata, most of which is 0; the others are 1 to 4."""
    rng = np.random.default_rng(5)
    raster(path, size=size, validity="none", bands=1, dtype=dtype)
    shape = size[::-1]
    pixels = (rng.random(shape) < share) * rng.integers(1, 5, shape)
    with rasterio.open(path, "r+") as out:
        out.write(pixels.astype(dtype), 1)
    return path, pixels


def distances(targets, across=1.0, down=1.0):
    """The distance of each pixel to the nearest target, from all to all."""
    rows, cols = np.nonzero(targets)
    y, x = np.indices(targets.shape)
    dy, dx = y[..., np.newaxis] - rows, x[..., np.newaxis] - cols
    return np.sqrt((dx * across) ** 2 + (dy * down) ** 2).min(axis=-1)


@pytest.mark.parametrize(("values", "most"), [((), 7.5), ((2, 3), 12), (4, 60)])
def test_distances_are_exact(tmp_path, values, most):
    """From centre to centre, as far as max_distance; GDAL's are never shorter, and mostly these."""
    path, pixels = scattered(tmp_path / "a.tif")
    plan, found, _, warnings = done(path, "proximity", target_values=values, max_distance=most)
    wanted = distances(np.isin(pixels, values) if values else pixels > 0)
    near = wanted <= most
    assert np.array_equal(found[0][near], wanted[near].astype("f4"))
    assert np.isnan(found[0][~near]).all()
    assert (plan.dtype, plan.validity, plan.descriptions) == ("float32", "nodata", ("",))
    assert any("GDAL 3.13 writes 65535" in text for text in warnings)
    words = f"--target-values {','.join(map(str, np.atleast_1d(values)))} " if values else ""
    theirs = by_words(path, f"proximity {words}--max-distance {most}")[0]
    assert (theirs[near] >= found[0][near]).all()
    assert (theirs[near] != found[0][near]).mean() < 0.01
    assert (theirs[~near] == 65535).all()


def test_distances_in_units_of_the_crs_heed_both_sides_of_a_pixel(tmp_path):
    """Pixels of 0.05 by 0.04 degrees: GDAL takes them for squares; float64 has the exact root."""
    path, pixels = scattered(tmp_path / "a.tif", dtype="float32")
    how = {"distance_units": "geo", "max_distance": 0.31, "output_data_type": "Float64"}
    _, found, _, warnings = done(path, "proximity", **how)
    wanted = distances(pixels > 0, 0.05, 0.04)
    near = wanted <= 0.31
    assert np.allclose(found[0][near], wanted[near], rtol=1e-12)
    assert np.isnan(found[0][~near]).all()
    said = " ".join(warnings)
    assert "in degrees" in said
    assert "GDAL takes the width for both" in said
    assert "GDAL drops fractions first" in said


def test_whole_distances_and_fixed_values_are_gdals(tmp_path):
    """Rounded half away from zero; targets keep 0."""
    path, _ = scattered(tmp_path / "a.tif", share=0.005)
    for how, words in (
        ({"output_data_type": "Int16"}, "--ot Int16"),
        ({"output_data_type": "UInt8", "nodata": 200}, "--ot UInt8 --nodata 200"),
        ({"output_data_type": "Int16", "fixed_value": 5, "nodata": -1},
         "--ot Int16 --fixed-value 5 --nodata -1"),
    ):  # fmt: skip
        _, found, _, _ = done(path, "proximity", max_distance=9, **how)
        assert np.array_equal(found, by_words(path, f"proximity --max-distance 9 {words}"))


def test_invalid_pixels_are_no_targets_and_have_no_distance(tmp_path):
    """To GDAL, nodata of -99 is a target like any value but 0."""
    path = raster(tmp_path / "a.tif", validity="nodata", dtype="int16")
    with rasterio.open(path) as source:
        pixels = source.read(1)
    valid = pixels != -99
    _, found, _, warnings = done(path, "proximity", target_values=[100], max_distance=9)
    wanted = distances(pixels == 100)
    near = valid & (wanted <= 9)
    assert np.array_equal(found[0][near], wanted[near].astype("f4"))
    assert np.isnan(found[0][~near]).all()
    _, _, _, warnings = done(path, "proximity", max_distance=2, nodata=0)
    said = " ".join(warnings)
    assert "invalid pixels are no targets" in said
    assert "distance 0 would read as nodata" in said


def test_what_has_no_distance_is_refused(tmp_path):
    """No end, too far an end, targets that cannot be, a rotated grid, too small a type."""
    path, _ = scattered(tmp_path / "a.tif")
    with pytest.raises(SchemaError, match=r"300\.0 does not occur in uint8"):
        done(path, "proximity", max_distance=9, target_values=[300])
    with pytest.raises(SchemaError, match=r"1\.5 does not occur in uint8"):
        done(path, "proximity", max_distance=9, target_values=1.5)
    far = done(path, "proximity", max_distance=300, output_data_type="UInt8")[3]
    assert any("uint8 holds distances up to 254" in text for text in far)
    for most in (0, 103):  # 2060 widths of a pixel
        with pytest.raises(SchemaError, match=r"pixels are 0\.8 times as high as wide"):
            done(path, "proximity", max_distance=most, distance_units="geo")
    with rasterio.open(path, "r+") as out:
        out.transform = rasterio.Affine(0.05, 0.01, 10, 0.01, -0.04, 42)
    with pytest.raises(SchemaError, match="rotated grid"):
        done(path, "proximity", max_distance=1, distance_units="geo")
    for how, said in (
        ({"max_distance": -1}, "greater than or equal to 0"),
        ({"max_distance": 3, "fixed_value": -1}, "greater than or equal to 0"),
        ({"max_distance": 3, "target_values": ["x"]}, "valid number"),
    ):
        with pytest.raises(ValidationError, match=said):
            RasterChain.model_validate({"steps": [{"name": "proximity", **how}]})
