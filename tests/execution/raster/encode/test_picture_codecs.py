"""JPEG, WEBP and LERC: tiles by imagecodecs, files that GDAL reads the same."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from assembling import build, make_plan
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.raster.encode import tile_codec
from geobatch_tui.execution.raster.encode.codec import codec_of
from geobatch_tui.execution.raster.encode.jpeg import JpegCodec
from geobatch_tui.execution.raster.encode.lerc import LercCodec
from geobatch_tui.execution.raster.encode.lossless import Codec
from geobatch_tui.execution.raster.encode.webp import WebpCodec
from geobatch_tui.execution.raster.geotiff import assembly, read_back

PLAIN = Codec("NONE", 0, 1)


def lerc_of(limit=0.0, *, outer=PLAIN, nodata=None, alpha=False, exact=False):
    return LercCodec(limit, outer, nodata, alpha, exact or limit == 0)


def smooth(plan):
    """Pixels that lossy codecs keep well."""
    rows, cols = np.mgrid[: plan.height, : plan.width]
    bands = [(rows * (band + 1) + cols) // 8 % 256 for band in range(plan.count)]
    return np.stack(bands).astype(plan.dtype)


def hole(plan):
    valid = np.ones((plan.height, plan.width), np.bool_)
    valid[20:80, 15:100] = False
    return valid


CASES = [
    ({"compress": "JPEG", "level": 75}, 3, "uint8", "none", 6),
    ({"compress": "JPEG", "level": 90}, 3, "uint8", "mask", 40),
    ({"compress": "JPEG", "level": 75}, 1, "uint8", "mask", 20),
    ({"compress": "JPEG", "level": 75, "format": "GTiff"}, 3, "uint8", "mask", 40),
    ({"compress": "WEBP", "level": 75}, 3, "uint8", "mask", 40),
    ({"compress": "WEBP", "level": 75}, 4, "uint8", "alpha", 20),
    ({"compress": "WEBP", "level": 100}, 4, "uint8", "alpha", 0),
    ({"compress": "WEBP", "level": 100, "sparse": True}, 3, "uint8", "nodata", 0),
    ({"compress": "LERC", "level": 0}, 1, "float64", "mask", 0),
    ({"compress": "LERC", "level": 0, "max_z_error": 3.0}, 3, "float32", "nodata", 3),
    ({"compress": "LERC_ZSTD", "level": 9, "max_z_error": 0.5}, 2, "float32", "mask", 0.5),
    ({"compress": "LERC_ZSTD", "level": 9, "max_z_error": 3.0}, 4, "uint8", "alpha", 3),
    (
        {"compress": "LERC_DEFLATE", "level": 6, "max_z_error": 2.0, "interleave": "band"},
        2, "int16", "nodata", 2,
    ),
    ({"compress": "LERC", "level": 0, "format": "GTiff"}, 2, "int8", "none", 0),
]  # fmt: skip


def plan_of(encoding, count, dtype, validity):
    nodata = 7 if validity == "nodata" else None
    return make_plan(
        130, 110, block=32, count=count, dtype=dtype, validity=validity, nodata=nodata, **encoding
    )


def pixels_of(plan):
    """Smooth ones, invalid in places, of floats NaN in one band or all."""
    pixels, valid = smooth(plan), hole(plan)
    if plan.validity == "mask":
        pixels[:, ~valid] = 0
    if plan.validity == "alpha":
        pixels[-1] = 255
        pixels[-1, :50, :45], pixels[-1, 50:75, :45] = 0, 77
    if plan.dtype.startswith("float"):
        pixels[:, 95:100, 5:45] = np.nan
        pixels[0, 102:105, 50:65] = np.nan
    return pixels, valid if plan.validity == "mask" else None


@pytest.mark.parametrize(("encoding", "count", "dtype", "validity", "limit"), CASES)
def test_files_hold_the_pixels_whatever_the_chunks(
    tmp_path, encoding, count, dtype, validity, limit
):
    """Bytes do not depend on chunks; GDAL sees the codec, the mask, and the pixels to within the
    codec's limit. That it sees what imagecodecs does is part of making the file.
    """
    plan = plan_of(encoding, count, dtype, validity)
    pixels, valid = pixels_of(plan)
    made = [
        build(tmp_path / str(number), plan, pixels, valid, chunk=chunk)
        for number, chunk in enumerate([None, (64, 32)])
    ]
    assert len({receipt.digest for receipt in made}) == 1
    if plan.encoding.format == "COG":
        cogeo = pytest.importorskip("rio_cogeo")
        assert cogeo.cog_validate(made[0].part_path, strict=True) == (True, [], [])
    with rasterio.open(made[0].part_path) as dataset:
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert structure["COMPRESSION"].removeprefix("YCbCr ") == plan.encoding.compress
        assert structure.get("LAYOUT") == ("COG" if plan.encoding.format == "COG" else None)
        assert len(dataset.overviews(1)) == len(plan.encoding.overviews)
        found, seen = dataset.read(), dataset.dataset_mask() != 0
    if valid is not None:
        np.testing.assert_array_equal(seen, valid)
    if plan.nodata is not None:
        np.testing.assert_array_equal(found == plan.nodata, pixels == plan.nodata)
    if validity == "alpha":
        np.testing.assert_array_equal(found[-1] == 0, pixels[-1] == 0)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(pixels))
    counts = seen if validity == "alpha" else hole(plan) | (validity != "mask")
    off = np.abs(found.astype(np.float64) - pixels)[:, counts]
    assert np.nanmax(off) <= limit


@pytest.mark.parametrize("resampling", ["average", "nearest", "cubic"])
def test_overviews_are_made_of_the_pixels_and_not_of_lossy_tiles(tmp_path, resampling):
    """Those of a lossy file, before its codec, are those of a lossless one."""
    lossy = make_plan(
        350, 250, block=32, count=1, compress="LERC", level=0, max_z_error=9.0,
        overview_resampling=resampling,
    )  # fmt: skip
    plain = make_plan(
        350, 250, block=32, count=1, compress="ZSTD", level=1, overview_resampling=resampling
    )
    pixels = np.random.default_rng(0).integers(0, 255, (1, 250, 350), dtype=np.uint8)
    first = build(tmp_path / "lossy", lossy, pixels, chunk=(64, 64)).part_path
    second = build(tmp_path / "plain", plain, pixels, chunk=(64, 64)).part_path
    for level in range(4):
        with (
            rasterio.open(first, overview_level=level) as one,
            rasterio.open(second, overview_level=level) as other,
        ):
            off = one.read().astype(int) - other.read()
        # From lossy tiles the error would grow with each level.
        assert np.abs(off).max() <= 9
        assert np.abs(off).max() > 0


def test_what_was_never_computed_is_transparent_at_every_level(tmp_path):
    """Holes under a lossy codec, in levels that chunks own and in those above."""
    plan = make_plan(500, 400, count=3, compress="JPEG", level=75, validity="mask")
    made = build(tmp_path, plan, smooth(plan), chunk=(128, 128), skip=(0, 5))
    for options in ({}, *({"overview_level": level} for level in range(3))):
        with rasterio.open(made.part_path, **options) as dataset:
            mask = dataset.dataset_mask()
            assert not mask[: 128 * dataset.height // 400, : 128 * dataset.width // 500].any()
            assert mask[-1, -1]


def test_alpha_becomes_a_mask_in_jpeg(tmp_path):
    """As by GDAL's COG driver: JPEG has no band for it."""
    plan = make_plan(
        500, 400, count=4, compress="JPEG", level=75, validity="alpha", alpha_as_mask=True
    ).stored()
    assert (plan.count, plan.validity) == (3, "mask")
    pixels = smooth(plan)
    made = build(tmp_path, plan, pixels, hole(plan))
    with rasterio.open(made.part_path) as dataset:
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        np.testing.assert_array_equal(dataset.dataset_mask() != 0, hole(plan))


