"""Inspection: an output is what its bytes say, read to the last block."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import FINGERPRINT, build, make_plan, no_stage, noise, wkt

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.geotiff.read_back import inspect

PLAN = make_plan(200, 150, count=3, block=32, validity="mask", compress="ZSTD")


@pytest.fixture
def output(tmp_path):
    valid = np.ones((150, 200), np.bool_)
    valid[20:50, 30:90] = False
    return Path(build(tmp_path, PLAN, noise(PLAN), valid).part_path)


def test_ours_are_known_by_their_fingerprint(output):
    """Fingerprint, size and digest are the file's own."""
    receipt = inspect(str(output), no_stage)
    data = output.read_bytes()
    assert receipt.fingerprint == FINGERPRINT
    assert receipt.size == len(data)
    assert receipt.digest == hashlib.sha256(data).hexdigest()


def test_a_foreign_file_has_no_fingerprint(tmp_path):
    """A GeoTIFF of someone else's is read, and is not ours."""
    path = tmp_path / "foreign.tif"
    options = {"driver": "GTiff", "width": 9, "height": 9, "count": 1, "dtype": "uint8"}
    transform = rasterio.Affine(2, 0, 0, 0, -2, 0)
    with rasterio.open(path, "w", crs=wkt("EPSG:3035"), transform=transform, **options) as file:
        file.write(np.ones((1, 9, 9), np.uint8))
    assert inspect(str(path), no_stage).fingerprint == ""


def test_damage_in_any_level_is_found(output):
    """A broken block of the image, an overview or a mask makes the output unreadable."""
    tifffile = pytest.importorskip("tifffile")
    data = output.read_bytes()
    with tifffile.TiffFile(output) as file:
        places = [page.dataoffsets[0] for page in file.pages]
    assert len(places) == 8
    for place in places:
        broken = bytearray(data)
        broken[place : place + 6] = b"\xff" * 6
        output.write_bytes(broken)
        with pytest.raises(VerifyError):
            inspect(str(output), no_stage)


def test_a_truncated_file_is_found(output):
    """A file that opens but ends too early cannot be read back."""
    data = output.read_bytes()
    for length in range(0, len(data), len(data) // 7):
        output.write_bytes(data[:length])
        with pytest.raises(VerifyError):
            inspect(str(output), no_stage)


def test_a_disguised_dataset_is_refused(tmp_path):
    """Only GeoTIFF is opened: a VRT named .tif reads nothing."""
    path = tmp_path / "scene.tif"
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(VerifyError):
        inspect(str(path), no_stage)
    with pytest.raises(VerifyError):
        inspect(str(tmp_path / "missing.tif"), no_stage)
