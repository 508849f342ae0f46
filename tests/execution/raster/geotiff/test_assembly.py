"""The assembler: the same bytes however the work was cut, readable by all, never silently wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import (
    FINGERPRINT,
    build,
    make_item,
    make_plan,
    no_stage,
    noise,
    with_encoding,
    write_segments,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geobatch_tui.errors import (
    CrsError,
    DiskFullError,
    OperationError,
    SchemaError,
    VerifyError,
)
from geobatch_tui.execution.io import part_file
from geobatch_tui.execution.protocol.messages import Segment
from geobatch_tui.execution.raster.encode.lossless import FLOATING, HORIZONTAL
from geobatch_tui.execution.raster.geotiff import assembly, read_back, tile_stores
from geobatch_tui.execution.raster.pyramid import halve
from geobatch_tui.execution.raster.pyramid.tiles import pyramid

DTYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip


def holes_in(plan, seed=1):
    """Validity with an invalid corner, stripe and specks."""
    valid = np.random.default_rng(seed).random((plan.height, plan.width)) < 0.97
    valid[: plan.height // 3, : plan.width // 2] = False
    valid[:, plan.width // 2 :] |= True
    return valid


def read(path, level=None):
    options = {} if level is None else {"overview_level": level}
    with rasterio.open(path, driver="GTiff", **options) as dataset:
        return dataset.read(), dataset.dataset_mask() != 0


def expected_levels(plan, pixels, valid):
    """Pixels and validity of each level, reduced over the whole item."""
    layers = [(pixels, valid)]
    for _ in plan.encoding.overviews:
        layers.append(
            halve.reduce(
                *layers[-1],
                resampling=plan.encoding.overview_resampling,
                nodata=plan.nodata,
                alpha=plan.validity == "alpha",
            )
        )
    return layers


def check_pixels(path, plan, pixels, valid=None):
    """GDAL reads the pixels, the overviews and their masks as they should be."""
    for number, (meant, mask) in enumerate(expected_levels(plan, pixels, valid)):
        got, got_mask = read(path, number - 1 if number else None)
        assert got.tobytes() == meant.tobytes(), f"level {number}"
        if mask is not None:
            np.testing.assert_array_equal(got_mask, mask)


def check_cog(path):
    cogeo = pytest.importorskip("rio_cogeo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cogeo.cog_validate(path, strict=True) == (True, [], [])


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("masked", [False, True])
def test_bytes_do_not_depend_on_the_chunks(tmp_path, interleave, masked):
    """Chunks of every size, in any order, give the file that one chunk gives; and it is a COG."""
    plan = make_plan(
        132, 102, count=3, block=32, interleave=interleave, predictor=HORIZONTAL, validity="mask"
    )
    pixels, valid = noise(plan), holes_in(plan) if masked else None
    whole = build(tmp_path / "whole", plan, pixels, valid)
    check_cog(whole.part_path)
    check_pixels(whole.part_path, plan, pixels, valid)
    assert whole.facts["has_mask"] is masked
    for chunk in [(32, 32), (64, 64), (32, 102), (128, 96), (132, 64)]:
        folder = tmp_path / f"{chunk}"
        count = -(-132 // chunk[0]) * -(-102 // chunk[1])
        order = random.Random(1).sample(range(count), count)
        receipt = build(folder, plan, pixels, valid, chunk=chunk, order=order)
        assert receipt.digest == whole.digest, chunk
        assert receipt.facts == whole.facts


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_item_is_the_same_in_any_chunks(data, tmp_path_factory):
    """Random sizes, types, codecs, validity and chunk sizes: one file, and the pixels of it."""
    draw = data.draw
    dtype = draw(st.sampled_from(DTYPES))
    kind = np.dtype(dtype).kind
    validity = draw(st.sampled_from(["none", "nodata", "mask", "alpha"]))
    count = draw(st.integers(2, 4) if validity == "alpha" else st.integers(1, 4))
    predictors = {"f": [1, 2, 3], "c": [1]}.get(kind, [1, 2])
    compress = draw(st.sampled_from(["NONE", "LZW", "DEFLATE", "ZSTD"]))
    resampling = "nearest" if kind == "c" else draw(st.sampled_from(halve.RESAMPLINGS))
    plan = make_plan(
        draw(st.integers(1, 100)),
        draw(st.integers(1, 100)),
        count=count,
        dtype=dtype,
        block=draw(st.sampled_from([16, 32])),
        validity=validity,
        nodata=5 if validity == "nodata" else None,
        colorinterp=("gray", *["undefined"] * (count - 2), "alpha")[:count]
        if validity == "alpha"
        else ("gray", *["undefined"] * (count - 1)),
        format=draw(st.sampled_from(["COG", "GTiff"])),
        compress=compress,
        level=draw(st.integers(1, 9)),
        predictor=1 if compress == "NONE" else draw(st.sampled_from(predictors)),
        interleave=draw(st.sampled_from(["pixel", "band"])),
        overview_resampling=resampling,
        sparse=draw(st.booleans()),
        bigtiff=draw(st.sampled_from(["IF_NEEDED", "YES"])),
    )
    pixels = noise(plan, draw(st.integers(0, 9)))
    if draw(st.booleans()):
        pixels[:, : plan.height // 2] = 5 if validity == "nodata" else 0
    valid = holes_in(plan) if validity == "mask" and draw(st.booleans()) else None
    folder = tmp_path_factory.mktemp("item")
    whole = build(folder / "whole", plan, pixels, valid)
    sides = [plan.encoding.block_width << n for n in range(4)]
    chunk = (draw(st.sampled_from(sides)), draw(st.sampled_from(sides)))
    parts = build(folder / "parts", plan, pixels, valid, chunk=chunk)
    assert parts.digest == whole.digest
    assert parts.facts == whole.facts
    check_pixels(parts.part_path, plan, pixels, valid if valid is None or not valid.all() else None)


WAYS = [
    ("NONE", 1, "pixel"), ("NONE", 1, "band"),
    ("LZW", 1, "pixel"), ("LZW", HORIZONTAL, "band"), ("LZW", FLOATING, "pixel"),
    ("DEFLATE", 1, "band"), ("DEFLATE", HORIZONTAL, "pixel"), ("DEFLATE", FLOATING, "band"),
    ("ZSTD", 1, "pixel"), ("ZSTD", HORIZONTAL, "band"), ("ZSTD", FLOATING, "pixel"),
]  # fmt: skip


def fitting(predictor):
    """The types that go with a predictor."""
    kinds = {HORIZONTAL: "iuf", FLOATING: "f"}.get(predictor, "iufc")
    return [dtype for dtype in DTYPES if np.dtype(dtype).kind in kinds]


def readable(tmp_path, way, dtypes):
    """Hold what GDAL reads against what was meant."""
    compress, predictor, interleave = way
    for dtype in dtypes:
        plan = make_plan(
            60, 50, count=2, dtype=dtype, block=32,
            compress=compress, predictor=predictor, interleave=interleave,
            overview_resampling="nearest" if np.dtype(dtype).kind == "c" else "average",
        )  # fmt: skip
        pixels = noise(plan)
        receipt = build(tmp_path / dtype, plan, pixels, chunk=(32, 32))
        check_pixels(receipt.part_path, plan, pixels)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way)))
def test_gdal_reads_every_codec_and_type(tmp_path, way):
    """GDAL reads what was meant, by each codec, for each type that goes with the predictor. A codec
    knows bytes alone: it gets a third of the types, others the other two thirds."""
    at, types = WAYS.index(way), fitting(way[1])
    step = min(3, len(types))
    readable(tmp_path, way, types[(at + at // 3) % step :: step])


def test_each_type_is_read_by_some_codec():
    """The thirds of the test above are all types of each predictor."""
    for predictor in (1, HORIZONTAL, FLOATING):
        types = fitting(predictor)
        step = min(3, len(types))
        ways = [at for at, way in enumerate(WAYS) if way[1] == predictor]
        assert {(at + at // 3) % step for at in ways} == set(range(step))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way)))
def test_gdal_reads_every_type_by_every_codec(tmp_path, way):
    """The same, of all types each."""
    readable(tmp_path, way, fitting(way[1]))


def test_structure_is_that_of_gdals_cog_driver(tmp_path):
    """Directories, their tags and the order of the data are GDAL's own, for the same raster."""
    tifffile = pytest.importorskip("tifffile")
    plan = make_plan(
        700, 528, count=3, block=256, validity="mask", nodata=None, predictor=HORIZONTAL,
        tags={"SENSOR": "kite"}, descriptions=("r", "g", ""), scales=(2.0, 1.0, 1.0),
    )  # fmt: skip
    pixels, valid = noise(plan), holes_in(plan)
    ours = build(tmp_path, plan, pixels, valid).part_path
    theirs = tmp_path / "gdal.tif"
    rasterio.shutil.copy(
        ours, theirs, driver="COG", compress="DEFLATE", predictor="2", blocksize="256"
    )
    with tifffile.TiffFile(ours) as left, tifffile.TiffFile(theirs) as right:
        assert len(left.pages) == len(right.pages)
        for mine, gdals in zip(left.pages, right.pages, strict=True):
            codes = set(mine.tags.keys())
            assert codes == set(gdals.tags.keys())
            for code in codes - {324, 325, 42112}:
                assert mine.tags[code].value == gdals.tags[code].value, code
            order = np.argsort(mine.dataoffsets)
            assert order.tolist() == np.argsort(gdals.dataoffsets).tolist()
        starts = [[page.dataoffsets[0] for page in file.pages] for file in (left, right)]
        assert np.argsort(starts[0]).tolist() == np.argsort(starts[1]).tolist()


