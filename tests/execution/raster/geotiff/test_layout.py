"""Layout: what GDAL's COG driver writes, byte for byte where it can be compared."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from assembling import wkt

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster.encode.tiff_tag import short
from geobatch_tui.execution.raster.geotiff.layout import (
    CLASSIC_LIMIT,
    Directory,
    ghost_area,
    lay_out,
)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("mask", [False, True])
def test_the_ghost_area_is_gdals(tmp_path, interleave, mask):
    """The structural metadata is that of GDAL's COG driver for the same structure."""
    source, target = tmp_path / "source.tif", tmp_path / "cog.tif"
    profile = {"driver": "GTiff", "width": 600, "height": 600, "count": 3, "dtype": "uint8"}
    transform = rasterio.Affine(2, 0, 0, 0, -2, 0)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(source, "w", crs=wkt("EPSG:3035"), transform=transform, **profile) as file,
    ):
        if mask:
            file.write_mask(np.eye(600, dtype=np.uint8) * 255)
    rasterio.shutil.copy(source, target, driver="COG", interleave=interleave)
    ghost = ghost_area(by_band=interleave == "band", mask=mask)
    data = target.read_bytes()
    assert data[8 : 8 + len(ghost)] == ghost
    first = int.from_bytes(data[4:8], "little")
    assert first == 8 + len(ghost) + len(ghost) % 2


def place(lengths, bigtiff="IF_NEEDED", frame=(4, 4)):
    lengths = np.array(lengths)
    order = (np.zeros(len(lengths), np.int64), np.arange(len(lengths)))
    directory = Directory((short(256, 1),), lengths)
    return lay_out([directory], order, ghost=b"", frame=frame, bigtiff=bigtiff)


def test_offsets_are_sums_of_what_lies_before():
    """Frames count, sparse tiles do not and have offset 0."""
    layout = place([10, 0, 7])
    start = len(layout.header)
    assert layout.offsets.tolist() == [start + 4, 0, start + 4 + 10 + 8]
    assert layout.size == start + 17 + 16


def test_bigtiff_is_decided_by_the_sum():
    """Classic up to the limit, to the byte; BigTIFF from there on."""
    header = len(place([1]).header)
    room = CLASSIC_LIMIT - header - 8
    assert not place([room]).bigtiff
    assert place([room]).size == CLASSIC_LIMIT
    assert place([room + 1]).bigtiff
    assert place([room + 1]).header[:4] == b"II+\0"
    assert place([1], bigtiff="YES").bigtiff
    with pytest.raises(SchemaError, match="classic"):
        place([room + 1], bigtiff="NO")


def test_many_large_tiles_have_64_bit_offsets():
    """Sums are not cut to 32 bits on their way."""
    layout = place([3 << 30] * 5)
    assert layout.offsets.tolist() == [
        len(layout.header) + 4 + number * ((3 << 30) + 8) for number in range(5)
    ]
