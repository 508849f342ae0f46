"""The step *neighbors*: GDAL's values, plain sums over squares, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from chains import chain_item, raster, whole_of
from kept_gdal import by_gdal
from pydantic import ValidationError

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.steps.focal_params import NeighborsStep
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.focal.neighbor_steps import kernel_of

METHODS = ("mean", "sum", "min", "max", "stddev", "median", "mode")
MATRIX = "[[1,2,0],[-3,4,5],[6,0.5,8]]"


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def written(path, pixels, nodata=None):
    """Write pixels (bands, h, w)."""
    count, height, width = pixels.shape
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": count, "nodata": nodata,
        "dtype": pixels.dtype, "crs": "EPSG:32632",
        "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
    return path


def filtered(path, **params):
    """The plan and the pixels that the step gives."""
    plan, pixels, _ = whole_of(chain_item(path, [{"name": "neighbors", **params}]))
    return plan, pixels


def by_hand(band, valid, kernel):
    """What a kernel gives, pixel by pixel; NaN where there is nothing."""
    reach = kernel.size // 2
    wide, seen = (np.pad(array, reach, mode="edge") for array in (band, valid))
    out = np.full(band.shape, np.nan)
    for row, col in np.argwhere(valid):
        taps = [(row + r, col + c) for r, c in kernel.places]
        pairs = [(wide[at], w) for at, w in zip(taps, kernel.weights, strict=True) if seen[at]]
        products = [value * weight for value, weight in pairs]
        weight = sum(weight for _, weight in pairs)
        if kernel.method == "sum":
            out[row, col] = sum(products)
        elif kernel.method == "mean":
            out[row, col] = sum(products) / weight if weight else np.nan
        elif products and kernel.method == "mode":
            counted = {}
            for value in products:
                counted[value] = counted.get(value, 0) + 1
                if counted[value] > counted.get("most", 0):
                    counted["most"], out[row, col] = counted[value], value
        elif products:
            run = {"min": min, "max": max, "median": np.median, "stddev": np.std}[kernel.method]
            out[row, col] = run(products)
    return out


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("text", ["equal", "gaussian", "edge1", MATRIX])
@pytest.mark.parametrize("size", [None, 5, 7])
def test_every_method_is_what_it_says(tmp_path, size, text, whole):
    """Against plain sums over the neighbours that count; whole numbers, to have equal ones."""
    sizes = {"equal": {None, 5, 7}, "gaussian": {None, 5}}.get(text, {None})
    methods = [m for m in METHODS if (text, m) != ("edge1", "mean")]
    if size not in sizes:
        return
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 9, (1, 9, 11)).astype("float32")
    if not whole:
        pixels[rng.random(pixels.shape) < 0.3] = -1
        pixels[0, 4, 4] = np.nan
    path = written(tmp_path / "a.tif", pixels, None if whole else -1)
    plan, found = filtered(path, kernel=[text] * len(methods), method=methods, size=size)
    assert plan.count == len(methods)
    valid = (pixels[0] != -1) & ~np.isnan(pixels[0])
    for band, method in zip(found, methods, strict=True):
        wanted = by_hand(pixels[0].astype(float), valid, kernel_of(text, size, method))
        wanted = np.nan_to_num(wanted, nan=-1)
        assert band == pytest.approx(wanted, rel=1e-12, abs=1e-12), method


@pytest.mark.parametrize("size", [3, 5])
def test_gdal_gives_the_same(tmp_path, size):
    """Every method, rims and invalid pixels too: what GDAL has is ours, rounded to float32."""
    rng = np.random.default_rng(1)
    pixels = np.floor(rng.random((1, 41, 53)) * 200).astype("float32")
    pixels[rng.random(pixels.shape) < 0.2] = -1
    path = written(tmp_path / "a.tif", pixels, -1)
    _, found = filtered(path, kernel=["equal"] * len(METHODS), method=METHODS, size=size)
    kernels = " ".join(["--kernel equal"] * len(METHODS))
    how = f"{kernels} --method {','.join(METHODS)} --size {size}"
    by_gdal(f"read {path} ! neighbors {how} ! write {tmp_path / 'g.tif'}")
    with rasterio.open(tmp_path / "g.tif") as dataset:
        theirs = dataset.read()
    assert np.array_equal(found.astype("float32"), theirs)


def test_gdal_has_the_same_kernels(tmp_path):
    """Those with names, of both sizes, and a matrix, on floats of any value."""
    rng = np.random.default_rng(2)
    pixels = (rng.random((1, 37, 41)) * 100).astype("float32")
    path = written(tmp_path / "a.tif", pixels)
    kernels = ["u", "v", "edge1", "edge2", "sharpen", "gaussian", MATRIX]
    methods = ["sum"] * 4 + ["mean"] * 3
    for size, own, how in ((3, kernels, methods), (5, ["gaussian", "unsharp-masking"], ["mean"])):
        _, found = filtered(path, kernel=own, method=how, size=size)
        words = " ".join(f'--kernel "{kernel}"' for kernel in own)
        words += f" --method {','.join(how)} --size {size}"
        by_gdal(f"read {path} ! neighbors {words} ! write {tmp_path / f'{size}.tif'}")
        with rasterio.open(tmp_path / f"{size}.tif") as dataset:
            assert np.array_equal(found.astype("float32"), dataset.read())


def test_values_of_gdal_3_13(tmp_path):
    """A few, as GDAL 3.13.3 gave them: the rim is repeated, invalid neighbours are left out."""
    pixels = np.arange(1, 10, dtype="float64").reshape(1, 3, 3)
    pixels[0, 0, 1] = pixels[0, 2, 2] = -9
    path = written(tmp_path / "a.tif", pixels, -9)
    methods = ["sum", "min", "median", "mode"]
    _, found = filtered(path, kernel=["equal"] * 4, method=methods)
    assert found.tolist() == [
        [[17, -9, 29], [37, 34, 31], [57, 45, -9]],
        [[1, -9, 3], [1, 1, 3], [4, 4, -9]],
        [[1, -9, 3], [4.5, 5, 5.5], [7, 7, -9]],
        [[1, -9, 3], [1, 1, 3], [7, 7, -9]],
    ]
    _, [found] = filtered(path, kernel="equal", output_data_type="UInt8", nodata=0)
    assert found.tolist() == [[2, 0, 4], [5, 5, 5], [6, 6, 0]]


def test_types_and_nodata(tmp_path):
    """Results are held within the type, none becomes nodata by chance, and each way of nodata."""
    pixels = np.full((1, 5, 5), 100, "uint8")
    pixels[0, 0, 0] = 7
    path = written(tmp_path / "a.tif", pixels, 7)
    plan, [found] = filtered(path, kernel="equal", method="sum", output_data_type="UInt8")
    assert (plan.nodata, found[0, 0], found[2, 2]) == (7, 7, 255)
    plan, [found] = filtered(path, kernel="equal", nodata=100, output_data_type="UInt8")
    assert (plan.nodata, found[0, 0], found[2, 2]) == (100, 100, 99)
    item = chain_item(path, [{"name": "neighbors", "kernel": "equal", "nodata": "none"}])
    plan, [found], mask = whole_of(item)
    assert (plan.nodata, plan.validity, mask[0, 0], mask[2, 2]) == (None, "mask", False, True)
    with pytest.raises(SchemaError, match="nodata -1 cannot occur in uint8 pixels"):
        filtered(path, kernel="equal", nodata=-1, output_data_type="UInt8")


def test_what_a_raster_says_of_itself(tmp_path):
    """Units hold for means and medians, not for slopes; alpha and masks stay, said in a warning."""
    path = raster(tmp_path / "a.tif", validity="alpha")
    item = chain_item(path, [{"name": "neighbors", "kernel": "equal"}])
    assert any("GDAL's neighbors would filter alpha" in text for text in item.plan.warnings)
    plan, _ = filtered(path, kernel="equal", band=2, nodata=-5)
    assert (plan.count, plan.validity, plan.nodata) == (1, "nodata", -5)
    with pytest.raises(SchemaError, match="band 3 is alpha"):
        filtered(path, kernel="equal", band=3)
    with rasterio.open(written(tmp_path / "b.tif", np.ones((1, 4, 4), "int16")), "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (0.5,), (10,), ("m",)
    plan, _ = filtered(tmp_path / "b.tif", kernel="gaussian")
    assert (plan.scales, plan.offsets, plan.units) == ((0.5,), (10,), ("m",))
    item = chain_item(tmp_path / "b.tif", [{"name": "neighbors", "kernel": "u"}])
    assert any("scale and offset are left out" in text for text in item.plan.warnings)


def test_a_palette_has_a_commonest_class_only(tmp_path):
    """The numbers of classes have no mean."""
    path = written(tmp_path / "a.tif", np.ones((1, 4, 4), "uint8"))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0, 255)})
    with pytest.raises(SchemaError, match="a palette image"):
        filtered(path, kernel="equal")
    plan, _ = filtered(path, kernel="equal", method="mode", output_data_type="UInt8")
    assert plan.colormap[1] == (255, 0, 0, 255)
    plan, _ = filtered(path, kernel="equal", method="mode")
    assert (plan.colormap, plan.colorinterp) == (None, ("gray",))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"kernel": "box"}, "there is no kernel 'box'; known: u, v"),
        ({"kernel": []}, "at least 1 item"),
        ({"kernel": "equal", "size": 4}, "size is 4; it must be odd"),
        ({"kernel": "equal", "size": 101}, "less than or equal to 99"),
        ({"kernel": "u", "size": 5}, "kernel u is of size 3, and size is 5"),
        ({"kernel": "gaussian", "size": 7}, "of size 3 or 5, and size is 7"),
        ({"kernel": [[1, 2], [3, 4]]}, "as many rows as columns, an odd number"),
        ({"kernel": [[1, 2, 3], [4, 5, 6]]}, "as many rows as columns"),
        ({"kernel": "[[1,a,3],[4,5,6],[7,8,9]]"}, "is no matrix"),
        ({"kernel": [["1", 2, 3], [4, 5, 6], [7, 8, 9]]}, "'1' in a kernel is no number"),
        ({"kernel": [[float("inf"), 2, 3], [4, 5, 6], [7, 8, 9]]}, "is not finite"),
        ({"kernel": [[0, 0, 0]] * 3}, "all weights of a kernel are 0"),
        ({"kernel": "v", "method": "mean"}, "kernel v sum to 0, so there is no mean"),
        ({"kernel": [[1, 0, -1]] * 3}, "sum to 0, so there is no mean; method = sum"),
        ({"kernel": ["u", "v"], "method": ["sum"] * 3}, "3 methods for 2 kernels"),
        ({"kernel": "equal", "method": "range"}, "Input should be 'mean', 'sum'"),
    ],
)
def test_what_no_raster_could_have_is_refused(params, said):
    """In words that say what to do."""
    with pytest.raises(ValidationError, match=said):
        NeighborsStep(name="neighbors", **params)


def test_methods_and_matrices_are_written_out():
    """Defaults by the first kernel, as GDAL's, and one way to write a matrix."""
    step = NeighborsStep(name="neighbors", kernel=["u", [[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    assert step.method == ("sum", "sum")
    assert step.kernel[1] == "[[0.0,1.0,0.0],[1.0,1.0,1.0],[0.0,1.0,0.0]]"
    same = NeighborsStep(name="neighbors", kernel=["u", " [[0,1,0],[1,1,1],[0,1,0]]"])
    assert same == step
    assert NeighborsStep(name="neighbors", kernel="sharpen").method == ("mean",)
