"""From a task to a published pixel: chunks, receipts and whole items."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import corpus
import numpy as np
import pytest
import rasterio
from assembling import publish
from planning import OPERATIONS, item_of, no_stage, read_whole

from geobatch_tui.errors import MemoryBudgetError, TransientError
from geobatch_tui.execution.protocol.looking import InspectTask
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@pytest.mark.parametrize("name", [name for name, case in corpus.CASES.items() if not case.errors])
@pytest.mark.parametrize("op", ["raster.reproject", "raster.convert"])
def test_bytes_do_not_depend_on_chunks(tmp_path, name, op):
    """One chunk or many: the published file is the same, byte for byte, and holds the pixels."""
    path = corpus.CASES[name].make(tmp_path)
    params = {"dst_crs": "EPSG:3857", "resampling": "cubic"} if op == "raster.reproject" else {}
    output = {"creation": {"blocksize": 64}}
    whole = item_of(path, params, op=op, output=output)
    cut = item_of(path, params, op=op, output=output, cols=64, rows=128)
    assert len(cut.plan.grid) > len(whole.plan.grid) == 1
    first = Path(publish(whole)[0]).read_bytes()
    part, receipts = publish(cut)
    assert Path(part).read_bytes() == first
    expected, valid = read_whole(whole)
    plan = RasterPlan.from_json(whole.plan.detail)
    with rasterio.open(part) as out:
        assert np.array_equal(
            out.read()[:, valid], expected[:, valid], equal_nan=plan.dtype[0] == "f"
        )
        if plan.validity == "mask":
            assert np.array_equal(out.dataset_mask() > 0, valid)
    assert sum(receipt.units for receipt in receipts) == expected.size
    assert all(0 <= receipt.nodata <= 1 for receipt in receipts)
    assert (
        OPERATIONS[op].inspect(InspectTask(1, op, part), no_stage).fingerprint == whole.fingerprint
    )


def test_convert_copies_every_pixel(tmp_path):
    """A copy is a copy, palette, colours and transform too."""
    path = corpus.palette(tmp_path)
    part, _ = publish(item_of(path, {}, op="raster.convert", output={"format": "GTiff"}))
    with rasterio.open(path) as src, rasterio.open(part) as out:
        assert np.array_equal(src.read(), out.read())
        assert src.transform == out.transform
        assert {i: out.colormap(1)[i] for i in range(8)} == {
            i: src.colormap(1)[i] for i in range(8)
        }


def test_a_rotated_grid_survives_a_conversion(tmp_path):
    """Convert keeps any transform."""
    path = corpus.rotated(tmp_path)
    part, _ = publish(item_of(path, {}, op="raster.convert"))
    with rasterio.open(path) as src, rasterio.open(part) as out:
        assert src.transform.almost_equals(out.transform, 1e-9)


def test_bytes_in_are_counted(tmp_path):
    """A chunk's bytes are those that its thread read through the kernel."""
    item = item_of(corpus.good(tmp_path), {"dst_crs": "EPSG:3857"})
    plan = RasterPlan.from_json(item.plan.detail)
    _, _, count, _ = chunk.read_pixels(item, plan, item.plan.grid.window(0), 0, no_stage)
    size = Path(item.source).stat().st_size
    assert size * 0.8 < count < size * 3


def test_sub_windows_cover_the_chunk_once():
    """4**n parts, none twice, none lost, none empty."""
    for size in ((1, 1), (2, 1), (7, 5), (512, 300)):
        for times in range(4):
            seen = np.zeros(size[::-1], int)
            for part in chunk._quarters(Window(100, 200, *size), times):
                assert part.width
                assert part.height
                rows = slice(part.row_off - 200, part.row_off - 200 + part.height)
                seen[rows, part.col_off - 100 : part.col_off - 100 + part.width] += 1
            assert (seen == 1).all()