def test_tags_of_jpeg(tmp_path):
    """Tables stand once; the tiles of every directory are what tifffile takes them for."""
    plan = make_plan(300, 200, count=3, compress="JPEG", level=60)
    made = build(tmp_path, plan, smooth(plan))
    with tifffile.TiffFile(made.part_path) as file:
        for page in file.pages:
            assert page.compression == 7
            assert page.photometric.name == "YCBCR"
            assert page.tags["YCbCrSubSampling"].value == (2, 2)
            assert page.jpegtables == JpegCodec(60, 3).tables
        tile, *_ = file.pages[0].segments().__next__()
    with rasterio.open(made.part_path) as dataset:
        seen = np.moveaxis(dataset.read(), 0, -1)[:64, :64]
    np.testing.assert_array_equal(tile[0], seen)


@pytest.mark.parametrize("outer", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
def test_tags_of_lerc(tmp_path, outer):
    """LercParameters: the version of the format, and what compresses the blob."""
    level = {"LERC": 0, "LERC_DEFLATE": 6, "LERC_ZSTD": 9}[outer]
    plan = make_plan(100, 90, compress=outer, level=level, max_z_error=1.5, dtype="float32")
    made = build(tmp_path, plan, smooth(plan))
    with tifffile.TiffFile(made.part_path) as file:
        number = ["LERC", "LERC_DEFLATE", "LERC_ZSTD"].index(outer)
        assert file.pages[0].tags[50674].value == (4, number)
        assert file.pages[0].compression == 34887
    with rasterio.open(made.part_path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["MAX_Z_ERROR"] == "1.5"


# --- single tiles ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@example(seed=4422551, dtype="float32", samples=4, limit=0.01, nodata=None, gaps="none")
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(
        ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
    ),
    samples=st.integers(1, 4),
    limit=st.sampled_from([0.0, 0.01, 0.5, 1.0, 7.0]),
    nodata=st.sampled_from([None, 0, 3]),
    gaps=st.sampled_from(["none", "shared", "mixed", "all"]),
)
def test_lerc_keeps_within_its_limit(seed, dtype, samples, limit, nodata, gaps):
    """For each type, band by band and together, with and without NaN: values move by no more than
    the limit, nodata does not move, and decoding gives what the encoder said it would."""
    rng = np.random.default_rng(seed)
    tile = (rng.random((16, 32, samples)) * 100).astype(dtype)
    if dtype.startswith("float"):
        tile -= tile.dtype.type(50)
        if gaps == "all":
            tile[:] = np.nan
        elif gaps != "none":
            hidden = rng.random((16, 32, 1 if gaps == "shared" else samples)) < 0.3
            tile[np.broadcast_to(hidden, tile.shape)] = np.nan
    codec = lerc_of(limit, nodata=nodata, outer=Codec("DEFLATE", 6, 1))
    data, seen = codec.store(tile)
    np.testing.assert_array_equal(codec.decode(data, tile.shape, tile.dtype), seen)
    off = np.abs(seen.astype(np.float64) - tile)
    # Floats are rounded once more as they are decoded.
    slack = 4 * np.spacing(np.abs(tile)) if limit and dtype.startswith("float") else 0
    assert not (off > limit + slack).any()
    if nodata is not None:
        np.testing.assert_array_equal(seen == nodata, tile == nodata)


def test_lerc_stores_infinities_and_zeros_without_a_sign():
    """A tile that was decoded gives the same bytes again."""
    tile = np.zeros((16, 16, 1), np.float32)
    tile[0, :4, 0] = [np.inf, -np.inf, -0.0, np.nan]
    codec = lerc_of()
    data, seen = codec.store(tile)
    np.testing.assert_array_equal(seen, tile)
    assert codec.store(seen)[0] == data


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), quality=st.integers(1, 100), samples=st.sampled_from([1, 3]))
def test_jpeg_without_its_tables_is_the_same_picture(seed, quality, samples):
    """The stream and its tables apart hold what the whole does."""
    tile = np.random.default_rng(seed).integers(0, 256, (16, 32, samples), dtype=np.uint8)
    codec = JpegCodec(quality, samples)
    data, seen = codec.store(tile)
    whole = codec.tables[:-2] + data[2:]
    np.testing.assert_array_equal(imagecodecs.jpeg8_decode(whole).reshape(tile.shape), seen)
    assert b"JFIF" not in data


