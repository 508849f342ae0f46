"""Clips by geometries and by other rasters: GDAL's pixels, marked as invalid in any raster."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import publish
from chains import chain_item, raster, whole_of
from kept_gdal import by_gdal
from planning import OPERATIONS
from pydantic import ValidationError

from geobatch_tui.errors import (
    CrsError,
    PreflightError,
    SchemaError,
    SourceChangedError,
    SourceNotFoundError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.params.chain_params import RasterChain
from geobatch_tui.execution.raster.source import opened_source

STAR = "POLYGON((10.21 41.93,11.9 41.6,11.2 40.61,10.93 41.3,10.31 40.5,10.21 41.93))"
HOLED = (
    "MULTIPOLYGON(((10.4 41.8,11.4 41.8,11.4 40.8,10.4 40.8,10.4 41.8),"
    "(10.62 41.6,11.2 41.5,10.9 41.01,10.62 41.6)),((11.61 41.2,12.12 41.33,11.83 40.71,11.61 41.2)))"
)
SQUARE = "POLYGON((10.5 41.5,11.5 41.5,11.5 41,10.5 41,10.5 41.5))"


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def clipped(path, **how):
    """The plan, the pixels and the mask of a clip, and what its plan says."""
    item = chain_item(path, [{"name": "clip", **how}])
    return *whole_of(item), item


def by_words(path, words):
    """What GDAL's clip gives: transform, pixels."""
    by_gdal(f"read {path} ! clip {words} ! write --overwrite {path.with_name('gdal.tif')}")
    with rasterio.open(path.with_name("gdal.tif")) as out:
        return out.transform, out.read()


@pytest.mark.parametrize("validity", ["none", "nodata", "alpha"])
@pytest.mark.parametrize("shape", [STAR, HOLED], ids=["star", "holed"])
def test_a_geometry_gives_the_pixels_of_gdal(tmp_path, shape, validity):
    """All pixels that it touches, on the grid of the input, in the rectangle round it."""
    path = raster(tmp_path / "a.tif", validity=validity)
    plan, pixels, mask, item = clipped(path, geometry=shape)
    transform, expected = by_words(path, f"--geometry '{shape}'")
    assert transform.almost_equals(rasterio.Affine(*plan.transform))
    if validity == "alpha":  # GDAL drops the colours of what was transparent before
        pixels = np.where(pixels[-1] > 0, pixels, 0)
    assert np.array_equal(pixels, expected)
    if validity == "none":
        assert plan.validity == "mask"
        assert not mask[0, -1]
        assert any("GDAL leaves 0 there" in text for text in item.plan.warnings)
    else:
        assert plan.validity == validity
        assert not item.plan.warnings


def test_alpha_is_added_as_gdal_adds_it(tmp_path):
    """Opaque where a band is valid, and 0 elsewhere, in all bands; also round a rectangle."""
    path = raster(tmp_path / "a.tif", validity="nodata")
    with rasterio.open(path, "r+") as out:
        pixels = out.read()
        pixels[0, 20, 20], pixels[1, 20, 20] = -99, 7
        out.write(pixels)
    for how, words in (
        ({"geometry": STAR}, f"--geometry '{STAR}'"),
        ({"geometry": SQUARE}, f"--geometry '{SQUARE}'"),
        ({"bbox": [10.51, 41.07, 11.4, 41.6]}, "--bbox 10.51,41.07,11.4,41.6"),
    ):
        plan, pixels, mask, _ = clipped(path, **how, add_alpha=True)
        transform, expected = by_words(path, f"--add-alpha {words}")
        assert (plan.validity, plan.nodata, mask) == ("alpha", None, None)
        assert plan.colorinterp[-1] == "alpha"
        assert transform.almost_equals(rasterio.Affine(*plan.transform))
        assert np.array_equal(pixels, expected)


def test_a_mask_is_cut(tmp_path):
    """What was masked stays so, and what lies outside is masked too, and holds nothing."""
    path = raster(tmp_path / "a.tif", validity="mask")
    plan, pixels, mask, _ = clipped(path, geometry=STAR)
    _, _, alone, _ = clipped(raster(tmp_path / "b.tif", validity="none"), geometry=STAR)
    assert plan.validity == "mask"
    with rasterio.open(path) as source:
        left, top = plan.chain[1].values["offset"]
        window = rasterio.windows.Window(left, top, plan.width, plan.height)
        before = source.read_masks(1, window=window) > 0
    assert np.array_equal(mask, before & alone)
    assert not pixels[:, ~alone].any()


def test_rectangles_are_cut_as_boxes(tmp_path):
    """Of geometries along the axes nothing is marked, as with GDAL; nor by only_bbox."""
    path = raster(tmp_path / "a.tif", validity="none")
    square = clipped(path, geometry=SQUARE)
    box = clipped(path, bbox=[10.5, 41, 11.5, 41.5])
    assert square[0].chain[1].values == box[0].chain[1].values
    star = clipped(path, geometry=STAR, only_bbox=True)
    transform, expected = by_words(path, f"--only-bbox --geometry '{STAR}'")
    assert transform.almost_equals(rasterio.Affine(*star[0].transform))
    assert np.array_equal(star[1], expected)
    assert star[0].validity == "none"


