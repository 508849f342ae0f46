"""Codecs that GDAL's COG driver writes: the copy is compared with its source."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import build, make_plan, noise

from geobatch_tui.errors import DiskFullError, OperationError, VerifyError
from geobatch_tui.execution.raster import driver_copy

JPEG = {"COMPRESS": "JPEG", "QUALITY": "85", "BLOCKSIZE": "128"}


def plan_for(options, **changes):
    fields = {"count": 3, "block": 128, "validity": "mask", "compress": "ZSTD", "level": 1}
    return make_plan(500, 400, driver_copy=options, **{**fields, **changes})


def smooth(plan):
    """Pixels that lossy codecs keep well."""
    rows, cols = np.mgrid[: plan.height, : plan.width]
    bands = [(rows * (band + 1) + cols) // 8 % 256 for band in range(plan.count)]
    return np.stack(bands).astype(plan.dtype)


@pytest.mark.parametrize(
    ("options", "dtype", "limit"),
    [
        (JPEG, "uint8", 40),
        ({"COMPRESS": "WEBP", "QUALITY": "100", "BLOCKSIZE": "128"}, "uint8", 0),
        ({"COMPRESS": "LERC", "MAX_Z_ERROR": "0.5", "BLOCKSIZE": "128"}, "float32", 0.5),
        ({"COMPRESS": "LERC_DEFLATE", "MAX_Z_ERROR": "0", "BLOCKSIZE": "128"}, "float32", 0),
        ({"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": "128"}, "uint16", 0),
    ],
    ids=["jpeg", "webp", "lerc", "lerc lossless", "deflate"],
)
def test_copies_are_cogs_with_the_pixels(tmp_path, options, dtype, limit):
    """The copy is a COG with the mask and, within the codec's limit, the pixels; bytes repeat."""
    plan = plan_for(options, dtype=dtype)
    pixels, valid = smooth(plan), np.ones((400, 500), np.bool_)
    valid[40:200, 30:300] = False
    pixels[:, ~valid] = 0
    first = build(tmp_path / "a", plan, pixels, valid, chunk=(128, 256))
    again = build(tmp_path / "b", plan, pixels, valid)
    assert first.digest == again.digest
    assert first.facts["driver"] == "COG"
    assert first.facts["compress"] == options["COMPRESS"]
    assert first.facts["verified_tiles"] == 16
    with rasterio.open(first.part_path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(dataset.dataset_mask() != 0, valid)
        off = np.abs(dataset.read().astype(np.float64) - pixels)[:, valid]
        assert off.max() <= limit
        assert dataset.overviews(1)
    left = [path.suffix for path in (tmp_path / "a" / "work").iterdir()]
    assert set(left) == {".spool"}


def test_unknown_options_are_the_operations_fault(tmp_path):
    """GDAL's refusal is told, and nothing is left behind."""
    with pytest.raises(OperationError, match="NOPE"):
        build(tmp_path, plan_for({"COMPRESS": "NOPE"}), noise(plan_for({})))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (JPEG, 60),
        ({"COMPRESS": "LERC", "MAX_Z_ERROR": "2", "BLOCKSIZE": "128"}, 4),
        ({"COMPRESS": "LZW", "BLOCKSIZE": "128"}, 1),
    ],
    ids=["jpeg", "lerc", "lzw"],
)
def test_a_copy_with_other_pixels_is_caught(tmp_path, monkeypatch, options, change):
    """Were the driver to write something else, the comparison would tell."""
    real = driver_copy._run_driver

    def alter(source, target, given):
        other = source.with_suffix(".other")
        with rasterio.open(source) as dataset:
            profile, pixels = dataset.profile, dataset.read()
            tags = dataset.tags()
        with rasterio.open(other, "w", **profile) as dataset:
            dataset.update_tags(**tags)
            pixels[:, :128, :128] += np.uint8(change)
            dataset.write(pixels)
        real(other, target, given)
        other.unlink()

    monkeypatch.setattr(driver_copy, "_run_driver", alter)
    plan = plan_for(options, validity="none")
    with pytest.raises(VerifyError):
        build(tmp_path, plan, smooth(plan) // 2)
    assert not list(tmp_path.glob(".*.part"))


def test_a_limit_on_file_size_never_makes_a_wrong_file(tmp_path):
    """Whatever GDAL says of a full disk, a damaged copy gives no receipt."""
    resource = pytest.importorskip("resource")
    plan = plan_for(JPEG)
    pixels = smooth(plan)
    size = build(tmp_path / "free", plan, pixels).size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        # The intermediate file is larger than the copy: only the driver meets this limit.
        real = driver_copy._run_driver

        def limited(source, target, options, limit=size * (number + 1) // 20 - 1, run=real):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                run(source, target, options)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver_copy, "_run_driver", limited)
            with pytest.raises((DiskFullError, OperationError, VerifyError)):
                build(folder, plan, pixels)
        assert not list(folder.glob(".*.part"))
        assert not list((folder / "work").iterdir())


def test_a_full_disk_while_copying_pauses(tmp_path, monkeypatch):
    """No space for the part is DiskFullError, and both files are removed."""
    plan = plan_for(JPEG)
    real = driver_copy._move

    def full(made, target):
        def fail(*_args, **_kwargs):
            raise OSError(errno.ENOSPC, "full")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "copy_file_range", fail)
            real(made, target)

    monkeypatch.setattr(driver_copy, "_move", full)
    with pytest.raises(DiskFullError):
        build(tmp_path, plan, smooth(plan))
    assert not list(tmp_path.glob(".*.part"))
    assert not list(Path(tmp_path / "work").iterdir())
