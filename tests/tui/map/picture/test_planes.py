"""Any part of a run's chunks at any scale, by OR of whole rows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from scripted_maps import items

from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.tui.map.picture.codes import CODES, MODES, PRECEDENCE, Code
from geobatch_tui.tui.map.picture.planes import Grid, Planes, Span, fold, ranges

STATES = [int(state) for state in S]


def loaded(states: bytes) -> Planes:
    planes = Planes()
    planes.load(states)
    return planes


@pytest.mark.parametrize("seed", range(8))
def test_fold_is_the_or_of_each_block(seed):
    """Blocks of any size over any part of a grid, also one whose last row is not full."""
    rng = random.Random(seed)
    columns, rows = rng.randrange(1, 40), rng.randrange(1, 40)
    n = columns * rows - rng.randrange(0, columns)
    first = rng.randrange(0, 9)
    plane = bytearray(rng.choice((0, 1, 2, 4, 128)) for _ in range(first + n + 5))
    grid = Grid(first, n, columns, rows)
    zoom = rng.randrange(1, 8), rng.randrange(1, 8)
    wide, high = -(-columns // zoom[0]), -(-rows // zoom[1])
    left, top = rng.randrange(wide), rng.randrange(high)
    blocks = Span(left, top, rng.randrange(left, wide) + 1, rng.randrange(top, high) + 1)
    found = list(fold(plane, grid, blocks, zoom))
    assert len(found) == blocks.bottom - blocks.top
    for y, line in enumerate(found, blocks.top):
        for x, value in enumerate(line, blocks.left):
            expected = 0
            for row in range(y * zoom[1], min(rows, (y + 1) * zoom[1])):
                for column in range(x * zoom[0], min(columns, (x + 1) * zoom[0])):
                    if row * columns + column < n:
                        expected |= plane[first + row * columns + column]
            assert value == expected, (x, y)


def test_a_block_and_its_row_agree():
    """What a tick repaints is what a full paint would show, in every mode."""
    rng = random.Random(5)
    planes = loaded(bytes(rng.choice(STATES) for _ in range(30 * 20)))
    grid = Grid(0, 600, 30, 20)
    for mode in MODES:
        values = [rng.random() * 9 for _ in range(600)]
        scale = mode.scale(values)
        planes.show(mode, scale, mode.steps(values, scale) if mode.figure else b"")
        rows = list(planes.rows(grid, Span(0, 0, 10, 7), (3, 3)))
        for y, row in enumerate(rows):
            for x, code in enumerate(row):
                block = Span(3 * x, 3 * y, 3 * x + 3, 3 * y + 3).meet(Span(0, 0, 30, 20))
                assert planes.code(*planes.block(grid, block)) == code


def test_figures_of_a_row():
    """A done chunk shows its figure, one without a figure that it is unknown, others their state."""
    planes = loaded(bytes([S.DONE, S.DONE, S.DEAD, S.PENDING, S.DONE]))
    mode = MODES[1]
    planes.show(mode, mode.scale([1.0, 5.0]), bytes([1, 16, 16, 0, 0]))
    row = next(planes.rows(Grid(0, 5, 5, 1), Span(0, 0, 6, 1), (1, 1)))
    assert list(row) == [
        Code.RAMP_1,
        Code.RAMP_5,
        Code.DEAD,
        Code.WAIT,
        Code.UNKNOWN,
        Code.ABSENT,
    ]


def test_single_figures_are_taken_in():
    """Figures that arrive one by one use the scale that is shown."""
    planes = loaded(bytes([S.DONE] * 3))
    mode = MODES[1]
    planes.show(mode, mode.scale([1.0, 5.0]), b"")
    planes.put({1: 5.0, 2: 1.0, 99: 3.0})
    assert list(planes.steps) == [0, 16, 1]


def test_ranges_join_full_rows():
    """Rows of the whole width are one run; others are a run each; nothing outside counts."""
    grid = Grid(10, 11, 4, 3)
    assert list(ranges(grid, Span(0, 1, 4, 3))) == [(14, 21)]
    assert list(ranges(grid, Span(1, 0, 3, 9))) == [(11, 13), (15, 17), (19, 21)]
    assert list(ranges(grid, Span(3, 2, 4, 3))) == []
    assert list(ranges(grid, Span(4, 0, 4, 3))) == []


def test_worst_names_a_chunk_of_the_worst_state():
    """Under a cell of many chunks the first of the worst is meant."""
    planes = loaded(bytes([S.DONE, S.RUNNING, S.DEAD, S.DEAD]))
    assert planes.worst(list(ranges(Grid(0, 4, 2, 2), Span(0, 0, 2, 2)))) == 2
    assert planes.worst(list(ranges(Grid(0, 4, 2, 2), Span(0, 0, 2, 1)))) == 1
    assert planes.worst(list(ranges(Grid(0, 4, 2, 2), Span(2, 0, 2, 1)))) is None


def test_counts_worst_first():
    """Counts name only what is there, the worst first."""
    planes = loaded(bytes([S.DONE, S.DONE, S.DEAD, S.PENDING]))
    assert list(planes.counts([(0, 4)]).items()) == [(Code.DEAD, 1), (Code.WAIT, 1), (Code.DONE, 2)]


def test_find_goes_round():
    """The search for a state begins behind the cursor and comes back to it from the other end."""
    planes = loaded(bytes([S.DEAD, S.DONE, S.DEAD, S.DONE]))
    assert planes.find(S.DEAD, 0) == 2
    assert planes.find(S.DEAD, 2) == 0
    assert planes.find(S.DEAD, 2, back=True) == 0
    assert planes.find(S.DEAD, 0, back=True) == 2
    assert planes.find(S.RUNNING, 0) is None


def test_chunks_without_a_grid_form_a_square():
    """Features of a vector file, and chunks that nobody planned, are not one long line; a raster
    that is a strip is one."""
    vector, unknown, strip, few = (
        replace(item, height=height)
        for item, height in zip(
            items((1000, 1), (1, 1000), (1, 9), (3, 1)), (1, 0, 9, 1), strict=True
        )
    )
    for item in (vector, unknown):
        grid = Grid.of(item)
        assert (grid.columns, grid.rows) == (32, 32)
    assert Grid.of(strip).columns == 1
    assert Grid.of(few).columns == 3


def test_new_states_forget_figures_that_do_not_fit():
    """After chunks came or went, old figures are not shown at new places."""
    planes = loaded(bytes(4))
    planes.show(MODES[1], MODES[1].scale([]), bytes([1, 2, 4, 8]))
    planes.load(bytes(4))
    assert list(planes.steps) == [1, 2, 4, 8]
    planes.load(bytes(5))
    assert list(planes.steps) == [0] * 5


def test_every_state_has_a_code():
    """No state of the ledger is invisible."""
    assert {CODES[state] for state in PRECEDENCE} == {Code(value) for value in range(1, 6)}