def test_metadata_reads_back(tmp_path):
    """CRS, grid, tags, fingerprint, descriptions, scales, offsets and units are in the file."""
    plan = make_plan(
        40, 30, count=2, dtype="int16", block=16, nodata=-99, validity="nodata", crs="ESRI:54030",
        tags={"SENSOR": "Dräche <&>"}, descriptions=("höhe", ""), scales=(0.1, 1.0),
        offsets=(-5.0, 0.0), units=("m", ""), area_or_point="Point",
    )  # fmt: skip
    path = build(tmp_path, plan, noise(plan)).part_path
    with rasterio.open(path) as dataset:
        assert dataset.crs == rasterio.CRS.from_wkt(plan.crs)
        assert dataset.transform.almost_equals(rasterio.Affine(*plan.transform))
        assert dataset.nodatavals == (-99, -99)
        assert dataset.descriptions == ("höhe", None)
        assert dataset.scales == (0.1, 1.0)
        assert dataset.offsets == (-5.0, 0.0)
        assert dataset.units == ("m", None)
        tags = dataset.tags()
    assert tags["SENSOR"] == "Dräche <&>"
    assert tags["GEOBATCH_FP"] == FINGERPRINT
    assert tags["AREA_OR_POINT"] == "Point"
    assert not list(tmp_path.glob("*.aux.xml"))


