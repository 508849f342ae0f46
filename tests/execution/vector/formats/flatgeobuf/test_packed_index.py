"""The walk through the index of a FlatGeobuf: it finds what a look at all leaves would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import (
    NODE,
    index_size,
    levels,
    outside,
)
from geobatch_tui.execution.vector.formats.flatgeobuf.packed_index import PackedIndex

BASE = 100
#: Bytes of a feature, after those of its length.
SIZES = st.integers(1, 40)
SIDES = st.floats(0, 10, allow_nan=False, width=32)


def packed(boxes, sizes, wide):
    """The bytes of a file: its index over these boxes, and features of these sizes."""
    counts = levels(len(boxes), wide)
    nodes, level = [], np.array(boxes, np.float64)
    at = np.concatenate([[0], np.cumsum(np.array(sizes) + 4)[:-1]])
    first = sum(counts)
    for count in reversed(counts):
        first -= count
        made = np.empty(count, NODE)
        made["box"], made["at"] = level, at
        nodes.insert(0, made.tobytes())
        at = first + np.arange(0, count, wide)
        cuts = np.arange(0, count, wide)
        level = np.hstack(
            [np.minimum.reduceat(level[:, :2], cuts), np.maximum.reduceat(level[:, 2:], cuts)]
        )
    features = [size.to_bytes(4, "little") + bytes(size) for size in sizes]
    return b"".join([bytes(BASE), *nodes, *features])


class Reader:
    """Reads places of bytes, and counts how many of them are asked for."""

    def __init__(self, data):
        self.data, self.asked = data, 0

    def __call__(self, places):
        self.asked += sum(end - start for start, end in places)
        return [self.data[start:end] for start, end in places]


def opened(data, count, wide):
    return PackedIndex(BASE, count, wide, len(data), "http://there/a.fgb")


def leaf(data, count, number, wide=4):
    return BASE + index_size(count, wide) - (count - number) * NODE.itemsize


def box(left, bottom, width, height):
    return [left, bottom, left + width, bottom + height]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.builds(box, SIDES, SIDES, SIDES, SIDES), SIZES), min_size=1, max_size=90),
    st.integers(2, 16),
    st.builds(box, SIDES, SIDES, SIDES, SIDES),
    st.tuples(st.integers(0, 90), st.integers(0, 90)),
)
def test_it_finds_the_features_that_touch_and_where_they_lie(given_features, wide, bounds, window):
    boxes, sizes = zip(*given_features, strict=True)
    count = len(boxes)
    start, stop = min(*window, count), min(max(window), count)
    data = packed(boxes, sizes, wide)
    index, read = opened(data, count, wide), Reader(data)
    found = index.found(read, bounds, start, stop)
    touching = np.flatnonzero(~outside(np.array(boxes), bounds))
    expected = touching[(touching >= start) & (touching < stop)]
    assert found.numbers.tolist() == expected.tolist()
    for number, begin, end in zip(found.numbers, found.starts, found.ends, strict=True):
        assert data[begin:end] == sizes[number].to_bytes(4, "little") + bytes(sizes[number])
    for most in (1, 10**6):
        runs = index.runs(read, bounds, most)
        assert set(touching.tolist()) <= {one for run in runs for one in range(*run)}
    first = index.first(read, 5)
    assert first.numbers.tolist() == list(range(min(5, count)))


def row(count=400):
    """Boxes from west to east."""
    return [box(n, 0, 1, 1) for n in range(count)]


def test_few_nodes_are_read():
    data = packed(row(), [9] * 400, 4)
    read = Reader(data)
    found = opened(data, 400, 4).found(read, (100.5, 0, 101.5, 1), 0, 400)
    assert found.numbers.tolist() == [100, 101]
    assert read.asked <= 40 * (1 + 5 * 4 + 5)
    read = Reader(data)
    assert not len(opened(data, 400, 4).found(read, (500, 0, 501, 1), 0, 400).numbers)
    assert read.asked == 40


@pytest.mark.parametrize(
    ("number", "at", "told"),
    [
        (0, 5, "feature 0 where it cannot begin"),
        (101, 5, "feature 101 where it cannot begin"),
        (101, 2**64 - 1, "feature 101 beyond the end"),
        (101, 2**63, "feature 101 beyond the end"),
        (399, 399 * 13 + 10, "feature 399 beyond the end"),
    ],
)
def test_a_leaf_that_puts_its_feature_elsewhere_is_refused_by_its_place(number, at, told):
    data = bytearray(packed(row(), [9] * 400, 4))
    place = leaf(data, 400, number)
    data[place + 32 : place + 40] = at.to_bytes(8, "little")
    bounds = (number - 0.5, 0, number + 0.5, 1)
    with pytest.raises(
        CorruptSourceError, match=rf"http://there/a.fgb.* at byte {place}, .*{told}"
    ):
        opened(data, 400, 4).found(Reader(bytes(data)), bounds, 0, 400)


@pytest.mark.parametrize("child", [0, 3, 2**64 - 1])
def test_a_node_that_names_other_children_is_refused(child):
    """Also itself: no walk goes in circles."""
    data = bytearray(packed(row(), [9] * 400, 4))
    data[BASE + 32 : BASE + 40] = child.to_bytes(8, "little")
    index = opened(data, 400, 4)
    for walk in (index.found, lambda read, bounds, *_: index.runs(read, bounds, 10)):
        with pytest.raises(CorruptSourceError, match=f"node 0, at byte {BASE}, names {child}"):
            walk(Reader(bytes(data)), (0, 0, 9, 9), 0, 400)


def test_a_last_feature_that_is_cut_off_is_refused():
    data = packed(row(), [9] * 400, 4)[:-1]
    with pytest.raises(CorruptSourceError, match=f"cut off at {len(data)} bytes"):
        opened(data, 400, 4).found(Reader(data), (399.5, 0, 400, 1), 0, 400)
