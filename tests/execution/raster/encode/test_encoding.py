"""Creation options by GDAL's names; what cannot be written is refused before anything is read."""

from __future__ import annotations

import pytest

from geobatch_tui.config.setting_types import check_creation
from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.raster.encode import gdal_options as creation_options
from geobatch_tui.execution.raster.encode.encoding import Image, plan_encoding

GREY = Image(3000, 2000, 1, "uint8", False, "none")


def encode(image=GREY, form="COG", **creation):
    return plan_encoding({"format": form, "creation": creation}, image)


def test_defaults():
    """DEFLATE, a fitting predictor and its level, tiles of 512, overviews down to one tile for COG."""
    cog = encode()
    assert (cog.format, cog.compress, cog.level, cog.predictor) == ("COG", "DEFLATE", 5, 2)
    floats = encode(Image(3000, 2000, 1, "float32", False, "none"))
    assert (floats.level, floats.predictor) == (2, 3)
    assert encode(predictor="no").level == 6
    assert (cog.block_width, cog.block_height) == (512, 512)
    assert cog.overviews == ((1500, 1000), (750, 500), (375, 250))
    assert cog.overview_resampling == "average"
    assert encode(form="GTiff").overviews == ()


def test_noise_is_encoded_quickly_where_no_level_is_asked_for():
    """Of differences alone: without a predictor matches are what DEFLATE lives by."""
    assert encode().quick
    assert encode(form="GTiff", predictor=2).quick
    assert not encode(level=5).quick
    assert not encode(form="GTiff", zlevel=5).quick
    assert not encode(predictor="no").quick
    assert not encode(compress="zstd").quick


@pytest.mark.parametrize(
    ("dtype", "palette", "predictor"),
    [("uint8", False, 2), ("int64", False, 2), ("float32", False, 3), ("uint8", True, 1)],
)
def test_the_predictor_fits_the_type(dtype, palette, predictor):
    """2 for integers, 3 for floats, none for class numbers."""
    assert encode(Image(9, 9, 1, dtype, palette, "none")).predictor == predictor


@pytest.mark.parametrize(
    ("creation", "error", "says"),
    [
        ({"compres": "LZW"}, PreflightError, "compress"),
        ({"compress": "LZMA"}, PreflightError, "LZMA"),
        ({"level": 13}, PreflightError, "1 to 12"),
        ({"level": "high"}, PreflightError, "1 to 12"),
        ({"compress": "zstd", "level": 23}, PreflightError, "1 to 22"),
        ({"blocksize": 100}, PreflightError, "multiples of 16"),
        ({"predictor": 3}, SchemaError, "uint8"),
        ({"predictor": 7}, PreflightError, "predictor"),
        ({"compress": "none", "predictor": "yes"}, PreflightError, "without compression"),
        ({"overview_resampling": "lanczos"}, PreflightError, "CUBIC"),
        ({"bigtiff": "MAYBE"}, PreflightError, "IF_NEEDED"),
        ({"overviews": "SOME"}, PreflightError, "AUTO"),
        ({"interleave": "line"}, PreflightError, "PIXEL"),
        ({"overview_count": "many"}, PreflightError, "overview_count"),
        ({"compress": "JPEG", "quality": 0}, PreflightError, "1 to 100"),
        ({"compress": "JPEG", "lossless": True}, PreflightError, "without loss"),
        ({"compress": "JPEG", "interleave": "band"}, PreflightError, "together"),
        ({"compress": "LERC", "max_z_error": -1}, PreflightError, "max_z_error"),
        ({"compress": "LERC", "max_z_error": "little"}, PreflightError, "max_z_error"),
        ({"compress": "LERC_ZSTD", "level": 23}, PreflightError, "1 to 22"),
    ],
)
def test_wrong_options_are_refused(creation, error, says):
    """An option that is unknown or has no such value names itself."""
    with pytest.raises(error, match=says):
        encode(**creation)