def test_palettes_keep_their_colours(tmp_path):
    """A palette image has its colour table, in overviews too."""
    colours = tuple((n, 255 - n, 7, 255) for n in range(256))
    plan = make_plan(
        100, 80, block=32, colormap=colours, colorinterp=("palette",), overview_resampling="mode"
    )
    pixels = noise(plan)
    path = build(tmp_path, plan, pixels, chunk=(32, 32)).part_path
    check_pixels(path, plan, pixels)
    for options in ({}, {"overview_level": 0}):
        with rasterio.open(path, **options) as dataset:
            assert dataset.colormap(1) == dict(enumerate(colours))
            assert dataset.colorinterp[0].name == "palette"


def test_alpha_is_alpha(tmp_path):
    """The last band is alpha to GDAL, and its zeros are invalid."""
    plan = make_plan(100, 80, count=4, block=32, validity="alpha")
    pixels = noise(plan)
    pixels[3] = np.where(holes_in(plan), 255, 0)
    path = build(tmp_path, plan, pixels, chunk=(64, 32)).part_path
    check_pixels(path, plan, pixels)
    with rasterio.open(path) as dataset:
        assert [colour.name for colour in dataset.colorinterp] == list(plan.colorinterp)
        np.testing.assert_array_equal(dataset.dataset_mask() != 0, pixels[3] != 0)