@pytest.mark.parametrize("codec", [JpegCodec(1, 3), WebpCodec(1)])
def test_the_lowest_quality_is_no_fault(codec):
    """Plain colours are moved most: each corner of the cube, and what lies between."""
    for colour in np.ndindex(5, 5, 5):
        codec.store(np.full((16, 16, 3), np.array(colour) * 255 // 4, np.uint8))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), quality=st.integers(1, 100), opaque=st.booleans())
def test_webp_keeps_alpha(seed, quality, opaque):
    """At any quality; at 100 colours under transparent pixels, too."""
    tile = np.random.default_rng(seed).integers(0, 256, (16, 32, 4), dtype=np.uint8)
    tile[:8, :, 3] = 255 if opaque else 0
    if opaque:
        tile[:, :, 3] = 255
    _, seen = WebpCodec(quality).store(tile)
    np.testing.assert_array_equal(seen[:, :, 3], tile[:, :, 3])
    if quality == 100:
        np.testing.assert_array_equal(seen, tile)


def test_other_pictures_are_caught(monkeypatch):
    """Were an encoder to make something else of a tile, the comparison would tell."""
    tile = np.full((16, 16, 3), 200, np.uint8)
    for codec, name in ((JpegCodec(75, 3), "jpeg8_decode"), (WebpCodec(75), "webp_decode")):
        monkeypatch.setattr(imagecodecs, name, lambda *_a, **_k: tile // 2)
        with pytest.raises(VerifyError, match="other colours") as caught:
            codec.store(tile)
        assert "compress = DEFLATE" in caught.value.hint
    blank = np.zeros_like(tile)
    tile_codec.check_likeness("JPEG", tile, blank, np.zeros((16, 16), np.bool_))


@pytest.mark.parametrize(
    ("compress", "level", "told"), [("JPEG", 75, "imagecodecs"), ("DEFLATE", 6, "retry")]
)
def test_who_decodes_otherwise_is_told_what_to_do(compress, level, told, tmp_path, monkeypatch):
    """A picture is decoded as well as its library does; other codecs leave no room for that."""
    plan = make_plan(64, 64, count=3, dtype="uint8", compress=compress, level=level)

    def otherwise(data):
        return crc32(data) ^ (memoryview(data).nbytes == 64 * 64 * 3)

    monkeypatch.setattr(read_back, "crc32", otherwise)
    monkeypatch.setattr(assembly, "compared", set())
    with pytest.raises(VerifyError, match="GDAL reads other pixels") as caught:
        build(tmp_path, plan, smooth(plan))
    assert told in caught.value.hint


@pytest.mark.parametrize(
    "codec", [JpegCodec(75, 3), WebpCodec(75), lerc_of(), lerc_of(outer=Codec("ZSTD", 3, 1))]
)
def test_damage_is_an_error(codec):
    """Bytes that are no tile, and tiles of another size, have an error of their own."""
    tile = np.zeros((16, 16, 3), np.uint8)
    data, _ = codec.store(tile)
    for bad in (b"", b"nothing at all", data[:20]):
        with pytest.raises(VerifyError):
            codec.decode(bad, tile.shape, tile.dtype)
    with pytest.raises(VerifyError, match="not"):
        codec.decode(data, (32, 16, 3), tile.dtype)


def test_each_codec_says_whether_it_loses_anything():
    """Overviews are made of stored tiles only where these are the pixels."""

    def exact(compress, level, dtype="uint8", limit=0.0):
        plan = make_plan(
            64, 64, count=3, compress=compress, level=level, dtype=dtype, max_z_error=limit
        )
        return codec_of(plan).exact

    assert not exact("JPEG", 100)
    assert exact("WEBP", 100)
    assert not exact("WEBP", 99)
    assert exact("LERC", 0)
    assert exact("LERC", 0, limit=0.9), "whole numbers move by whole numbers"
    assert not exact("LERC", 0, limit=1.0)
    assert not exact("LERC", 0, dtype="float32", limit=0.1)
    assert exact("DEFLATE", 6)
