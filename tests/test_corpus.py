"""The corpus itself: each file is as bad as it says, and no worse."""

from __future__ import annotations

import os
import tomllib
import warnings
from pathlib import Path

import corpus
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError


def blocks_that_fail(path: Path) -> list[tuple[int, int]]:
    failed = []
    with rasterio.open(path, driver="GTiff") as src:
        for index, window in src.block_windows(1):
            try:
                src.read(1, window=window)
            except RasterioIOError:
                failed.append(index)
    return failed


def test_every_case_is_the_same_on_every_run(tmp_path):
    """Two makings give equal bytes."""
    for name, case in corpus.CASES.items():
        made = []
        for run in ("a", "b"):
            directory = tmp_path / run / name / "in"
            directory.mkdir(parents=True)
            path = getattr(case.make, "__wrapped__", case.make)(directory)
            content = path.read_bytes() if path.exists() else b""
            made.append(content.replace(str(tmp_path / run).encode(), b""))
        assert made[0] == made[1], name


def test_the_control_is_sound(tmp_path):
    """All blocks of the good file can be read, and hold what was written."""
    path = corpus.good(tmp_path)
    assert blocks_that_fail(path) == []
    with rasterio.open(path) as src:
        assert np.array_equal(src.read(), corpus.picture())
        assert src.crs.to_epsg() == 4326


def test_truncated_opens_and_fails_in_part(tmp_path):
    """A truncated file opens; some blocks can be read, others cannot."""
    failed = blocks_that_fail(corpus.truncated(tmp_path))
    assert 0 < len(failed) < 16


def test_exactly_one_tile_is_corrupt(tmp_path):
    """One tile fails; the others do not."""
    assert blocks_that_fail(corpus.corrupt_tile(tmp_path)) == [(2, 0)]


VRTS = [corpus.vrt_as_tif, corpus.vrt_of_outside]


@pytest.mark.parametrize("make", [corpus.zero_byte, corpus.html_as_tif, *VRTS])
def test_disguised_files_are_no_geotiff(tmp_path, make):
    """The GeoTIFF driver refuses what only has its name."""
    (tmp_path / "in").mkdir()
    with pytest.raises(RasterioIOError):
        rasterio.open(make(tmp_path / "in"), driver="GTiff")


@pytest.mark.parametrize("make", VRTS)
def test_a_disguised_vrt_would_read_the_canary(tmp_path, make):
    """With the VRT driver the canary's bytes come through: the trap is a real one."""
    (tmp_path / "in").mkdir()
    # Tests of workers may have switched these off for this process.
    allowed = {
        "GDAL_VRT_ENABLE_RAWRASTERBAND": "YES",
        "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL",
    }
    with rasterio.Env(**allowed), rasterio.open(make(tmp_path / "in"), driver="VRT") as src:
        assert corpus.CANARY in src.read().tobytes()


@pytest.mark.parametrize("make", [corpus.bomb_tiles, corpus.bomb_strip])
def test_bombs_are_small_files_with_large_headers(tmp_path, make):
    """10^12 pixels in less than 100 kB."""
    path = make(tmp_path)
    assert path.stat().st_size < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, driver="GTiff") as src:
            assert src.width * src.height == 10**12


def test_georeference_is_as_bad_as_it_says(tmp_path):
    """No CRS, no place, turned, upside down."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(corpus.no_geotransform(tmp_path)) as src:
            assert src.crs is not None
            assert src.transform.is_identity
    with rasterio.open(corpus.no_crs(tmp_path)) as src:
        assert src.crs is None
    with rasterio.open(corpus.rotated(tmp_path)) as src:
        assert src.transform.b != 0
    with (
        rasterio.open(corpus.south_up(tmp_path)) as src,
        rasterio.open(corpus.good(tmp_path)) as control,
    ):
        assert src.transform.e > 0
        assert np.array_equal(src.read()[:, ::-1], control.read())
        assert src.bounds.left == control.bounds.left
        assert sorted(src.bounds[1::2]) == pytest.approx(sorted(control.bounds[1::2]))


def test_validity_is_kept_in_the_file(tmp_path):
    """nodata, alpha and mask say which pixels are holes."""
    with rasterio.open(corpus.nan_nodata(tmp_path)) as src:
        assert np.isnan(src.nodata)
        assert np.isnan(src.read()).any()
    with rasterio.open(corpus.nan_in_data(tmp_path)) as src:
        assert src.nodata == -9999
        assert np.isnan(src.read()).sum() == 100
    with rasterio.open(corpus.band_nodata(tmp_path)) as src:
        assert src.nodatavals == (0, 255)
    with rasterio.open(corpus.alpha(tmp_path)) as src:
        assert src.colorinterp[-1].name == "alpha"
        assert set(np.unique(src.read(4))) == {0, 255}
    with rasterio.open(corpus.dataset_mask(tmp_path)) as src:
        assert "per_dataset" in {flag.name for flag in src.mask_flag_enums[0]}
        assert set(np.unique(src.dataset_mask())) == {0, 255}
        assert not Path(f"{src.name}.msk").exists()


def test_types_and_palette(tmp_path):
    """The types are those of the names, and the values need them."""
    for make in (corpus.int8, corpus.uint64, corpus.float64):
        with rasterio.open(make(tmp_path)) as src:
            assert src.dtypes[0] == make.__name__
    with rasterio.open(tmp_path / "uint64.tif") as src:
        assert (src.read() > 2**53).all()
    with rasterio.open(corpus.palette(tmp_path)) as src:
        assert src.colorinterp[0].name == "palette"
        assert src.colormap(1)[3] == (90, 165, 128, 255)


def test_names_are_on_disk_as_raw_bytes(tmp_path):
    """The directory lists exactly the names, byte for byte; the long one has 255 bytes."""
    for raw in corpus.NAMES.values():
        corpus.named(tmp_path, raw)
    names = [os.fsencode(path.name) for path in tmp_path.iterdir()]
    assert sorted(names) == sorted(corpus.NAMES.values())
    assert len(corpus.NAMES["long"]) == 255


def test_the_job_file_parses(tmp_path):
    """The job with the unknown EPSG code is valid TOML."""
    job = tomllib.loads(corpus.unknown_epsg_job(tmp_path).read_text())
    assert job["op"] == {"name": "raster.reproject", "dst_crs": "EPSG:999999"}
    assert Path(job["source"]["inputs"][0]).exists()
