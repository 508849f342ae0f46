"""The step *edit*: what a raster says of itself, beside what GDAL makes of the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import publish
from chains import chain_item, raster, whole_of
from kept_gdal import all_by_gdal
from pydantic import ValidationError

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster.source import opened_source

EDITS = {
    "scale of all": ({"scale": 0.1, "offset": -3}, "--scale 0.1 --offset -3"),
    "scale of each": ({"scale": [0.5, 2]}, "--scale 0.5,2"),
    "offset of one": ({"offset": "2=1e3"}, "--offset 2=1e3"),
    "colours of each": (
        {"color_interpretation": ["green", "blue"]}, "--color-interpretation green,blue",
    ),
    "colours by band": (
        {"color_interpretation": ["2=blue", "1=red"]}, "--color-interpretation 2=blue,1=red",
    ),
    "colours of all": ({"color_interpretation": "all=gray"}, "--color-interpretation all=gray"),
    "alpha": ({"color_interpretation": ["gray", "alpha"]}, "--color-interpretation gray,alpha"),
    "metadata": (
        {"metadata": {"a": "b"}, "unset_metadata": "old"}, "--metadata a=b --unset-metadata old",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def said(path):
    """What a file says of itself."""
    with rasterio.open(path) as dataset:
        tags = {k: v for k, v in dataset.tags().items() if not k.startswith("GEOBATCH")}
        return {
            "colours": dataset.colorinterp, "scales": dataset.scales, "offsets": dataset.offsets,
            "tags": tags, "nodata": dataset.nodata, "pixels": dataset.read().tolist(),
        }  # fmt: skip


def test_edits_are_gdals(tmp_path):
    """The published file says what GDAL's says, and its pixels are those of the source."""
    source = raster(tmp_path / "a.tif", validity="none", dtype="uint8", size=(20, 16))
    with rasterio.open(source, "r+") as dataset:
        dataset.update_tags(old="1", kept="2")
    ours, pipelines = [], []
    for number, (step, words) in enumerate(EDITS.values()):
        item = chain_item(source, [{"name": "edit", **step}], output={"format": "GTiff"})
        ours.append(said(publish(item)[0]))
        opened_source.release()
        pipelines.append(f"read {source} ! edit {words} ! write {tmp_path / f'{number}.tif'}")
    all_by_gdal(pipelines)
    for number, (name, mine) in enumerate(zip(EDITS, ours, strict=True)):
        assert mine == said(tmp_path / f"{number}.tif"), name


@pytest.mark.parametrize("nodata", [None, 2])
def test_a_palette(tmp_path, nodata):
    """A colour map of pixel values makes a palette, as GDAL's; a stored one is read as it is in the
    chain; and it can be left out."""
    colours = tmp_path / "colours.txt"
    colours.write_text("0 red\n1 1 2 3\n2 blue 9\n255 white\n")
    source = raster(
        tmp_path / "a.tif", validity="nodata" if nodata else "none", dtype="uint8", bands=1
    )
    steps = [{"name": "edit", "color_map": str(colours)}]
    if nodata:
        steps.insert(0, {"name": "edit", "nodata": nodata})
    item = chain_item(source, steps, output={"format": "GTiff"})
    plan, pixels, _ = whole_of(item)
    assert plan.colorinterp == ("palette",)
    assert plan.colormap[:3] == ((255, 0, 0, 255), (1, 2, 3, 255), (0, 0, 255, 255 if nodata is None else 0))  # fmt: skip
    stored = Path(publish(item)[0])
    opened_source.release()
    again = whole_of(chain_item(stored, [{"name": "materialize"}]))[0]
    assert again.colormap == plan.colormap
    opened_source.release()
    gray = whole_of(chain_item(stored, [{"name": "edit", "unset_color_table": True}]))
    assert (gray[0].colormap, gray[0].colorinterp) == (None, ("gray",))
    assert np.array_equal(gray[1], pixels)
    theirs = tmp_path / "gdal.tif"
    all_by_gdal([f"read {source} ! edit --color-map {colours} ! write {theirs}"])
    with rasterio.open(theirs) as dataset:
        table = dataset.colormap(1)
    assert [table[at][:3] for at in (0, 1, 2, 255)] == [plan.colormap[at][:3] for at in (0, 1, 2, 255)]  # fmt: skip


def test_alpha_comes_and_goes(tmp_path):
    """The last band says what is valid as soon as it is alpha, in place of nodata, and not longer
    than it is."""
    source = raster(tmp_path / "a.tif", dtype="uint8")
    item = chain_item(source, [{"name": "edit", "color_interpretation": "2=alpha"}])
    plan = whole_of(item)[0]
    assert (plan.validity, plan.nodata) == ("alpha", None)
    assert any("nodata 0 is left out" in text for text in item.plan.warnings)
    source = raster(tmp_path / "b.tif", validity="alpha")
    plan = whole_of(chain_item(source, [{"name": "edit", "color_interpretation": "3=blue"}]))[0]
    assert (plan.validity, plan.bands) == ("none", 3)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"color_interpretation": ["1=alpha"]}, "only the last of several bands"),
        ({"color_interpretation": ["2=alpha"]}, "beside a mask"),
        ({"color_interpretation": ["red"]}, "has 1 values; the input has 2 bands"),
        ({"color_interpretation": ["3=red"]}, "there is no band 3"),
        ({"scale": ["1", "2", "3"]}, "scale has 3 values"),
        ({"offset": "7=1"}, "there is no band 7"),
        ({"unset_color_table": True}, "one band of UInt8"),
        ({"unset_color_table": True, "band": 3}, "there is no band 3"),
    ],
)
def test_edits_that_cannot_be_are_refused(tmp_path, step, why):
    """In the plan, with what is wrong."""
    source = raster(tmp_path / "a.tif", validity="mask")
    with pytest.raises(SchemaError, match=why):
        chain_item(source, [{"name": "edit", **step}])


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"gcp": "1,2,3,4"}, "ground control points are not set"),
        ({"scale": "a"}, "'a' is not a number"),
        ({"scale": "nan"}, "'nan' is not a number"),
        ({"scale": ["1=2", "3"]}, "some values name their band"),
        ({"offset": ["1=2", "1=3"]}, "a band is there twice"),
        ({"color_interpretation": "hue"}, "'hue' is not gray, red"),
        ({"color_interpretation": ["all=red", "1=blue"]}, "all bands, and one beside them"),
        ({"color_map": "/nowhere"}, "No such file"),
    ],
)
def test_edits_that_say_nothing_are_refused(tmp_path, step, why):
    """Before anything runs."""
    source = raster(tmp_path / "a.tif")
    with pytest.raises(ValidationError, match=why):
        chain_item(source, [{"name": "edit", **step}])


def test_a_palette_has_pixel_values(tmp_path):
    """No other numbers, no shares, no nodata."""
    source = raster(tmp_path / "a.tif", validity="none", dtype="uint8", bands=1)
    for value in ("256", "-1", "1.5", "50%", "nv"):
        colours = tmp_path / "colours.txt"
        colours.write_text(f"{value} red")
        with pytest.raises(SchemaError, match="is no pixel value from 0 to 255"):
            chain_item(source, [{"name": "edit", "color_map": str(colours)}])
