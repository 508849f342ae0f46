from __future__ import annotations

import numpy as np
import pytest
from corpus import (
    CORRUPT_TILE,
    SIDE,
    TILE,
    corrupt_tile,
    holes,
    picture,
    truncated,
    vrt_as_tif,
    write,
)
from planning import item_of, no_stage

from geobatch_tui.errors import InvalidInputError, UnsafeInputError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import Outcome
from geobatch_tui.execution.protocol.preview_messages import PreviewReceipt, PreviewTask
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.pictures.preview import (
    NODATA,
    UNREAD,
    UNREADABLE,
    VALUE,
    preview,
)
from geobatch_tui.execution.runtime.meter import ThreadMeter
from geobatch_tui.execution.runtime.recorder import Recorder, listen_to_gdal
from geobatch_tui.execution.worker.tasks import run_task


def task(path, *, item=None, window=None, band=0, columns=64, rows=64, **more):
    detail = {} if item is None else item.plan.detail
    return PreviewTask(1, str(path), False, detail, window, band, columns, rows, **more)


def look(path, **how):
    """The receipt, its pixels (h, w, 3) and its marks (h, w)."""
    receipt = preview(task(path, **how), no_stage)
    shape = (receipt.height, receipt.width)
    pixels = np.frombuffer(receipt.pixels, np.uint8).reshape(*shape, 3)
    return receipt, pixels, np.frombuffer(receipt.marks, np.uint8).reshape(shape)


