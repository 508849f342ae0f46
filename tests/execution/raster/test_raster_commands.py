"""Commands of GDAL's tools that make the nearest file."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from assembling import build, make_item, make_plan
from chains import EXAMPLES, chain_item, raster, whole_of
from kept_gdal import by_gdal

from geobatch_tui.execution.raster.gdal_commands import item_command, pipeline
from geobatch_tui.execution.raster.source import opened_source

CASES = [
    ({"compress": "WEBP", "level": 100}, 3),
    ({"compress": "WEBP", "level": 100, "format": "GTiff"}, 3),
    ({"compress": "JPEG", "level": 80, "format": "GTiff"}, 3),
    ({"compress": "JPEG", "level": 80, "format": "GTiff"}, 1),
    ({"compress": "DEFLATE", "level": 6, "interleave": "band", "format": "GTiff"}, 2),
]


def test_an_assigned_crs_is_in_the_command(tmp_path):
    """Where the plan takes another CRS than the file's, GDAL is told so."""
    plan = make_plan(100, 90)
    item = make_item(plan, tmp_path)
    item = replace(item, plan=replace(item.plan, detail=plan.to_json()))
    assert "-a_srs" not in item_command(item)
    noted = replace(item.plan, notes={"crs_source": "src_crs", "assigned_crs": "EPSG:3035"})
    words = shlex.split(item_command(replace(item, plan=noted)))
    assert words[words.index("-a_srs") + 1] == "EPSG:3035"


@pytest.mark.skipif(shutil.which("gdal_translate") is None, reason="GDAL's tools are not installed")
@pytest.mark.parametrize(("changes", "count"), CASES)
def test_gdal_makes_the_same_kind_of_file(changes, count, tmp_path):
    """Lossless where ours is, in the same colours, bands in the same order."""
    plan = make_plan(100, 90, count=count, **changes)
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (count, 90, 100)).astype("uint8")
    ours = build(tmp_path / "ours", plan, pixels).part_path
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", width=100, height=90, count=count, dtype="uint8",
        crs="EPSG:3035", transform=rasterio.Affine(*plan.transform),
        photometric="RGB" if count == 3 else "MINISBLACK",
    ) as file:  # fmt: skip
        file.write(pixels)
    item = make_item(plan, tmp_path)
    item = replace(item, plan=replace(item.plan, detail=plan.to_json()))
    words = shlex.split(item_command(item))
    words[-2:] = [str(tmp_path / "in.tif"), str(tmp_path / "gdal.tif")]
    subprocess.run(words, check=True, capture_output=True)
    found = []
    for path in (ours, tmp_path / "gdal.tif"):
        with rasterio.open(path) as file:
            found.append(
                (
                    file.profile["compress"],
                    file.photometric,
                    file.interleaving,
                    np.array_equal(file.read(), pixels),
                )
            )
    assert found[0] == found[1]


def test_gdal_runs_the_pipeline_of_a_chain(tmp_path):
    """Word for word, and gives the same pixels, where both compute nothing but copies."""
    path = raster(tmp_path / "a b.tif")
    item = chain_item(path, [EXAMPLES["clip-window"], EXAMPLES["select"], EXAMPLES["edit"]])
    by_gdal(item_command(item).removeprefix("gdal raster pipeline "))
    _, pixels, _ = whole_of(item)
    opened_source.release()
    with rasterio.open(tmp_path / "out.tif") as theirs:
        assert np.array_equal(theirs.read(), pixels)
        assert theirs.tags()["a"] == "b"


def test_a_mosaic_reads_files_itself():
    """And what GDAL has not is left out of a step."""
    steps = [{"name": "mosaic", "by": "x", "rule": "last"}, {"name": "select", "band": [2, 1]}]
    assert pipeline(["a.tif", "b c.tif"], steps, ["out.tif"]) == (
        "gdal raster pipeline mosaic a.tif 'b c.tif' ! select --band 2,1 ! write out.tif"
    )
    steps = [
        {
            "name": "reproject",
            "output_crs": "EPSG:3035",
            "extent": "source",
            "warp_option": {"A": "B", "C": "D"},
            "error_threshold": 0.125,
            "resampling": "nearest",
        }
    ]
    assert pipeline(["a.tif"], steps, ["out.tif"]) == (
        "gdal raster pipeline read a.tif ! reproject --output-crs EPSG:3035 --warp-option A=B "
        "--warp-option C=D ! write out.tif"
    )