@pytest.mark.parametrize("fmt", ["COG", "GTiff"])
def test_bigtiff_can_be_forced(tmp_path, fmt):
    """A BigTIFF holds the same pixels."""
    plan = make_plan(200, 180, count=3, block=32, bigtiff="YES", format=fmt, validity="mask")
    pixels, valid = noise(plan), holes_in(plan)
    receipt = build(tmp_path, plan, pixels, valid, chunk=(64, 64))
    assert receipt.facts["bigtiff"]
    assert Path(receipt.part_path).read_bytes()[:4] == b"II+\0"
    check_pixels(receipt.part_path, plan, pixels, valid)
    if fmt == "COG":
        check_cog(receipt.part_path)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_missing_chunks_are_holes(tmp_path, sparse, interleave):
    """Where chunks are missing the output is nodata; where they are not, it is as ever."""
    plan = make_plan(
        200, 130, count=2, dtype="int16", block=32, nodata=-1, validity="nodata",
        sparse=sparse, interleave=interleave,
    )  # fmt: skip
    pixels = noise(plan)
    skip = (0, 6)
    item = make_item(plan, tmp_path, chunk=(64, 64))
    receipt = build(tmp_path, plan, pixels, chunk=(64, 64), skip=skip)
    for index in skip:
        at = item.plan.grid.window(index)
        pixels[:, at.row_off : at.row_off + at.height, at.col_off : at.col_off + at.width] = -1
    check_pixels(receipt.part_path, plan, pixels)
    check_cog(receipt.part_path)
    assert receipt.facts["hole_tiles"] == 8 * (2 if interleave == "band" else 1)
    assert bool(receipt.facts["sparse_tiles"]) is sparse


@pytest.mark.parametrize("validity", ["mask", "none"])
@pytest.mark.parametrize("sparse", [False, True])
def test_holes_without_nodata_are_masked(tmp_path, validity, sparse):
    """A hole is never taken for black: it gets a mask even where none was expected."""
    plan = make_plan(200, 130, count=3, block=32, validity=validity, sparse=sparse)
    pixels = noise(plan)
    receipt = build(tmp_path, plan, pixels, chunk=(64, 64), skip=(0, 2))
    valid = np.ones((130, 200), np.bool_)
    valid[:64, :64] = valid[:64, 128:192] = False
    pixels[:, ~valid] = 0
    check_pixels(receipt.part_path, plan, pixels, valid)
    check_cog(receipt.part_path)
    assert receipt.facts["has_mask"]


def test_alpha_holes_are_transparent(tmp_path):
    """A hole shows nothing, whatever nodata says of the colours."""
    plan = make_plan(128, 64, count=4, block=32, validity="alpha", nodata=9, sparse=True)
    pixels = noise(plan) | 1
    path = build(tmp_path, plan, pixels, chunk=(64, 64), skip=(1,)).part_path
    with rasterio.open(path) as dataset:
        assert (dataset.read(4)[:, 64:] == 0).all()
        assert (dataset.read(1)[:, 64:] == 9).all()


def test_sparse_tiles_with_a_mask(tmp_path):
    """A tile without pixels is left out with its mask's; one with valid zeros is stored."""
    plan = make_plan(192, 128, count=3, block=32, validity="mask", sparse=True)
    pixels, valid = noise(plan), np.ones((128, 192), np.bool_)
    pixels[:, :64] = 0
    valid[:64, :64] = False
    whole = build(tmp_path / "whole", plan, pixels, valid)
    parts = build(tmp_path / "parts", plan, pixels, valid, chunk=(64, 64))
    assert whole.digest == parts.digest
    assert whole.facts["sparse_tiles"] >= 8
    check_pixels(whole.part_path, plan, pixels, valid)
    check_cog(whole.part_path)


def test_masks_exist_only_where_something_is_invalid(tmp_path):
    """Chunks that call all their pixels valid make no mask."""
    plan = make_plan(128, 128, block=32, validity="mask")
    receipt = build(tmp_path, plan, noise(plan), np.ones((128, 128), np.bool_), chunk=(64, 64))
    assert not receipt.facts["has_mask"]
    with rasterio.open(receipt.part_path) as dataset:
        assert dataset.mask_flag_enums[0][0].name == "all_valid"


@pytest.mark.parametrize("changes", [{}, {"compress": "NONE"}, {"validity": "mask"}])
def test_gtiff_is_tiled_without_cog_structure(tmp_path, changes):
    """A plain GeoTIFF has no ghost area, leaders or trailers."""
    plan = make_plan(200, 150, count=3, block=64, format="GTiff", **changes)
    pixels = noise(plan)
    valid = holes_in(plan) if changes.get("validity") else None
    receipt = build(tmp_path, plan, pixels, valid, chunk=(64, 64))
    check_pixels(receipt.part_path, plan, pixels, valid)
    assert receipt.facts["layout"] == "tiled"
    assert b"GDAL_STRUCTURAL" not in Path(receipt.part_path).read_bytes()[:200]


