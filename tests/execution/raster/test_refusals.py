"""Odd rasters end in a sentence of our own, under a class that says what is wrong with them."""

from __future__ import annotations

import struct

import corpus
import numpy as np
import pytest
import rasterio
from affine import Affine
from planning import probe
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError

from geobatch_tui.errors import (
    CorruptSourceError,
    CrsError,
    GeobatchError,
    RemoteIOError,
    SchemaError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source, tiff_directory

TO_3857 = {"dst_crs": "EPSG:3857"}
MARS = (
    'PROJCS["Equirectangular MARS",GEOGCS["GCS_MARS",DATUM["D_MARS",SPHEROID["MARS_localRadius",'
    '3396190,0]],PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Equirectangular"],PARAMETER["standard_parallel_1",0],'
    'PARAMETER["central_meridian",180],PARAMETER["false_easting",0],'
    'PARAMETER["false_northing",0],UNIT["metre",1]]'
)
#: PROJ has no formula for a polar stereographic, variant A, whose origin is no pole.
NO_POLE = (
    'PROJCS["unnamed",GEOGCS["sphere",DATUM["unknown",SPHEROID["Sphere",6371229,0]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Polar_Stereographic"],'
    'PARAMETER["latitude_of_origin",60],PARAMETER["central_meridian",249],'
    'PARAMETER["scale_factor",90],PARAMETER["false_easting",0],PARAMETER["false_northing",0],'
    'UNIT["metre",1]]'
)


def test_whole_complex_pixels(tmp_path):
    """complex_int16, which numpy does not have, is refused as complex64 is."""
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=1, dtype="complex_int16",
        crs="EPSG:4326", transform=corpus.NORTH_UP,
    ):  # fmt: skip
        pass
    with pytest.raises(SchemaError, match="complex_int16 pixels, which are not supported"):
        probe(path, {}, op="raster.convert")


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_place_that_is_no_number(tmp_path, number):
    """A geotransform of NaN or infinity is refused by every operation."""
    path = corpus.good(tmp_path)
    beside = path.with_name(path.name + ".aux.xml")
    beside.write_text(
        f"<PAMDataset><GeoTransform>{number}, 0.05, 0, 52, 0, -0.05</GeoTransform></PAMDataset>"
    )
    for op, params in (("raster.convert", {}), ("raster.reproject", TO_3857)):
        with pytest.raises(CrsError, match="geotransform that is no number"):
            probe(path, params, op=op)


def test_a_palette_without_colours_is_grey(tmp_path):
    """Only the interpretation says palette: the plan says so, and pixels are pixels."""
    path = corpus.write(tmp_path / "a.tif", corpus.picture(1))
    beside = path.with_name(path.name + ".aux.xml")
    beside.write_text(
        '<PAMDataset><PAMRasterBand band="1"><ColorInterp>Palette</ColorInterp></PAMRasterBand>'
        "</PAMDataset>"
    )
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp == (ColorInterp.palette,)
    made = probe(path, {**TO_3857, "resampling": "bilinear"})
    plan = RasterPlan.from_json(made.detail)
    assert (plan.colorinterp, plan.colormap) == (("gray",), None)
    assert any("has no colours" in text for text in made.warnings)


@pytest.mark.parametrize("wkt", [MARS, NO_POLE], ids=["Mars", "no pole"])
def test_another_planet(tmp_path, wkt):
    """Pixels can be converted wherever they lie; to the Earth there is no way."""
    path = corpus.write(tmp_path / "a.tif", crs=wkt, transform=Affine(100, 0, 0, 0, -100, 0))
    made = probe(path, {}, op="raster.convert")
    assert made.bounds_lonlat is None
    assert any("PROJ knows no way" in text for text in made.warnings)
    with pytest.raises(CrsError, match="PROJ knows no way from"):
        probe(path, TO_3857)


def big_tiff(first: int, entries: bytes = b"", count: int = 0) -> bytes:
    return b"II+\0" + struct.pack("<HHQ", 8, 0, first) + struct.pack("<Q", count) + entries


@pytest.mark.parametrize(
    "data",
    [
        big_tiff(2**64 - 1),
        big_tiff(2**63),
        big_tiff(16, count=2**62),
        big_tiff(16, struct.pack("<HHQQ", 324, 16, 99, 2**64 - 8) + bytes(8), count=1),
    ],
    ids=["far", "sign", "many", "table"],
)
def test_offsets_of_64_bits(tmp_path, data):
    """Offsets of a BigTIFF are checked against the end of the file."""
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises(CorruptSourceError, match="is cut off"):
        tiff_directory.missing_blocks(path)
    with pytest.raises(GeobatchError):
        probe(path, {}, op="raster.convert")


@pytest.mark.parametrize(("number", "name"), [(34712, "JPEG 2000"), (50013, "an unknown codec")])
def test_a_codec_that_gdal_lacks(tmp_path, number, name):
    """The error names the codec and its number, and does not call it damage."""
    path = corpus.write(tmp_path / "a.tif", np.ones((1, 8, 8), "u1"), compress=None)
    data = path.read_bytes()
    entry = struct.pack("<HHI", 259, 3, 1)
    at = data.index(entry) + len(entry)
    path.write_bytes(data[:at] + struct.pack("<H", number) + data[at + 2 :])
    with (
        pytest.raises(UnsupportedFormatError, match=rf"{name} \(TIFF compression {number}\)"),
        opened_source.open_source(str(path)),
    ):
        pass


def test_a_disk_that_fails_is_no_damage(tmp_path, monkeypatch):
    """EIO while GDAL opens a source may go away by itself."""
    path = corpus.good(tmp_path)

    def failing(name, **_):
        raise RasterioIOError(f"{name}: Input/output error")

    monkeypatch.setattr(opened_source, "DatasetReader", failing)
    with pytest.raises(RemoteIOError, match="Input/output error"):
        probe(path, TO_3857)