def test_samples_are_the_stretched_pixels(tmp_path):
    """A sample is the pixel in the middle of its cell, stretched from p2 to p98 of what is shown."""
    values = picture(1)
    path = write(tmp_path / "a.tif", values)
    receipt, pixels, marks = look(path)
    step = SIDE // 64
    shown = values[0, step // 2 :: step, step // 2 :: step].astype(float)
    low, high = np.percentile(shown, (2, 98))
    expected = np.round(np.clip((shown - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(pixels[..., 0], expected)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert (marks == VALUE).all()
    assert receipt.facts["low"] == [low]
    assert receipt.facts["high"] == [high]


def test_three_bands_are_colours_and_one_is_grey(tmp_path):
    """Without a band asked for, three bands are red, green and blue; a single band is grey."""
    values = picture(3)
    path = write(tmp_path / "a.tif", values)
    receipt, pixels, _ = look(path)
    assert receipt.facts["bands"] == [1, 2, 3]
    assert not np.array_equal(pixels[..., 0], pixels[..., 1])
    receipt, pixels, _ = look(path, band=2)
    assert receipt.facts["bands"] == [2]
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    with pytest.raises(InvalidInputError, match="no band 4"):
        look(path, band=4)


def test_damaged_block_is_marked_and_others_are_shown(tmp_path):
    """One block that cannot be read is marked as such, and no other pixel is."""
    receipt, _, marks = look(corrupt_tile(tmp_path))
    bad = marks == UNREADABLE
    per_tile = 64 // 4
    row, col = divmod(CORRUPT_TILE, 4)
    assert bad[row * per_tile : (row + 1) * per_tile, col * per_tile : (col + 1) * per_tile].all()
    assert bad.sum() == per_tile**2
    assert receipt.facts["bad_blocks"] == 1
    assert receipt.facts["error"]


def test_overviews_do_not_hide_damage(tmp_path):
    """A sound overview is not shown in the place of a damaged block."""
    import rasterio
    from rasterio.enums import Resampling

    path = write(tmp_path / "ovr.tif", picture(side=2 * SIDE))
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.average)
    from corpus import tile_ranges

    offset, length = tile_ranges(path)[5]
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(255 - b for b in content[offset : offset + length])
    path.write_bytes(content)
    _, _, marks = look(path)
    assert (marks == UNREADABLE).sum() == 16 * 16


def test_truncated_source_shows_what_is_left(tmp_path):
    """Of a download that stopped, the first blocks are shown, the others marked."""
    receipt, _, marks = look(truncated(tmp_path))
    assert (marks[:16] == VALUE).all()
    assert (marks == UNREADABLE).any()
    assert receipt.facts["bad_blocks"] > 0


def test_nodata_is_marked(tmp_path):
    """Nodata pixels are marked, and take no part in the stretch."""
    values = holes(picture(1, dtype="int16"), -999)
    path = write(tmp_path / "a.tif", values, nodata=-999)
    receipt, _, marks = look(path, columns=SIDE, rows=96)
    step = SIDE / receipt.height
    rows = (np.arange(receipt.height) * 2 + 1) * SIDE // (2 * receipt.height)
    cols = (np.arange(receipt.width) * 2 + 1) * SIDE // (2 * receipt.width)
    assert step > 1
    assert np.array_equal(marks == NODATA, values[0][np.ix_(rows, cols)] == -999)
    assert receipt.facts["low"][0] > -999
    assert receipt.facts["nodata"] == "-999.0"


def test_window_of_a_copy_is_the_same_window(tmp_path):
    """Where nothing is warped, the chunk's window is the window of the source."""
    path = write(tmp_path / "a.tif")
    item = item_of(path, {}, op="raster.convert", output={"format": "GTiff"})
    receipt, _, _ = look(path, item=item, window=Window(28, 64, 100, 50))
    assert receipt.facts["window"] == [28, 64, 100, 50]
    assert (receipt.width, receipt.height) == (64, 32)


def test_window_of_a_warp_is_the_part_under_it(tmp_path):
    """For a warp, the preview shows the part of the source that lies under the chunk."""
    path = write(tmp_path / "a.tif")
    item = item_of(
        path,
        {"dst_crs": "EPSG:3857"},
        output={"format": "COG", "creation": {"blocksize": 64}},
        cols=64,
        rows=64,
    )
    grid = item.plan.grid
    first, _, _ = look(path, item=item, window=grid.window(0))
    last, _, _ = look(path, item=item, window=grid.window(len(grid) - 1))
    left, top, width, height = first.facts["window"]
    assert (left, top) == (0, 0)
    assert width < SIDE
    assert height < SIDE
    left, top, width, height = last.facts["window"]
    assert (left + width, top + height) == (SIDE, SIDE)
    assert left > 0
    assert top > 0


def test_window_outside_of_a_smaller_file_is_refused(tmp_path):
    """A file that was replaced by a smaller one is said to be so."""
    path = write(tmp_path / "a.tif")
    item = item_of(path, {}, op="raster.convert", output={"format": "GTiff"})
    write(path, picture(side=TILE))
    with pytest.raises(InvalidInputError, match="as it is now"):
        look(path, item=item, window=Window(100, 100, 28, 28))


def test_picture_is_small(tmp_path):
    """A picture is at most 160 x 96 pixels, whatever is asked for, and keeps its proportions."""
    path = write(tmp_path / "a.tif", picture(1, side=SIDE))
    receipt, _, _ = look(path, columns=10_000, rows=10_000)
    assert (receipt.width, receipt.height) == (96, 96)
    assert len(receipt.pixels) == 96 * 96 * 3


def test_vast_window_gives_a_coarse_picture(tmp_path, monkeypatch):
    """Where every sample lies in a block of its own, fewer blocks are read, over all of it."""
    monkeypatch.setattr("geobatch_tui.execution.raster.pictures.preview.MOST_BLOCKS", 20)
    path = write(tmp_path / "a.tif", picture(1, side=256), blockxsize=16, blockysize=16)
    receipt, _, marks = look(path)
    assert (receipt.width, receipt.height) == (4, 4)
    assert (marks == VALUE).all()


def test_time_runs_out(tmp_path):
    """What there was no time for is marked as not read."""
    _, _, marks = look(write(tmp_path / "a.tif"), max_seconds=-1.0)
    assert (marks == UNREAD).all()


def test_constant_and_nan_pictures_have_a_stretch(tmp_path):
    """A picture of one value is grey; one of nothing but NaN is all nodata."""
    _, pixels, _ = look(write(tmp_path / "flat.tif", np.full((1, 64, 64), 7, "uint8")))
    assert (pixels == 128).all()
    _, _, marks = look(write(tmp_path / "nan.tif", np.full((1, 64, 64), np.nan, "float32")))
    assert (marks == NODATA).all()


def test_dangerous_source_is_refused(tmp_path):
    """The look at a file before it is opened holds for previews, too."""
    with pytest.raises(UnsafeInputError):
        look(vrt_as_tif(tmp_path))


def test_worker_answers_a_preview_of_damage_with_a_picture(tmp_path):
    """GDAL's complaints about the damage that is shown do not fail the task."""
    listen_to_gdal()
    outcome = run_task(task(corrupt_tile(tmp_path)), Recorder(), ThreadMeter(), None)
    assert outcome.failure is None, outcome.failure
    assert isinstance(outcome.receipt, PreviewReceipt)


def test_worker_answers_a_missing_source_with_a_failure(tmp_path):
    """A source that is gone is a failure with its class, not a lost worker."""
    outcome = run_task(task(tmp_path / "gone.tif"), Recorder(), ThreadMeter(), None)
    assert outcome.failure is not None
    assert outcome.failure.error_class == "SourceNotFoundError"


def test_messages_cross_the_pipe(tmp_path):
    """Task and receipt are message types that both ends accept."""
    asked = task(tmp_path / "a.tif", window=Window(1, 2, 3, 4))
    answer = Outcome(1, PreviewReceipt(1, 1, b"abc", b"\0", {"count": 1}), None, 0, 0, 0)
    for message in (asked, answer):
        [(_, body)] = list(wire.Frames().feed(wire.pack(1, message)))
        assert wire.unpack(body) == message


def test_damage_that_gdal_does_not_notice_is_marked(tmp_path):
    """By the checksum in the block, as in a chunk."""
    from damaged_blocks import damage, written

    path = written(tmp_path / "a.tif", tiled=True, blockxsize=64, blockysize=64)
    damage(path, 5)
    receipt = preview(PreviewTask(1, str(path), False, {}, None, 1, 64, 64), no_stage)
    marks = np.frombuffer(receipt.marks, np.uint8).reshape(receipt.height, receipt.width)
    assert (marks[17:31, 17:31] == UNREADABLE).all()
    assert np.count_nonzero(marks == UNREADABLE) == 16 * 16
    assert "checksum" in receipt.facts["error"]