def test_the_receipt_is_the_files(tmp_path):
    """Size and digest are those of the bytes on disk; the part lies beside the output."""
    plan = make_plan(100, 100, block=32)
    receipt = build(tmp_path, plan, noise(plan), chunk=(32, 32))
    data = Path(receipt.part_path).read_bytes()
    assert receipt.part_path == str(tmp_path / f".out.{FINGERPRINT[:8]}.1.part")
    assert receipt.size == len(data)
    assert receipt.digest == hashlib.sha256(data).hexdigest()
    assert receipt.facts["verified_tiles"] == 8 + 4 + 1
    assert [path.suffix for path in (tmp_path / "work").iterdir()] == [".spool"]


@pytest.mark.parametrize("name", [
    "a" * 251 + ".tif",
    "é" * 125 + ".tif",
    "[red]\x1b[31m\n.tif",
    os.fsdecode(b"bad\xff\xfe.tif"),
    ".tif",
])  # fmt: skip
def test_any_name_has_a_part_name(tmp_path, name):
    """Part names fit the filesystem, begin with a dot and end in .part."""
    plan = make_plan(20, 20, block=16)
    item = make_item(plan, tmp_path / "new" / "folder", name=name)
    receipt = assembly.write_whole(item, plan, noise(plan), None, 12, no_stage)
    made = Path(receipt.part_path)
    assert made.parent == tmp_path / "new" / "folder"
    assert made.name.startswith(".")
    assert made.name.endswith(f".{FINGERPRINT[:8]}.12.part")
    assert made.is_file()


def test_long_names_do_not_meet(tmp_path):
    """Names that are cut in the same place stay apart."""
    plan = make_plan(20, 20, block=16)
    names = ["a" * 250 + end + ".tif" for end in "xy"]
    assert (
        len({part_file.part_path(make_item(plan, tmp_path, name=name), 1) for name in names}) == 2
    )


def test_a_part_is_a_new_file(tmp_path):
    """A straggler of an earlier attempt writes into a file without a name; links are not followed."""
    plan = make_plan(20, 20, block=16)
    item = make_item(plan, tmp_path)
    path = part_file.part_path(item, 1)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    assembly.write_whole(item, plan, noise(plan), None, 1, no_stage)
    assert not path.is_symlink()
    assert victim.read_text() == "precious"
    with path.open("rb+") as straggler:
        receipt = assembly.write_whole(item, plan, noise(plan), None, 1, no_stage)
        straggler.write(b"late")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == receipt.digest


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="GDAL's tools are not installed")
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("sparse", [False, True])
def test_another_gdal_agrees(tmp_path, interleave, sparse):
    """The system's GDAL sees a COG, and in each level the checksums that the wheel's GDAL sees."""
    plan = make_plan(
        160, 100, count=3, block=32, validity="mask", interleave=interleave, sparse=sparse,
        predictor=HORIZONTAL,
    )  # fmt: skip
    pixels, valid = noise(plan), holes_in(plan)
    pixels[:, :32, :64] = 0
    path = build(tmp_path, plan, pixels, valid, chunk=(64, 128)).part_path
    shown = subprocess.run(
        ["gdalinfo", "-json", "-checksum", path], capture_output=True, check=True, timeout=60
    )
    info = json.loads(shown.stdout)
    assert info["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert shown.stderr == b""
    for level in range(len(plan.encoding.overviews) + 1):
        options = {"overview_level": level - 1} if level else {}
        with rasterio.open(path, **options) as dataset:
            for number, band in enumerate(info["bands"], 1):
                place = band["overviews"][level - 1] if level else band
                assert place["checksum"] == dataset.checksum(number)


def test_wide_images(tmp_path):
    """Sizes beyond 16 bits."""
    plan = make_plan(70_000, 3, block=512, overviews=(), dtype="int16")
    pixels = noise(plan)
    receipt = build(tmp_path, plan, pixels, chunk=(512 * 64, 512))
    check_pixels(receipt.part_path, plan, pixels)


@pytest.mark.parametrize("masked", [False, True])
def test_a_clean_write_says_nothing(tmp_path, caplog, capfd, masked):
    """GDAL neither logs nor prints: whatever it says in a worker is evidence of trouble."""
    plan = make_plan(200, 150, count=3, block=32, validity="mask")
    with rasterio.Env():
        build(tmp_path, plan, noise(plan), holes_in(plan) if masked else None, chunk=(64, 64))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_kernels_without_copy_file_range(tmp_path, monkeypatch):
    """Plain reads and writes give the same file."""
    plan = make_plan(200, 200, count=3, block=32)
    pixels = noise(plan)
    first = build(tmp_path / "a", plan, pixels, chunk=(64, 64))

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EXDEV, "elsewhere")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert build(tmp_path / "b", plan, pixels, chunk=(64, 64)).digest == first.digest
    monkeypatch.setattr(os, "copy_file_range", lambda *_args, **_kwargs: 0)
    assert build(tmp_path / "c", plan, pixels, chunk=(64, 64)).digest == first.digest


