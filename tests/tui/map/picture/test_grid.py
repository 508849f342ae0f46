"""The grid of an item: zoom, pan, cursor, rectangle, and repainting single pixels."""

from __future__ import annotations

import random

import pytest

from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.tui.map.picture.codes import CURSOR, MODES, SELECTED, WORST, Code
from geobatch_tui.tui.map.picture.grid import GridScene
from geobatch_tui.tui.map.picture.planes import Grid, Planes, Span

STATES = [int(state) for state in S]


def scene_of(states: bytes, columns: int, rows: int, size: tuple[int, int]) -> GridScene:
    planes = Planes()
    planes.load(states)
    scene = GridScene(planes, Grid(0, len(states), columns, rows))
    scene.resize(*size)
    return scene


def test_a_small_grid_fills_the_view():
    """Few chunks are drawn large, all alike, apart from one another, in the middle."""
    scene = scene_of(bytes([S.DONE] * 6), 3, 2, (40, 20))
    assert scene.scale_text == "10:1"
    row = scene.picture[1]
    assert row[5:14] == bytes([Code.DONE] * 9)
    assert row[14] == Code.ABSENT
    assert row[15:24] == bytes([Code.DONE] * 9)
    assert list(scene.picture[9]) == [0] * 40


def test_a_large_grid_is_reduced_to_fit():
    """All chunks are in view at first, at the finest whole scale that has room for them."""
    scene = scene_of(bytes([S.DONE] * 15_000), 150, 100, (78, 32))
    assert scene.scale_text == "1:4"
    shown = sum(code == Code.DONE for row in scene.picture for code in row)
    assert shown == 38 * 25


def test_a_scale_is_that_of_the_cells():
    """Of cells that show the highest of 25 chunks as many are low as high; with a cell each, chunks
    have their own scale again."""
    rng = random.Random(7)
    scene = scene_of(bytes([S.DONE] * 40_000), 200, 200, (40, 40))
    duration = MODES[1]
    values = [rng.expovariate(1.0) for _ in range(40_000)]
    shares = []
    for cells in ((), scene.shared()):
        scale = duration.scale(values, cells)
        scene.planes.show(duration, scale, duration.steps(values, scale))
        scene.paint()
        codes = [code for row in scene.picture for code in row]
        shares.append(codes.count(Code.RAMP_5) / len(codes))
    assert scene.scale_text == "1:5"
    assert shares[0] > 0.9  # what this is against
    assert shares[1] < 0.2
    assert {Code.RAMP_1, Code.RAMP_1 + 1, Code.RAMP_1 + 2} <= set(codes)
    while scene.zoom(1):
        pass
    assert scene.shared() == []
    assert len(scene_of(bytes(10_000), 100, 100, (10, 10)).shared(9)) <= 9


def test_no_failure_hides():
    """At the coarsest scale one dead chunk among 10^6 is still seen."""
    states = bytearray([S.DONE]) * 1_000_000
    states[777_777] = S.DEAD
    scene = scene_of(states, 1000, 1000, (78, 32))
    dead = [(x, y) for y, row in enumerate(scene.picture) for x, c in enumerate(row) if c == 5]
    assert len(dead) == 1


@pytest.mark.parametrize("seed", range(6))
def test_touch_paints_what_a_full_paint_would(seed):
    """After a tick the picture is that of a full paint, and only changed pixels are dirty, at any
    zoom and place, in any mode."""
    rng = random.Random(seed)
    columns, rows = rng.choice([(5, 4), (60, 45), (200, 150)])
    states = bytearray(rng.choice(STATES) for _ in range(columns * rows))
    scene = scene_of(states, columns, rows, (48, 30))
    mode = rng.choice(MODES)
    values = [rng.random() for _ in states]
    scale = mode.scale(values)
    scene.planes.show(mode, scale, mode.steps(values, scale) if mode.figure else b"")
    scene.paint()
    for _ in range(12):
        scene.zoom(rng.choice((1, 1, -1)))
        scene.move(rng.randrange(-9, 10), rng.randrange(-9, 10))
        changed = rng.sample(range(len(states)), 12)
        for position in changed:
            states[position] = rng.choice(STATES)
        before = [bytes(row) for row in scene.picture]
        scene.planes.touch(changed, states)
        dirty = scene.touch(changed)
        after = [bytes(row) for row in scene.picture]
        scene.paint()
        assert after == [bytes(row) for row in scene.picture]
        for y, (old, new) in enumerate(zip(before, after, strict=True)):
            wrong = [x for x, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]]
            assert dirty.get(y, set()) == set(wrong)


def test_many_changes_are_painted_at_once():
    """More changes than single pixels are worth end in the same picture and the same dirt."""
    states = bytearray(100 * 100)
    scene = scene_of(states, 100, 100, (50, 50))
    changed = list(range(0, 2000, 2))
    for position in changed:
        states[position] = S.DONE
    scene.planes.touch(changed, states)
    dirty = scene.touch(changed)
    assert dirty == {}  # half of each cell still waits
    rest = list(range(1, 2000, 2))
    for position in rest:
        states[position] = S.DONE
    scene.planes.touch(rest, states)
    assert scene.touch(rest) == {y: set(range(50)) for y in range(10)}


