"""proximity without a limit: exact, and the same however the raster is cut."""

from __future__ import annotations

import numpy as np
import pytest
from chains import chain_item, raster, whole_of, window_of
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps.focal import far_targets
from geobatch_tui.execution.raster.steps.focal.far_targets import Blocks, Search, unpacked


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


def searched(targets, window, *, side, most=np.inf, kept=4096):
    """Squared distances of ``window``, and the blocks that were read for them."""
    whole = Window(0, 0, targets.shape[1], targets.shape[0])
    firsts = [np.arange(0, length, side) for length in targets.shape]
    occupied = np.logical_or.reduceat(targets, firsts[0], axis=0)
    blocks = Blocks(whole, side, np.logical_or.reduceat(occupied, firsts[1], axis=1))
    read = []

    def find(part):
        read.append(part)
        return targets[part.slices]

    search = Search(blocks, find, most)
    return np.concatenate([search.squares(one) for one in window.parts(window.width, 11)]), read


def exact(targets, window=None):
    """Squared distances from all to all, -1 everywhere without a target."""
    rows, cols = np.nonzero(targets)
    y, x = np.indices(targets.shape)
    if window is not None:
        y, x = y[window.slices], x[window.slices]
    if not len(rows):
        return np.full(y.shape, -1.0)
    squares = (y[..., np.newaxis] - rows) ** 2 + (x[..., np.newaxis] - cols) ** 2
    return squares.min(axis=-1).astype(float)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0, 0.0005, 0.01, 0.3, 1]))
def test_squares_are_exact_in_any_window(seed, share):
    """With blocks of any size: each pixel's nearest target is in a block that is read."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 45, 2)
    targets = rng.random((height, width)) < share
    left, top = int(rng.integers(width)), int(rng.integers(height))
    window = Window.between(
        left, top, int(rng.integers(left + 1, width + 1)), int(rng.integers(top + 1, height + 1))
    )
    found, _ = searched(targets, window, side=int(rng.integers(1, 30)))
    assert np.array_equal(found, exact(targets, window))


def test_few_blocks_are_read_where_targets_are_near_and_each_once(monkeypatch):
    """All round a window of dense targets, the next but one; the far ones of sparse targets."""
    rng = np.random.default_rng(1)
    dense = rng.random((640, 640)) < 0.003
    _, read = searched(dense, Window(256, 256, 64, 64), side=32)
    assert len(read) == len(set(read)) <= 36
    sparse = np.zeros((640, 640), bool)
    sparse[0, 0] = sparse[639, 639] = sparse[0, 600] = True
    found, read = searched(sparse, Window(400, 0, 64, 64), side=32)
    assert read == [Window(576, 0, 32, 32)]
    assert np.array_equal(found, exact(sparse, Window(400, 0, 64, 64)))
    _, read = searched(sparse, Window(400, 0, 64, 64), side=32, most=100)
    assert not read
    monkeypatch.setattr(far_targets, "_CELLS", 700)
    monkeypatch.setattr(far_targets, "_KEPT", 3)
    found, _ = searched(dense, Window(100, 90, 64, 64), side=32)
    assert np.array_equal(found, exact(dense, Window(100, 90, 64, 64)))


def test_blocks_are_kept_as_text():
    rng = np.random.default_rng(2)
    blocks = Blocks(Window(0, 0, 1000, 770), 256, rng.random((4, 4)) < 0.5)
    again = unpacked(blocks.whole, **blocks.pack())
    assert np.array_equal(again.occupied, blocks.occupied)


@pytest.mark.parametrize("validity", ["none", "nodata", "mask"])
def test_a_step_without_a_limit(tmp_path, monkeypatch, validity):
    """Distances of a whole raster, and of any window of it; invalid pixels have none."""
    monkeypatch.setattr(far_targets, "SIDE", 16)
    path = raster(tmp_path / "a.tif", size=(70, 50), validity=validity, dtype="int16")
    item = chain_item(path, [{"name": "proximity", "target_values": [104]}])
    source, pixels, mask = whole_of(chain_item(path, [{"name": "select", "band": [1]}]))
    valid = np.ones(pixels.shape[1:], bool) if mask is None else mask
    if source.nodata is not None:
        valid &= pixels[0] != source.nodata
    targets = (pixels[0] == 104) & valid
    wanted = np.where(valid, np.sqrt(exact(targets)), np.nan).astype("f4")
    plan, found, _ = whole_of(item)
    assert np.array_equal(found[0], wanted, equal_nan=True)
    assert plan.validity == "nodata"
    for window in (Window(3, 5, 40, 17), Window(69, 0, 1, 50), Window(16, 32, 16, 16)):
        assert np.array_equal(window_of(item, window)[0], found[:, *window.slices], equal_nan=True)
    assert any("look at all 3500 pixels" in text for text in item.plan.warnings)
    far = chain_item(path, [{"name": "proximity", "target_values": [104], "max_distance": 3000}])
    assert np.array_equal(whole_of(far)[1], found, equal_nan=True)


def test_without_a_target_all_is_nodata(tmp_path):
    path = raster(tmp_path / "a.tif", validity="none", dtype="int16")
    item = chain_item(path, [{"name": "proximity", "target_values": [30000]}])
    assert np.isnan(whole_of(item)[1]).all()
    assert any("no pixel is a target" in text for text in item.plan.warnings)
