"""The file of a stage: its bytes are the same in whatever order they are written, and are proved."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import rasterio
from chains import VALIDITIES, chain_item, raster, whole_of
from planning import no_stage

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.raster.stages import stage_file
from geobatch_tui.execution.raster.stages.stage_file import StageFile, stored

MARK = "0123456789abcdef" * 2


@pytest.mark.parametrize("length", [1, 65535, 65536, 300_000])
def test_a_stored_stream_is_of_zlib_and_of_a_known_length(length):
    data = bytes(range(256)) * (length // 256 + 1)
    packed = stored(data[:length])
    assert zlib.decompress(packed) == data[:length]
    assert len(packed) == stage_file._stored_length(length)


def written(tmp_path, name, validity, order=None, sides=(256, 512)):
    """A stage of three by two tiles, by chunks in ``order``; with its pixels and mask."""
    path = raster(tmp_path / f"{validity}.tif", validity=validity, size=(600, 300))
    plan, pixels, mask = whole_of(chain_item(path, [{"name": "materialize"}]))
    grid = ChunkGrid(600, 300, *sides)
    file = StageFile.of(tmp_path / name, plan.chain[-1].raster, grid, MARK)
    for index in order or range(len(grid)):
        window = grid.window(index)
        part = None if mask is None else mask[window.slices]
        file.write(index, pixels[:, *window.slices], part, no_stage)
    return file, pixels, mask


@pytest.mark.parametrize("validity", VALIDITIES)
def test_gdal_reads_what_was_written_in_any_order(tmp_path, validity):
    file, pixels, mask = written(tmp_path, "one.tif", validity)
    with rasterio.open(file.path) as dataset:
        assert (dataset.read() == pixels).all()
        assert dataset.block_shapes[0] == (256, 256)
        if mask is not None:
            assert (dataset.read_masks(1).astype(bool) == mask).all()
    other, _, _ = written(tmp_path, "two.tif", validity, order=(2, 0, 1, 2))
    assert other.path.read_bytes() == file.path.read_bytes()
    assert file.path.stat().st_size == file.offsets[-1] <= stage_file.size_of(file.raster)


def test_a_segment_is_the_bytes_of_its_chunk(tmp_path):
    file, pixels, _ = written(tmp_path, "one.tif", "nodata")
    window = file.grid.window(1)
    segment = file.write(1, pixels[:, *window.slices], None, no_stage)
    data = file.path.read_bytes()[segment.offset : segment.offset + segment.length]
    assert (segment.offset, segment.spool) == (file.offsets[1], "one.tif")
    first = zlib.decompressobj().decompress(data[:300_000])
    tile = np.frombuffer(first, "<f4").reshape(256, 256)
    assert (tile == pixels[0, :256, 256:512]).all()


def test_pixels_of_another_chunk_are_no_chunk_of_it(tmp_path):
    file, pixels, _ = written(tmp_path, "one.tif", "nodata")
    with pytest.raises(VerifyError, match="chunk 2 of a stage has"):
        file.write(2, pixels[:1, :, :88], None, no_stage)