SWEEP = make_plan(132, 100, count=2, block=32, validity="mask", predictor=HORIZONTAL)


@pytest.fixture(params=[assembly.ALONE, 1], ids=["small", "large"])
def _each_size(request, monkeypatch):
    """A small file is read when it is written, a large one while it is."""
    monkeypatch.setattr(assembly, "ALONE", request.param)


def lose_writes(monkeypatch, change):
    """Let ``change`` see and alter all that goes into the part."""
    real = tile_stores.SpoolStore.copy

    def copy(self, target, offset, length):
        start = os.lseek(target, 0, os.SEEK_CUR)
        real(self, target, offset, length)
        change(target, start, length)

    monkeypatch.setattr(tile_stores.SpoolStore, "copy", copy)


def corrupt(target, at):
    fd = os.open(f"/proc/self/fd/{target}", os.O_RDWR)
    byte = os.pread(fd, 1, at)[0]
    os.pwrite(fd, bytes([byte ^ 1]), at)
    os.close(fd)


@pytest.mark.usefixtures("_each_size")
@pytest.mark.parametrize("where", [0, 2, 10, -2])
def test_a_flipped_bit_is_caught(tmp_path, monkeypatch, where):
    """One bit wrong, in a leader, a tile or a trailer: no receipt, and no part is left."""
    lose_writes(monkeypatch, lambda fd, start, length: corrupt(fd, start + where % length))
    with pytest.raises(VerifyError):
        build(tmp_path, SWEEP, noise(SWEEP), holes_in(SWEEP), chunk=(64, 64))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.usefixtures("_each_size")
def test_lost_bytes_are_caught(tmp_path, monkeypatch):
    """Bytes that never reach the file, at its end or as zeros in between."""
    with monkeypatch.context() as patch:
        lose_writes(patch, lambda fd, start, length: os.ftruncate(fd, start + length - 1))
        with pytest.raises(VerifyError):
            build(tmp_path, SWEEP, noise(SWEEP), chunk=(64, 64))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(len(data))))
    with pytest.raises(VerifyError):
        build(tmp_path, SWEEP, noise(SWEEP))
    assert not list(tmp_path.glob(".*.part"))


def test_a_wrong_header_is_caught_by_gdal(tmp_path, monkeypatch):
    """Were the layout itself wrong, GDAL's reading of the tiles would tell."""
    real = assembly.lay_out

    def swap(directories, order, **options):
        layout = real(directories, order, **options)
        header = bytearray(layout.header)
        first = layout.offsets.astype("<u4")[-1:].tobytes()
        second = layout.offsets.astype("<u4")[-2:-1].tobytes()
        at = header.index(second + first)
        header[at : at + 8] = first + second
        return replace(layout, header=bytes(header))

    monkeypatch.setattr(assembly, "lay_out", swap)
    plan = make_plan(128, 128, block=32, compress="NONE", format="GTiff")
    with pytest.raises(VerifyError, match="pixels"):
        build(tmp_path, plan, noise(plan))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("name", ["crs", "nodata", "tags", "transform"])
def test_other_metadata_is_caught(tmp_path, monkeypatch, name):
    """What GDAL says of the part must be what it said of the template."""
    real = assembly.tags.make_template

    def other(plan, fingerprint):
        template = real(plan, fingerprint)
        return replace(template, identity={**template.identity, name: "other"})

    monkeypatch.setattr(assembly.tags, "make_template", other)
    monkeypatch.setattr(assembly, "compared", set())
    with pytest.raises(VerifyError, match=name):
        build(tmp_path, SWEEP, noise(SWEEP))


