"""Mosaics and stacks: the pixels of many files on one grid, by the rule that the job gives."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from assembling import publish
from chains import raster, whole_of, window_of
from planning import OPERATIONS, item_of, no_stage
from rasterio.transform import from_origin

from geobatch_tui.errors import (
    CorruptSourceError,
    SchemaError,
    SourceChangedError,
)
from geobatch_tui.execution.params.chain_params import RasterChain
from geobatch_tui.execution.protocol.messages import Chunking, ProbeTask, SourceIdentity
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import chain_probe, chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source, twin_files
from geobatch_tui.execution.raster.source.member_files import packed, unpacked
from geobatch_tui.execution.sources.source_files import status
from geobatch_tui.execution.sources.source_list import members_of, write_source_list

RULES = {
    "min": np.nanmin, "max": np.nanmax, "mean": np.nanmean, "median": np.nanmedian,
    "sum": np.nansum,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def scenes(folder, count=12, *, dtype="float32", nodata=-9.0, bands=1, size=(40, 30), seed=1):
    """Write files that overlap on one grid, a third of whose pixels are nodata; return their paths
    and, for each, a layer (bands, 60, 90) of the whole with NaN where it has no value."""
    rng = np.random.default_rng(seed)
    paths, layers = [], np.full((count, bands, 60, 90), np.nan)
    for number in range(count):
        left = 0 if number == 0 else int(rng.integers(0, 90 - size[0] + 1))
        top = 0 if number == 0 else int(rng.integers(0, 60 - size[1] + 1))
        if number == 1:
            left, top = 90 - size[0], 60 - size[1]
        values = rng.integers(1, 200, (bands, size[1], size[0])).astype(dtype)
        profile = {
            "driver": "GTiff", "width": size[0], "height": size[1], "count": bands, "dtype": dtype,
            "crs": "EPSG:32633", "tiled": True, "blockxsize": 16, "blockysize": 16,
            "transform": from_origin(500_000 + 10 * left, 5_000_000 - 10 * top, 10, 10),
            "compress": "deflate",
        }  # fmt: skip
        shown = values.astype(float)
        if nodata is not None:
            gone = rng.random(values.shape) < 1 / 3
            values[gone], shown[gone] = nodata, np.nan
            profile["nodata"] = nodata
        path = folder / f"scene_2024{number % 3 + 1:02d}_{number:02d}.tif"
        with rasterio.open(path, "w", **profile) as out:
            out.write(values)
        paths.append(str(path))
        layers[number, :, top : top + size[1], left : left + size[0]] = shown
    return paths, layers


def group_item(folder, paths, *steps, **how):
    """The item of a chain on a group of files."""
    listed = Path(write_source_list(paths, folder / "lists"))
    return item_of(listed, {"steps": list(steps)}, op="raster.pipeline", **how)


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_numpys(tmp_path, rule):
    """Of the values of all files at a pixel, in the order of the files."""
    paths, layers = scenes(tmp_path, bands=2)
    plan, pixels, mask = whole_of(group_item(tmp_path, paths, {"name": "mosaic", "rule": rule}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = RULES[rule](layers, axis=0).astype("float32")
    gone = np.isnan(layers).all(axis=0)
    expected[gone] = plan.nodata
    assert (plan.width, plan.height) == (90, 60)
    assert mask is None
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("rule", ["last", "first"])
def test_the_last_file_wins_or_the_first(tmp_path, rule):
    """Where it has a value; else the next does, band by band."""
    paths, layers = scenes(tmp_path, bands=2)
    plan, pixels, _ = whole_of(group_item(tmp_path, paths, {"name": "mosaic", "rule": rule}))
    expected = np.full(layers.shape[1:], plan.nodata)
    for layer in layers if rule == "last" else layers[::-1]:
        expected[~np.isnan(layer)] = layer[~np.isnan(layer)]
    assert np.array_equal(pixels, expected)


def test_values_are_counted(tmp_path):
    """Zero where no file has one: a count is never nodata."""
    paths, layers = scenes(tmp_path)
    plan, pixels, _ = whole_of(group_item(tmp_path, paths, {"name": "mosaic", "rule": "count"}))
    assert (plan.dtype, plan.nodata, plan.validity) == ("uint16", None, "none")
    assert np.array_equal(pixels, (~np.isnan(layers)).sum(axis=0))


@pytest.mark.parametrize("rule", ["last", "mean", "median", "count"])
def test_any_cut_of_a_mosaic_gives_the_same_pixels(tmp_path, rule):
    """And any chunks the same file, behind a warp too."""
    paths, _ = scenes(tmp_path)
    head = {"name": "mosaic", "rule": rule}
    item = group_item(tmp_path, paths, head)
    _, pixels, _ = whole_of(item)
    rng = np.random.default_rng(3)
    for _ in range(15):
        left, top = int(rng.integers(90)), int(rng.integers(60))
        width, height = int(rng.integers(1, 91 - left)), int(rng.integers(1, 61 - top))
        window = Window(left, top, width, height)
        assert np.array_equal(window_of(item, window)[0], pixels[:, *window.slices])
    warp = {"name": "reproject", "output_crs": "EPSG:3857", "resampling": "bilinear"}
    output = {"creation": {"blocksize": 16}}
    files = {
        Path(
            publish(group_item(tmp_path, paths, head, warp, output=output, cols=side, rows=side))[0]
        ).read_bytes()
        for side in (0, 32, 48)
    }
    assert len(files) == 1


def test_tiles_make_the_raster_that_they_were_cut_from(tmp_path):
    """Whatever says which pixels are valid; without a mask where they leave no gap."""
    for validity in ("none", "nodata", "alpha", "mask"):
        whole = raster(tmp_path / f"{validity}.tif", size=(64, 48), validity=validity)
        paths = []
        with rasterio.open(whole) as src:
            for window in Window(0, 0, 64, 48).parts(20, 17):
                part = rasterio.windows.Window(*window.srcwin)
                profile = src.profile | {
                    "width": window.width, "height": window.height,
                    "transform": src.window_transform(part),
                }  # fmt: skip
                path = tmp_path / f"{validity}_{len(paths):02d}.tif"
                with (
                    rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"),
                    rasterio.open(path, "w", **profile) as out,
                ):
                    out.colorinterp = src.colorinterp
                    out.write(src.read(window=part))
                    if validity == "mask":
                        out.write_mask(src.dataset_mask(window=part))
                paths.append(str(path))
            plan, pixels, mask = whole_of(group_item(tmp_path, paths, {"name": "mosaic"}))
            shown = (src.read(3) if validity == "alpha" else src.dataset_mask()) > 0
            assert np.array_equal(pixels[:, shown], src.read()[:, shown])
            assert plan.transform == tuple(src.transform)[:6]
            assert plan.validity == validity
            if mask is not None:
                assert np.array_equal(mask, shown)


def test_gaps_without_nodata_get_a_mask(tmp_path):
    """And the plan says so."""
    paths, layers = scenes(tmp_path, 2, nodata=None, dtype="uint8")
    item = group_item(tmp_path, paths, {"name": "mosaic"})
    _, pixels, mask = whole_of(item)
    assert np.array_equal(mask, ~np.isnan(layers).all(axis=(0, 1)))
    assert np.array_equal(pixels[0][mask], np.nansum(layers, axis=0)[0][mask])
    assert any("leave gaps" in text for text in item.plan.warnings)


def test_medians_of_a_stack_are_numpys(tmp_path):
    """Twelve scenes of one grid as bands, and the median of those with a value at a pixel."""
    paths, layers = scenes(tmp_path, size=(90, 60))
    median = {"name": "calc", "calc": "median", "dialect": "builtin", "flatten": True}
    item = group_item(tmp_path, paths, {"name": "stack"}, median | {"propagate_nodata": False})
    plan, pixels, _ = whole_of(item)
    assert plan.chain[0].raster.count == 12
    gone = np.isnan(layers).all(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanmedian(layers, axis=0)
    expected[gone] = plan.nodata
    assert np.array_equal(pixels, expected)


def test_bands_are_stacked(tmp_path):
    """In the order of the files, each with the file's name."""
    paths, layers = scenes(tmp_path, 3, bands=2, size=(90, 60))
    plan, pixels, _ = whole_of(group_item(tmp_path, paths, {"name": "stack"}))
    expected = np.nan_to_num(layers.reshape(6, 60, 90), nan=plan.nodata)
    assert np.array_equal(pixels, expected)
    assert plan.descriptions[:2] == ("scene_202401_00 1", "scene_202401_00 2")
    assert plan.colorinterp == ("gray", *["undefined"] * 5)