def test_zoom_stays_at_the_cursor_and_comes_back():
    """More detail keeps the cursor in view; as many steps back show the whole again."""
    scene = scene_of(bytes(15_000), 150, 100, (78, 32))
    whole = [bytes(row) for row in scene.picture]
    scene.go(99 * 150 + 149)
    for _ in range(30):
        scene.zoom(1)
        box = scene.cursor_box()
        assert not box.meet(Span(0, 0, 78, 32)).empty
    assert scene.scale_text == "16:1"
    assert not scene.zoom(1)
    while scene.zoom(-1):
        pass
    assert scene.scale_text == "1:4"
    assert [bytes(row) for row in scene.picture] == whole


def test_the_view_follows_the_cursor():
    """A cursor that leaves the view moves it; at the edges of the grid it stays inside."""
    scene = scene_of(bytes(15_000), 150, 100, (78, 32))
    while scene.scale_text != "1:1":
        scene.zoom(1)
    moved = [scene.move(1, 1) for _ in range(200)]
    assert any(moved)
    assert not all(moved)
    assert (scene.column, scene.row) == (149, 99)
    assert scene.cursor_box() == Span(77, 31, 78, 32)


def test_a_step_is_a_cell():
    """Zoomed out, a key moves the cursor by the chunks of one pixel."""
    scene = scene_of(bytes(15_000), 150, 100, (78, 32))
    scene.move(1, 0)
    assert scene.column == 4
    assert scene.under_cursor() == [(row * 150 + 4, row * 150 + 8) for row in range(4)]


def test_a_click_puts_the_cursor_there():
    """A pixel names its chunk; one beside the grid leaves the cursor where it was."""
    scene = scene_of(bytes([S.DONE] * 6), 3, 2, (40, 20))
    assert scene.point(26, 11)
    assert (scene.column, scene.row) == (2, 1)
    assert not scene.point(0, 0)
    assert (scene.column, scene.row) == (2, 1)


def test_a_rectangle_selects_its_chunks():
    """From where it was begun to the cursor, both cells included; kept when it is ended."""
    scene = scene_of(bytes([S.DONE] * 100), 10, 10, (10, 10))
    scene.move(2, 2)
    scene.begin()
    scene.move(2, 1)
    assert scene.drawing
    assert scene.selected() == [(22, 25), (32, 35)]
    scene.end()
    scene.move(5, 5)
    assert scene.selected() == [(22, 25), (32, 35)]
    assert scene.selection_box() == Span(2, 2, 5, 4)
    assert scene.clear()
    assert scene.selected() == []
    assert not scene.clear()


def test_marks_lie_over_codes():
    """Cursor and rectangle mark codes and leave them readable."""
    scene = scene_of(bytes([S.DONE] * 100), 10, 10, (10, 10))
    scene.begin()
    scene.move(1, 0)
    upper, lower = scene.line(0)
    assert upper[0] == Code.DONE | SELECTED
    assert upper[1] == Code.DONE | SELECTED | CURSOR
    assert upper[2] == lower[0] == Code.DONE


def test_a_large_cursor_is_a_frame():
    """Around a chunk that is drawn large its state stays to be seen."""
    scene = scene_of(bytes([S.DEAD]), 1, 1, (16, 16))
    middle = scene.line(4)[0]
    assert middle[0] == Code.DEAD | CURSOR
    assert middle[7] == Code.DEAD


def test_an_odd_last_row_is_blank():
    """A view whose height is odd in pixels, or no height at all, is no error."""
    scene = scene_of(bytes([S.DONE] * 4), 2, 2, (4, 3))
    assert scene.line(1)[1] == bytes(4)
    scene.resize(0, 0)
    assert scene.picture == []


def test_the_cursor_survives_what_is_planned_anew():
    """A grid that only moved among the chunks keeps cursor and rectangle; another one does not."""
    scene = scene_of(bytes(200), 10, 10, (10, 10))
    scene.go(55)
    scene.begin()
    scene.retarget(Grid(100, 100, 10, 10))
    scene.paint()
    assert (scene.column, scene.row) == (5, 5)
    assert scene.selected() == [(155, 156)]
    scene.retarget(Grid(0, 16, 4, 4))
    scene.resize(10, 10)
    assert (scene.column, scene.row) == (3, 3)
    assert scene.selected() == []


def test_a_block_shows_the_worst_of_its_states():
    """The table of the worst is what the picture is painted by."""
    states = bytes([S.DONE, S.DEAD, S.PENDING, S.RUNNING])
    scene = scene_of(states, 2, 2, (1, 1))
    assert scene.picture[0][0] == WORST[0b110011] == Code.DEAD
