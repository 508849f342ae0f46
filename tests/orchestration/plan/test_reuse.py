"""Tiles that are taken from the published output, since their pixels are what they were."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

EDITED = (
    '[source]\ninputs = ["a.tif"]\n[[step]]\nname = "neighbors"\nkernel = ["equal"]\n'
    'output_data_type = "float32"\n[[step]]\nname = "edit"\n{edit}\n[output]\ndir = "{dir}"\n'
    "creation = {{blocksize = 16}}\n[engine]\nchunk_cols = 16\nchunk_rows = 16\n"
)


@pytest.fixture
def edited(tmp_path, here):
    """Plan and run a chain that ends in an edit; what the plan says, and whether the bytes are those
    of a fresh run."""
    pixels = np.random.default_rng(0).integers(0, 99, (1, 40, 40), "uint8")
    profile = {
        "driver": "GTiff", "width": 40, "height": 40, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10),
    }  # fmt: skip
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as out:
        out.write(pixels)
    path = tmp_path / "job.toml"
    names = iter("0123456789")

    def run(edit):
        path.write_text(EDITED.format(edit=edit, dir="out"))
        report = json.loads(here("plan", path, "--json", check=0).stdout)
        here("run", path, "--headless", check=0)
        fresh = next(names)
        path.write_text(EDITED.format(edit=edit, dir=fresh))
        here("run", path, "--headless", check=0)
        files = [(tmp_path / name / "a.tif").read_bytes() for name in ("out", fresh)]
        assert files[0] == files[1]
        return report

    path.write_text(EDITED.format(edit='metadata = {A = "1"}', dir="out"))
    here("run", path, "--headless", check=0)
    return run


def test_what_is_said_of_pixels_changes_without_them(edited):
    """Metadata, CRS, place, scales: all tiles are copied, and the bytes are those of a fresh run."""
    for edit in (
        'metadata = {A = "2"}',
        'crs = "EPSG:32634"\nbbox = [0, 0, 80, 80]',
        "scale = [2]",
    ):
        report = edited(edit)
        assert set(report["reasons"]) == {"param_changed"}
        assert any("9 of 9 chunks are copied" in said for said in report["warnings"]), edit


def test_pixels_that_may_change_are_computed(edited, tmp_path):
    """Another nodata value changes overviews; a file that was written to may be another one."""
    report = edited('nodata = "3"')
    assert not [said for said in report["warnings"] if "copied" in said]
    os.utime(tmp_path / "a.tif", (1, 1))
    report = edited('nodata = "3"\nmetadata = {A = "2"}')
    assert not [said for said in report["warnings"] if "copied" in said]