def test_the_first_small_file_of_a_kind_is_read_whole_by_gdal(tmp_path, monkeypatch):
    """Of thousands one; one of another kind, or a large one, anew."""
    real, asked = assembly.check_with_gdal, []

    def spy(*of, alike=False, **more):
        asked.append(alike)
        return real(*of, alike=alike, **more)

    monkeypatch.setattr(assembly, "check_with_gdal", spy)
    monkeypatch.setattr(assembly, "compared", set())
    plan = make_plan(64, 48, block=64, format="GTiff")
    moved = replace(plan, transform=(*plan.transform[:5], plan.transform[5] + 1000.0))
    tiles = make_plan(64, 48, block=32, format="GTiff")
    other = replace(plan, descriptions=("else",) * plan.count)
    for each in (plan, plan, moved, other, plan, tiles, tiles):
        build(tmp_path, each, noise(each))
    monkeypatch.setattr(assembly, "ALONE", 1)
    build(tmp_path, plan, noise(plan))
    assert asked == [False, True, True, False, True, False, False, False]


@pytest.mark.usefixtures("_each_size")
def test_damaged_spools_are_caught(tmp_path):
    """A byte that changed in a spool, wherever it is, never gets into an output."""
    item = make_item(SWEEP, tmp_path, chunk=(64, 64))
    segments = write_segments(item, SWEEP, noise(SWEEP), holes_in(SWEEP))
    path = Path(item.work_dir) / segments[0].spool
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 16):
        flipped = bytearray(data)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(VerifyError, match="damaged") as caught:
            assembly.assemble(item, SWEEP, segments, 1, no_stage)
        hit = [s.index for s in segments if s.offset <= place < s.offset + s.length]
        assert caught.value.evidence == {"chunks": hit}
    path.unlink()
    with pytest.raises(VerifyError, match="damaged") as caught:
        assembly.assemble(item, SWEEP, segments, 1, no_stage)
    assert caught.value.evidence == {"chunks": list(range(len(segments)))}
    assert not list(tmp_path.glob(".*.part"))


def test_a_chunk_twice_is_refused(tmp_path):
    """Two segments of one chunk mean that the ledger is wrong."""
    item = make_item(SWEEP, tmp_path, chunk=(64, 64))
    segments = write_segments(item, SWEEP, noise(SWEEP))
    with pytest.raises(OperationError):
        assembly.assemble(item, SWEEP, [*segments, segments[0]], 1, no_stage)


def test_segments_of_length_0_are_holes(tmp_path):
    """The ledger's way to say that a chunk is left out."""
    plan = make_plan(128, 64, block=32, nodata=0, validity="nodata")
    item = make_item(plan, tmp_path, chunk=(64, 64))
    segment = write_segments(item, plan, noise(plan))[0]
    receipt = assembly.assemble(item, plan, [segment, Segment(1, "", 0, 0, 0)], 1, no_stage)
    assert (read(receipt.part_path)[0][0, :, 64:] == 0).all()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"crs": "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39 +lon_0=18"}, CrsError),
        ({"nodata": -1.0}, SchemaError),
        ({"compress": "LZMA"}, OperationError),
    ],
)
def test_what_geotiff_cannot_hold_is_refused(tmp_path, changes, error):
    """A sidecar file would get lost: the item fails instead."""
    plan = make_plan(32, 32, block=16, **changes)
    with pytest.raises(error):
        build(tmp_path, plan, noise(plan))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(("chunk", "alone"), [(None, assembly.ALONE), ((64, 64), 1)])
def test_a_limit_on_file_size_never_makes_a_wrong_file(tmp_path, monkeypatch, chunk, alone):
    """At 10 limits below the size of the file it is DiskFullError, and nothing is left behind."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(assembly, "ALONE", alone)
    pixels, valid = noise(SWEEP), holes_in(SWEEP)
    whole = build(tmp_path / "free", SWEEP, pixels, valid, chunk=chunk)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    outcomes = []
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        limit = whole.size * (number + 1) // 10 - 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            build(folder, SWEEP, pixels, valid, chunk=chunk)
        except DiskFullError:
            outcomes.append(number)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not list(folder.glob(".*.part"))
    assert outcomes == list(range(10))


def test_every_level_is_sampled(tmp_path):
    """The number of tiles that GDAL decoded covers each level and plane."""
    plan = make_plan(350, 350, count=3, block=16, interleave="band", overviews=())
    plan = with_encoding(plan, overviews=((175, 175), (88, 88)))
    receipt = build(tmp_path, plan, noise(plan), chunk=(64, 64))
    per_level = [min(len(level), read_back.SAMPLES) for level in pyramid(plan)]
    assert receipt.facts["verified_tiles"] == 3 * sum(per_level)
