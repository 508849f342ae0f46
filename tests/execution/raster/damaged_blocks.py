"""TIFFs with a damaged block that GDAL reads without a word."""

from __future__ import annotations

import corpus
import rasterio
import tifffile


def written(path, dtype="uint8", **layout):
    """256 pixels a side, in a ramp that predictors like."""
    pixels = corpus.picture(3, side=256, dtype=dtype)
    profile = {
        **corpus.profile_of(pixels),
        "compress": "deflate",
        "zlevel": 1,
    }
    for name in ("tiled", "blockxsize", "blockysize", "interleave"):
        profile.pop(name, None)
    with rasterio.open(path, "w", **{**profile, **layout}) as dst:
        dst.write(pixels)
    return path


def blocks_of(path):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


def damage(path, block):
    """Change a byte of a block so that GDAL still reads it, as other pixels; None if none does."""
    good = path.read_bytes()
    offset, length = blocks_of(path)[block]
    with rasterio.open(path) as src:
        before = src.read()
    for place in range(offset + length // 8, offset + length - 4, max(length // 40, 1)):
        bad = bytearray(good)
        bad[place] ^= 0xFF
        path.write_bytes(bad)
        try:
            with rasterio.open(path) as src:
                if (src.read() != before).any():
                    return bytes(bad)
        except rasterio.errors.RasterioError:
            continue
    raise AssertionError("GDAL noticed all of it: this layer has become unnecessary")