def test_geojson_is_in_degrees_and_wkt_in_the_crs_of_the_input(tmp_path):
    """Unless geometry_crs says otherwise; sides bend, which the plan says."""
    path = raster(tmp_path / "a.tif", validity="nodata")
    ring = [[10.3, 41.8], [11.9, 41.5], [11.0, 40.6], [10.3, 41.8]]
    geojson = json.dumps({"type": "Polygon", "coordinates": [ring]})
    degrees = clipped(path, geometry=geojson)
    warped = {"name": "reproject", "output_crs": "EPSG:3035"}
    item = chain_item(path, [warped, {"name": "clip", "geometry": geojson}])
    assert any("points were added" in text for text in item.plan.warnings)
    assert 0 < (whole_of(item)[1][0] != -99).sum() < 2 * (degrees[1][0] != -99).sum()
    by_gdal(
        f"read {path} ! reproject --output-crs EPSG:3035 ! clip --geometry '{geojson}' ! "
        f"write --overwrite {tmp_path / 'g.tif'}"
    )
    with rasterio.open(tmp_path / "g.tif") as out:
        expected = out.read()
    pixels = whole_of(item)[1]
    assert pixels.shape == expected.shape
    assert ((pixels == -99) != (expected == -99)).mean() < 0.01  # GDAL's grid is warped otherwise


def test_like_another_raster(tmp_path):
    """Its bounds, in whatever CRS; the file may not change meanwhile."""
    path = raster(tmp_path / "a.tif", validity="nodata")
    other = tmp_path / "other.tif"
    with rasterio.open(
        other, "w", driver="GTiff", width=3, height=2, count=1, dtype="uint8", crs="EPSG:4326",
        transform=(0.4, 0, 10.5, 0, -0.3, 41.5),
    ) as out:  # fmt: skip
        out.write(np.zeros((1, 2, 3), "uint8"))
    plan, pixels, _, item = clipped(path, like=str(other))
    transform, expected = by_words(path, f"--like {other}")
    assert transform.almost_equals(rasterio.Affine(*plan.transform))
    assert np.array_equal(pixels, expected)
    words = shlex.split(OPERATIONS["raster.pipeline"].gdal_command(item))
    assert words[6:9] == ["clip", "--like", str(other)]
    step = item.params["steps"][0]
    other.write_bytes(other.read_bytes() + b" ")
    with pytest.raises(SourceChangedError, match=r"other.tif is not the file"):
        chain_item(path, [step])
    other.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(UnsupportedFormatError, match=r"like: .*JSON"):
        clipped(path, like=str(other))
    other.unlink()
    with pytest.raises(SourceNotFoundError, match=r"like: .* cannot be read"):
        chain_item(path, [step])


def test_a_geometry_in_a_file(tmp_path):
    """@ and its name stand for the text of a file."""
    (tmp_path / "star.wkt").write_text(STAR)
    path = raster(tmp_path / "a.tif", validity="nodata")
    item = chain_item(path, [{"name": "clip", "geometry": f"@{tmp_path / 'star.wkt'}"}])
    assert item.params["steps"][0]["geometry"] == STAR


def test_chunks_do_not_show(tmp_path):
    """Many chunks, of which some hold nothing, give the file that one gives."""
    path = raster(tmp_path / "a.tif", size=(150, 120), validity="nodata", dtype="uint8")
    steps = [{"name": "clip", "geometry": STAR.replace("11.9 41.6", "17 40.1")}]
    files = []
    for side in (0, 16, 48):
        item = chain_item(path, steps, output={"creation": {"blocksize": 16}}, cols=side, rows=side)
        files.append(Path(publish(item)[0]).read_bytes())
    assert len(set(files)) == 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "one of them"),
        ({"geometry": SQUARE, "window": [0, 0, 1, 1]}, "one of them"),
        ({"window": [0, 0, 1, 1], "add_alpha": True}, "not with window"),
        ({"bbox": [0, 0, 1, 1], "only_bbox": True}, "only_bbox goes with geometry or like"),
        ({"bbox": [0, 0, 1, 1], "geometry_crs": "EPSG:3035"}, "goes with geometry"),
        ({"geometry": "@/nowhere/a.wkt"}, "cannot be read: No such file"),
        ({"like": "/nowhere/a.tif"}, "like: /nowhere/a.tif cannot be read: No such file"),
        ({"geometry": SQUARE, "like_sql": "SELECT 1"}, "Extra inputs"),
    ],
)
def test_parameters_that_do_not_go_together(how, said):
    """Are refused before any file is opened."""
    with pytest.raises(ValidationError, match=said):
        RasterChain.model_validate({"steps": [{"name": "clip", **how}]})


def test_what_cannot_be_clipped_says_why(tmp_path):
    """A geometry beyond the input, in an unknown CRS, or none at all."""
    path = raster(tmp_path / "a.tif")
    outside = "POLYGON((9 41,11 41.5,11 40.8,9 41))"
    with pytest.raises(SchemaError, match="reaches beyond the input: pixels") as caught:
        clipped(path, geometry=outside)
    assert "allow_bbox_outside_source" in str(caught.value.hint)
    part = clipped(path, geometry=outside, allow_bbox_outside_source=True)
    assert part[0].transform[2] == 10
    assert any("cut to the input" in text for text in part[3].plan.warnings)
    with pytest.raises(PreflightError, match="geometry_crs 'EPSG:1'"):
        clipped(path, geometry=STAR, geometry_crs="EPSG:1")
    with pytest.raises(PreflightError, match="neither WKT nor GeoJSON"):
        clipped(path, geometry="somewhere")
    with pytest.raises(CrsError, match="no place on the raster"):
        clipped(path, geometry="POLYGON((0 0,1e300 0,1 1,0 0))")