def test_errors_are_told_apart(tmp_path):
    """A lack of memory and a fault that went away have classes of their own."""
    item = item_of(corpus.good(tmp_path), {"dst_crs": "EPSG:3857"})
    plan = RasterPlan.from_json(item.plan.detail)
    window = item.plan.grid.window(0)
    with opened_source.source_of(item) as held:
        flake = chunk.explain(item, held, plan, window, OSError("I/O error"))
        assert isinstance(flake, TransientError)
        assert "all 4 blocks" in flake.message
        chained = OSError("Read failed")
        chained.__cause__ = MemoryError()
        assert isinstance(chunk.explain(item, held, plan, window, chained), MemoryBudgetError)


@pytest.mark.parametrize("compress", ["JPEG", "WEBP", "LERC_ZSTD"])
def test_alpha_is_kept_by_codecs_of_pictures(tmp_path, compress):
    """Alpha is a band, or a mask in JPEG; one chunk or many give the same bytes, and the pixels that
    are shown are those of a lossless codec."""
    path = corpus.good(tmp_path)
    params = {"dst_crs": "EPSG:3035", "resampling": "cubic", "add_alpha": True}
    output = {"creation": {"blocksize": 64, "compress": compress, "max_z_error": 2}}
    whole = item_of(path, params, output=output)
    cut = item_of(path, params, output=output, cols=64, rows=128)
    first = Path(publish(whole)[0]).read_bytes()
    part, _ = publish(cut)
    assert Path(part).read_bytes() == first
    alpha = read_whole(whole)[0][-1]
    assert 0 < (alpha > 0).mean() < 1
    with rasterio.open(part) as out:
        assert out.count == (3 if compress == "JPEG" else 4)
        np.testing.assert_array_equal(out.dataset_mask() > 0, alpha > 0)
    told = " ".join(whole.plan.warnings)
    assert ("becomes a mask" in told) == (compress == "JPEG")
    words = OPERATIONS[whole.op].gdal_command(whole)
    scale = {"JPEG": "QUALITY=75", "WEBP": "QUALITY=75", "LERC_ZSTD": "MAX_Z_ERROR=2.0"}
    assert f"COMPRESS={compress}" in words
    assert scale[compress] in words


@pytest.mark.parametrize("op", ["raster.reproject", "raster.convert"])
def test_names_are_quoted_in_commands(tmp_path, op):
    """Names that a shell would take apart are quoted, in both commands."""
    path = corpus.named(tmp_path, corpus.NAMES["quotes"])
    params = {"dst_crs": "EPSG:3857", "add_alpha": True} if op == "raster.reproject" else {}
    item = replace(item_of(path, params, op=op), out_path="/out dir/o.tif")
    operation = OPERATIONS[op]
    words = shlex.split(operation.gdal_command(item))
    assert words[-2:] == [str(path), "/out dir/o.tif"]
    assert shlex.split(operation.reproduce(item, Window(0, 0, 10, 10)))[-2:] == [
        str(path),
        "/vsimem/window.tif",
    ]
    if op == "raster.reproject":
        text = " ".join(words)
        assert "-et 0 -ovr NONE" in text
        assert "XSCALE=" in text
        assert "-dstalpha" in words


def test_the_reproduction_of_a_failure_fails(tmp_path):
    """The line in the dead letter shows the fault without geobatch."""
    import shutil

    if shutil.which("gdalwarp") is None:
        pytest.skip("gdalwarp is not installed")
    item = item_of(corpus.corrupt_tile(tmp_path), {"dst_crs": "EPSG:3857"})
    line = OPERATIONS[item.op].reproduce(item, item.plan.grid.window(0))
    assert subprocess.run(shlex.split(line), check=False, capture_output=True).returncode != 0


def test_operations_import_without_gdal():
    """Their modules, parameters and commands load neither GDAL, PROJ nor numpy."""
    code = (
        "import sys\n"
        "from geobatch_tui.execution.ops.raster_operations import REPROJECT\n"
        "import geobatch_tui.execution.raster.gdal_commands\n"
        "names = {'rasterio', 'pyproj', 'imagecodecs', 'numba'}\n"
        "assert set(REPROJECT.libraries()) == names\n"
        "found = {'rasterio', 'numpy', 'pyproj', 'tifffile'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {found}' if found else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