@pytest.mark.parametrize(
    ("compress", "count", "dtype", "validity", "palette", "fits"),
    [
        ("JPEG", 3, "uint8", "none", False, True),
        ("JPEG", 1, "uint8", "mask", False, True),
        ("JPEG", 4, "uint8", "alpha", False, True),
        ("JPEG", 2, "uint8", "none", False, False),
        ("JPEG", 3, "uint16", "none", False, False),
        ("JPEG", 3, "uint8", "nodata", False, False),
        ("JPEG", 1, "uint8", "none", True, False),
        ("WEBP", 4, "uint8", "alpha", False, True),
        ("WEBP", 1, "uint8", "none", False, False),
        ("WEBP", 3, "float32", "none", False, False),
        ("LERC", 5, "float32", "nodata", False, True),
        ("LERC_ZSTD", 1, "int16", "none", False, True),
        ("LERC", 1, "uint64", "none", False, False),
        ("DEFLATE", 7, "float64", "nodata", False, True),
    ],
)
def test_codec_type_and_bands(compress, count, dtype, validity, palette, fits):
    """Case 22: the matrix of codec, type, bands and validity, before the first write."""
    image = Image(600, 600, count, dtype, palette, validity)
    if not fits:
        with pytest.raises(SchemaError):
            encode(image, compress=compress)
        return
    for form in ("COG", "GTiff"):
        encoded = encode(image, form, compress=compress, quality=80, max_z_error=0.5)
        assert encoded.compress == compress
        assert encoded.alpha_as_mask == (compress == "JPEG" and validity == "alpha")
        if compress in {"JPEG", "WEBP"}:
            assert (encoded.level, encoded.predictor) == (80, 1)
        if compress.startswith("LERC"):
            assert (encoded.max_z_error, encoded.predictor) == (0.5, 1)


@pytest.mark.parametrize(
    ("creation", "level"),
    [
        ({"compress": "JPEG"}, 75),
        ({"compress": "WEBP", "lossless": True}, 100),
        ({"compress": "LERC"}, 0),
        ({"compress": "LERC_DEFLATE"}, 6),
        ({"compress": "LERC_ZSTD"}, 9),
        ({"compress": "LERC_ZSTD", "level": 3}, 3),
    ],
)
def test_levels_of_codecs_of_pictures(creation, level):
    """GDAL's defaults, and GDAL's own names for GTiff."""
    image = Image(600, 600, 3, "uint8", palette=False, validity="none")
    assert encode(image, **creation).level == level
    assert encode(image, "GTiff", **creation).level == level


def test_the_job_file_knows_what_the_writer_knows():
    """Each option that a format of rasters takes may be in a job."""
    asked = {name.lower(): 1 for names in creation_options.ALLOWED.values() for name in names}
    assert check_creation(asked) == asked


def test_gtiff_has_its_own_names_for_quality():
    """As GDAL's driver, which knows neither QUALITY nor LOSSLESS."""
    image = Image(600, 600, 3, "uint8", palette=False, validity="none")
    assert encode(image, "GTiff", compress="JPEG", jpeg_quality=90).level == 90
    assert encode(image, "GTiff", compress="WEBP", webp_level=90).level == 90
    assert encode(image, "GTiff", compress="WEBP", webp_lossless="yes").level == 100


def test_nodata_goes_with_webp_without_loss():
    """Only a lossy codec would smear it."""
    image = Image(600, 600, 3, "uint8", palette=False, validity="nodata")
    assert encode(image, compress="WEBP", quality=100).level == 100
    with pytest.raises(SchemaError, match="nodata"):
        encode(image, compress="WEBP", quality=99)


def test_formats():
    """GTiff has its own names; other formats are not ours."""
    tiff = encode(form="gtiff", blockxsize=256, blockysize=128, zlevel=9, overviews=True)
    assert (tiff.format, tiff.block_width, tiff.block_height, tiff.level) == ("GTiff", 256, 128, 9)
    assert tiff.overviews[-1] == (188, 125)
    with pytest.raises(PreflightError, match="PNG"):
        encode(form="PNG")
    with pytest.raises(PreflightError, match="tiled"):
        encode(form="GTiff", tiled="no")


def test_palettes_are_never_averaged():
    """Overviews of class numbers are picked, not blended."""
    image = Image(3000, 2000, 1, "uint8", True, "none")
    assert encode(image).overview_resampling == "nearest"
    assert encode(image, overview_resampling="mode").overview_resampling == "mode"
    with pytest.raises(SchemaError, match="palette"):
        encode(image, overview_resampling="average")


@pytest.mark.parametrize(
    ("form", "size", "creation", "block"),
    [
        ("GTiff", (243, 66), {}, (256, 80)),
        ("GTiff", (10, 5000), {}, (16, 512)),
        ("GTiff", (243, 66), {"blocksize": 128}, (128, 128)),
        ("GTiff", (243, 66), {"blockxsize": 64}, (64, 80)),
        ("COG", (243, 66), {}, (256, 256)),
        ("COG", (2000, 66), {}, (512, 512)),
        ("COG", (243, 66), {"blocksize": 512}, (512, 512)),
    ],
)
def test_small_images_get_small_tiles(form, size, creation, block):
    """Where nothing is asked for, a tile is no larger than the image."""
    image = Image(*size, 1, "uint8", palette=False, validity="none")
    planned = plan_encoding({"format": form, "creation": creation}, image)
    assert (planned.block_width, planned.block_height) == block