def test_a_stack_is_valid_where_all_files_are(tmp_path):
    """Where one does not reach, and there is no nodata, the mask says so."""
    paths, layers = scenes(tmp_path, 3, nodata=None, dtype="uint8", size=(60, 40))
    plan, pixels, mask = whole_of(group_item(tmp_path, paths, {"name": "stack"}))
    assert plan.validity == "mask"
    assert np.array_equal(mask, ~np.isnan(layers).any(axis=0)[0])
    assert np.array_equal(pixels, np.nan_to_num(layers[:, 0]))


def test_files_on_other_grids_are_refused_by_name(tmp_path):
    """With what is different: CRS, type, size of pixels, place between pixels."""
    paths, _ = scenes(tmp_path, 3)
    other = raster(tmp_path / "other.tif")
    with pytest.raises(SchemaError, match=r"1 files do not lie .*\n.*other.tif: bands 2"):
        group_item(tmp_path, [*paths, str(other)], {"name": "mosaic"})
    with rasterio.open(paths[1], "r+") as out:
        out.transform = from_origin(500_004, 5_000_000, 10, 10)
    with pytest.raises(SchemaError, match="its corner lies between pixels of the first"):
        group_item(tmp_path, paths, {"name": "mosaic"})


def test_damage_is_blamed_on_its_file_and_block(tmp_path):
    """Chunks that do not meet the file are not touched by it."""
    paths, _ = scenes(tmp_path, 2, nodata=None, dtype="uint8")
    item = group_item(
        tmp_path,
        paths,
        {"name": "mosaic"},
        cols=16,
        rows=16,
        output={"creation": {"blocksize": 16}},
    )
    plan = RasterPlan.from_json(item.plan.detail)
    with rasterio.open(paths[0]) as src:
        offset = int(src.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    status = Path(paths[0]).stat()
    data = bytearray(Path(paths[0]).read_bytes())
    data[offset : offset + 20] = b"\xff" * 20
    Path(paths[0]).write_bytes(data)
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(CorruptSourceError, match="scene_202401_00") as caught:
        chunk.read_pixels(item, plan, Window(16, 16, 16, 16), 0, no_stage)
    assert [1, 1] in caught.value.evidence["blocks"]
    chunk.read_pixels(item, plan, Window(64, 40, 16, 16), 0, no_stage)


def test_a_file_that_changed_is_noticed(tmp_path):
    """By its size and its time, when it is opened."""
    paths, _ = scenes(tmp_path, 2)
    item = group_item(tmp_path, paths, {"name": "mosaic"})
    Path(paths[0]).write_bytes(Path(paths[0]).read_bytes() + b" ")
    plan = RasterPlan.from_json(item.plan.detail)
    with pytest.raises(SourceChangedError, match="scene_202401_00"):
        chunk.read_pixels(item, plan, plan.whole, 0, no_stage)


def test_a_look_at_other_pixels_is_not_used(tmp_path):
    """A file that changed between the survey of a mosaic and its plan is noticed."""
    paths, _ = scenes(tmp_path, 2)
    listed = write_source_list(paths, tmp_path / "lists")
    steps = {"steps": [{"name": "mosaic"}, {"name": "scale", "output_data_type": "UInt16"}]}
    task = ProbeTask(
        0, "key", listed, {}, "raster.pipeline",
        RasterChain.model_validate(steps).model_dump(mode="json"), {}, Chunking(0, 0, 0, 2**29),
        surveys=(({"found": {"ranges": [[1.0, 180.0]]}, "seconds": 0.0},),),
        source_id=SourceIdentity(*status(listed), ""),
    )  # fmt: skip
    plan = chain_probe.probe_chain(task, no_stage)
    assert plan.detail["chain"][1]["values"]["input"] == [[1.0, 180.0]]
    Path(paths[1]).write_bytes(Path(paths[1]).read_bytes() + b" ")
    with pytest.raises(SourceChangedError):
        chain_probe.probe_chain(task, no_stage)


def test_lists_are_proved_by_their_names(tmp_path):
    """A list that was changed, or was written by somebody else, is not read."""
    path = Path(write_source_list(["/a/\udcff.tif", "/b\n.tif"], tmp_path / "lists"))
    assert members_of(str(path)) == ("/a/\udcff.tif", "/b\n.tif")
    assert write_source_list(["/a/\udcff.tif", "/b\n.tif"], tmp_path / "lists") == str(path)
    path.write_text("geobatch sources 1\n" + '"/etc/passwd"')
    with pytest.raises(SourceChangedError, match="not the list that the engine wrote"):
        members_of(str(path))


def test_tables_of_files_are_small():
    """A hundred thousand windows, sizes and times survive, in less than two megabytes."""
    rng = np.random.default_rng(0)
    rows = np.stack(
        [
            np.tile(np.arange(400) * 256, 250), np.repeat(np.arange(250) * 256, 400),
            np.full(100_000, 256), np.full(100_000, 256),
            rng.integers(20_000, 60_000, 100_000), 10**18 + rng.integers(0, 10**12, 100_000),
        ],
        axis=1,
    )  # fmt: skip
    text = packed(rows.tolist())
    assert np.array_equal(unpacked(text), rows)
    assert len(text) < 2_000_000


def test_a_mosaic_comes_first():
    """It reads the inputs; nothing can stand before it."""
    with pytest.raises(ValueError, match="mosaic reads the inputs: it is the first step"):
        RasterChain(steps=({"name": "edit"}, {"name": "mosaic"}))
    with pytest.raises(ValueError, match="not a regular expression"):
        RasterChain(steps=({"name": "mosaic", "by": "("},))
    assert OPERATIONS["raster.pipeline"].params is RasterChain


def test_files_alike_are_placed_without_gdal(tmp_path, monkeypatch):
    """All but the first of each size are read by their directory alone; the plan is the same."""
    paths, _ = scenes(tmp_path, 6)
    quick = group_item(tmp_path, paths, {"name": "mosaic"})
    monkeypatch.setattr(twin_files.Twins, "look", lambda *_: None)
    slow = group_item(tmp_path, paths, {"name": "mosaic"})
    assert quick.plan.detail == slow.plan.detail


def test_a_mask_within_one_file_of_many_alike_is_seen(tmp_path):
    """It lies in a directory of its own behind the first, which is alike in all of them."""
    paths, layers = scenes(tmp_path, 3, nodata=None, dtype="uint8", size=(90, 60))
    shown = np.eye(60, 90, dtype=bool)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(paths[2], "r+") as out:
        out.write_mask(shown)
    twins = twin_files.Twins()
    assert len({twins.look(path).kind for path in paths}) == 2
    _, pixels, mask = whole_of(group_item(tmp_path, paths, {"name": "mosaic"}))
    assert mask.all()
    assert np.array_equal(pixels[0], np.where(shown, layers[2, 0], layers[1, 0]))
    masked = group_item(tmp_path, paths[2:], {"name": "mosaic"})
    assert np.array_equal(whole_of(masked)[2], shown)


def test_what_only_gdal_can_tell_is_left_to_it(tmp_path):
    """Another size or nodata is another kind; files beside a raster, and other formats, are GDAL's."""
    paths, _ = scenes(tmp_path, 3)
    twins = twin_files.Twins()
    kinds = {twins.look(path).kind for path in paths}
    assert len(kinds) == 1
    with rasterio.open(paths[1]) as src:
        assert (twins.look(paths[1]).x, twins.look(paths[1]).y) == (
            src.transform.c,
            src.transform.f,
        )
    with rasterio.open(paths[0], "r+") as out:
        out.nodata = 3
    Path(paths[2] + ".msk").write_bytes(b"")
    twins = twin_files.Twins()
    assert twins.look(paths[0]).kind not in kinds
    assert twins.look(paths[2]) is None
    png = tmp_path / "a.png"
    png.write_bytes(b"\x89PNG" + bytes(30))
    assert twin_files.Twins().look(str(png)) is None
    for cut in (0, 7, 30, 200):
        short = tmp_path / f"cut{cut}.tif"
        short.write_bytes(Path(paths[1]).read_bytes()[:cut])
        assert twin_files.Twins().look(str(short)) is None
