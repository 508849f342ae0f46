"""Items where they lie on the earth."""

from __future__ import annotations

import random

import pytest
from scripted_maps import Source, items, scattered

from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.orchestration.state.letters import window_bounds
from geobatch_tui.tui.map.picture.codes import MODES, SEAM, Code
from geobatch_tui.tui.map.picture.ground import GroundScene, extent
from geobatch_tui.tui.map.picture.place import Place, lonlat_text
from geobatch_tui.tui.map.picture.planes import Planes, Span

FOUR = [(9.0, 47.0, 10.5, 48.0), (10.6, 47, 12.1, 48), (9, 48.1, 10.5, 49.1), (10.6, 48.1, 12, 49)]


def scene_of(source: Source, size: tuple[int, int] = (78, 32)) -> GroundScene:
    planes = Planes()
    planes.load(source.states)
    scene = GroundScene(planes, source.items)
    scene.resize(*size)
    return scene


def skewed(columns: int = 5, rows: int = 4) -> dict:
    """A lattice of a raster that lies askew, with a node that has no place."""
    points = [
        [10 + x * 0.3 + y * 0.1, 50 - y * 0.2 + x * 0.05]
        for y in range(rows)
        for x in range(columns)
    ]
    points[0] = None
    return {"cols": columns, "rows": rows, "points": points}


def test_a_place_is_interpolated_as_the_engine_does():
    """A chunk's middle lies where the dead letter's bounds say, inside a cell of the lattice."""
    item = items((8, 6))[0]
    lattice = skewed()
    place = Place.of(item, lattice)
    grid = ChunkGrid(item.width, item.height, 1024, 1024)
    for index in (17, 30, 47):
        left, top, width, height = item.window(index)
        tiny = Window(left + width // 2, top + height // 2, 0, 0)
        west, south, _, _ = window_bounds(lattice, grid, tiny)
        assert place.of_chunk(item, index) == pytest.approx((west, south), abs=1e-5)
    assert place.of_chunk(item, 0) is None
    assert place.at(1.0, 1.0) == pytest.approx(lattice["points"][-1])


def test_without_a_lattice_bounds_are_taken():
    """North is up, and bounds that pass the antimeridian run on."""
    item = items((2, 2), bounds=[(170.0, -10.0, -170.0, 10.0)])[0]
    place = Place.of(item)
    assert place.bounds == (170.0, -10.0, 190.0, 10.0)
    assert place.of_chunk(item, 3) == pytest.approx((185.0, -5.0))
    assert lonlat_text((185.0, -5.0)) == "lon -175.000 lat -5.000"
    assert Place.of(items((2, 2))[0]) is None
    assert lonlat_text(None) == "lon - lat -"


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ([], (-180, -90, 180, 90)),
        (FOUR, (9, 47, 12.1, 49.1)),
        ([(170, 0, 175, 1), (-178, 2, -170, 3)], (170, 0, 190, 3)),
        ([(-180, -60, 180, 70)], (-180, -60, 180, 70)),
        ([(-10, 0, 0, 1), (0, 0, 10, 1), (20, 0, 30, 1)], (-10, 0, 30, 1)),
    ],
)
def test_the_extent_is_the_shortest_arc(bounds, found):
    """Items on both sides of the antimeridian do not make the whole world."""
    assert extent(bounds) == pytest.approx(found)


def test_chunks_lie_in_their_place():
    """Each chunk of each item is seen at its own middle, in its own state."""
    source = scattered(Source(items((9, 8), (9, 8), (12, 9), (4, 4), bounds=FOUR)))
    scene = scene_of(source, (160, 90))
    for position in range(0, len(source.states), 7):
        scene.go(position)
        assert (position, position + 1) in [
            (at, at + 1) for first, end in scene.under_cursor() for at in range(first, end)
        ]


def test_the_ground_between_items_is_empty():
    """Where no item lies there is no chunk, and the cursor finds none."""
    scene = scene_of(Source(items((9, 8), (9, 8), bounds=[(0, 0, 1, 1), (9, 0, 10, 1)])))
    middle = scene.width // 2
    assert all(row[middle] == Code.ABSENT for row in scene.picture)
    scene.point(middle, scene.height // 2)
    assert scene.worst() is None
    assert scene.under_cursor() == []


@pytest.mark.parametrize("width", [30, 42, 50, 62, 78, 100, 158])
def test_tiles_that_meet_leave_no_gap(width):
    """Whatever part of a pixel a tile is: the world in 42 by 21 of them has no holes."""
    step = 360 / 42
    tiles = [
        (-180 + x * step, 90 - (y + 1) * step, -180 + (x + 1) * step, 90 - y * step)
        for y in range(21)
        for x in range(42)
    ]
    scene = scene_of(Source(items(*[(1, 1)] * len(tiles), bounds=tiles)), (width, width // 2))
    assert sum(row.count(0) for row in scene.picture) == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_cursor_finds_the_chunk_that_it_goes_to(seed):
    """Also one so thin that it has the middle of no pixel."""
    chance = random.Random(seed)
    bounds = []
    for _ in range(40):
        west, south = chance.uniform(-150, 100), chance.uniform(-80, 60)
        sides = chance.choice([(30.0, 1.0), (1.0, 20.0), (0.1, 0.1), (20.0, 15.0)])
        bounds.append((west, south, west + sides[0], south + sides[1]))
    scene = scene_of(Source(items(*[(1, 1)] * len(bounds), bounds=bounds)))
    for position in range(len(bounds)):
        scene.go(position)
        assert any(first <= position < end for first, end in scene.under_cursor())


def test_items_in_one_pixel_show_the_worst_of_all():
    """Of a hundred items in a pixel the dead chunk of one is seen."""
    boxes = [(10 + i * 1e-4, 50, 10 + i * 1e-4, 50.0001) for i in range(100)]
    source = Source(items(*[(3, 3)] * 100, (1, 1), bounds=[*boxes, (-60, -30, -59, -29)]))
    source.states[:] = bytes([S.DONE]) * len(source.states)
    source.states[500] = S.DEAD
    scene = scene_of(source)
    codes = [code for row in scene.picture for code in row if code]
    assert sorted(codes) == sorted([Code.DEAD, Code.DONE]) or set(codes) == {Code.DEAD, Code.DONE}
    scene.go(500)
    assert scene.worst() == 500


@pytest.mark.parametrize("seed", range(6))
def test_touch_paints_what_a_full_paint_would(seed):
    """After a tick the picture is that of a full paint, wherever the view is."""
    rng = random.Random(seed)
    boxes = [(w, s, w + 3, s + 2) for w, s in ((rng.uniform(0, 9), rng.uniform(40, 45)),) * 2]
    boxes += [(170.0, -20.0, 190.0, 10.0)] if seed % 2 else [(3.0, 41.0, 6.0, 44.0)]
    source = scattered(Source(items((20, 15), (7, 9), (40, 30), bounds=boxes)))
    scene = scene_of(source, (60, 40))
    mode = rng.choice(MODES)
    values = [rng.random() for _ in source.states]
    scale = mode.scale(values)
    scene.planes.show(mode, scale, mode.steps(values, scale) if mode.figure else b"")
    scene.place({1: Place.of(source.items[0], skewed())})
    for _ in range(8):
        scene.zoom(rng.choice((1, 1, -1)))
        scene.move(rng.randrange(-20, 21), rng.randrange(-20, 21))
        changed = rng.sample(range(len(source.states)), 30)
        for position in changed:
            source.states[position] = rng.choice([int(state) for state in S])
        scene.planes.touch(changed, source.states)
        scene.touch(changed)
        after = [bytes(row) for row in scene.picture]
        scene.paint()
        assert after == [bytes(row) for row in scene.picture]


def test_pixels_of_the_ground_tell_what_they_share():
    """All chunks of the items in view, those of one pixel together; chunks of many pixels each share
    none."""
    boxes = [(10 + i * 1e-4, 50, 10 + i * 1e-4, 50.0001) for i in range(100)]
    source = Source(items(*[(3, 3)] * 100, (1, 1), bounds=[*boxes, (-60, -30, -59, -29)]))
    cells = sorted(scene_of(source).shared())
    assert cells[0] == [(0, 900)] or sum(end - at for runs in cells for at, end in runs) == 901
    assert scene_of(Source(items((2, 2), bounds=[(0, 0, 10, 10)]))).shared() == []


def test_items_that_meet_have_borders():
    """Two that are done are not one slab: the last pixels before the other one are marked; single
    items and tiles too small for that have none."""
    source = Source(items((4, 4), (4, 4), bounds=[(0, 0, 10, 10), (10, 0, 20, 10)]))
    source.states[:] = bytes([S.DONE]) * 32
    scene = scene_of(source, (80, 40))
    upper, lower = scene.line(10)
    marked = [x for x, code in enumerate(upper) if code & SEAM]
    assert marked == [x for x, code in enumerate(lower) if code & SEAM]
    assert len(marked) == 1
    seen = [scene._prints.under(Span(x, 20, x + 1, 21)) for x in (marked[0], marked[0] + 1)]
    assert seen[0][0][0] < 16 <= seen[1][0][0]
    shown = {upper[x] & ~SEAM for x in (marked[0] - 1, marked[0], marked[0] + 1)}
    assert shown == {Code.DONE}
    alone = scene_of(Source(items((4, 4), bounds=[(0, 0, 10, 10)])), (80, 40))
    assert not any(code & SEAM for code in alone.line(10)[0])
    tiles = [(x, y, x + 1, y + 1) for x in range(20) for y in range(20)]
    small = scene_of(Source(items(*[(2, 2)] * 400, bounds=tiles)), (80, 40))
    assert not any(code & SEAM for code in small.line(10)[0])


WORLD = (-180.0, -90.0, 180.0, 90.0)


@pytest.mark.parametrize(
    "bounds",
    [
        [(0, 0, 20, 10)] * 4,
        [(0, 0, 20, 10), (0.8, 0, 20, 10), (0, 0, 20, 11), (0, 0, 19, 10)],
        [(0, 0, 20, 10), (5, 2, 15, 8)],
        [WORLD],
        [WORLD] * 4,
        [WORLD, (-175, -90, 175, 80)],
    ],
    ids=["same", "nearly the same", "one within another", "world", "worlds", "nearly worlds"],
)
def test_items_on_the_same_ground_have_no_borders(bounds):
    """Nor has the world where it is in view a second time."""
    source = Source(items(*[(20, 10)] * len(bounds), bounds=bounds))
    source.states[:] = bytes([S.DONE]) * len(source.states)
    scene = scene_of(source, (78, 20))
    assert not [y for y in range(10) for line in scene.line(y) for code in line if code & SEAM]


def test_two_layers_of_tiles_have_the_borders_of_one():
    """Two dates of each of two tiles, which overlap a little as those of satellites do."""
    tiles = [(0, 0, 10, 10), (9.5, 0, 20, 10)]

    def marked(bounds):
        source = Source(items(*[(4, 4)] * len(bounds), bounds=bounds))
        source.states[:] = bytes([S.DONE]) * len(source.states)
        upper, _ = scene_of(source, (80, 40)).line(10)
        return [x for x, code in enumerate(upper) if code & SEAM]

    assert len(marked(tiles)) == 1
    assert marked([*tiles, *tiles]) == marked(tiles)


def test_an_item_over_the_antimeridian_is_seen_on_both_sides():
    """In a view of the whole world it ends at the right edge and goes on at the left."""
    source = Source(items((20, 10), (1, 1), bounds=[(160, -20, 200, 20), (-80, 0, 80, 1)]))
    source.states[:200] = bytes([S.DONE]) * 200
    scene = scene_of(source, (120, 60))
    scene.zoom(-1)
    scene.point(0, 30)
    scene.zoom(1)
    scene.zoom(-1)
    row = scene.picture[30]
    assert scene.scale_text == "3°"
    assert Code.DONE in row[:20]
    assert Code.DONE in row[100:]


def test_deep_in_a_large_item_single_chunks_are_seen():
    """Zoomed in on one of 10^6 chunks of an item, it fills pixels of its own."""
    source = Source(items((1000, 1000), (1, 1), bounds=[(0, 0, 10, 10), (20, 0, 21, 1)]))
    source.states[123_456] = S.DEAD
    scene = scene_of(source)
    scene.go(123_456)
    for _ in range(7):
        scene.zoom(1)
    dead = sum(code == Code.DEAD for row in scene.picture for code in row)
    assert scene.under_cursor() == [(123_456, 123_457)]
    assert 1 <= dead <= 16
    assert all(code for row in scene.picture for code in row)


def test_an_item_without_a_grid_is_one_area():
    """Chunks without rows and columns have no place of their own; their item has."""
    source = Source(items((1, 50), (2, 2), bounds=[(0, 0, 5, 5), (6, 0, 7, 1)]))
    item = source.items[0]
    source.items[0] = type(item)(
        **{name: getattr(item, name) for name in item.__slots__} | {"width": 0, "height": 0}
    )
    source.states[:50] = bytes([S.DONE]) * 50
    source.states[7] = S.DEAD
    scene = scene_of(source)
    scene.point(int(scene._view.x(2.5)), int(scene._view.y(2.5)))
    assert scene.under_cursor() == [(0, 50)]
    assert scene.worst() == 7


def test_exact_places_are_asked_for_once():
    """Only items that are large in view are asked for, and none twice, unless it moved."""
    source = Source(items((9, 8), (9, 8), (1, 1), bounds=[*FOUR[:2], (11, 47, 11.001, 47.001)]))
    scene = scene_of(source)
    assert scene.wanted(9) == [1, 2]
    assert scene.wanted(9) == []
    moved = items((9, 8), (9, 8), (1, 1), bounds=[FOUR[0], FOUR[2], (11, 47, 11.001, 47.001)])
    scene.retarget(moved)
    scene.resize(78, 32)
    assert scene.wanted(9) == [2]


def test_a_rectangle_on_the_ground_selects_what_is_in_it():
    """A rectangle over one item selects its chunks and those of no other; it is tied to the
    ground, not to the screen."""
    source = Source(items((9, 8), (9, 8), bounds=FOUR[:2]))
    scene = scene_of(source)
    view = scene._view
    scene.point(int(view.x(9.0)) - 2, int(view.y(48.0)) - 2)
    scene.begin()
    scene.point(int(view.x(10.5)), int(view.y(47.0)) + 1)
    scene.end()
    assert scene.selected() == [(0, 72)]
    scene.go(140)
    scene.zoom(1)
    scene.zoom(-1)
    assert scene.selected() == [(0, 72)]


def test_the_cursor_moves_the_view():
    """A cursor that leaves the view takes the view with it, and stops at the poles."""
    scene = scene_of(Source(items((9, 8), (9, 8), bounds=FOUR[:2])))
    before = scene._view.lat
    assert not scene.move(0, -1)
    assert scene.move(0, -40)
    assert scene._view.lat > before
    for _ in range(400):
        scene.move(0, -40)
    assert scene.cursor[1] == 90


def test_coasts_are_drawn_where_no_chunk_is():
    """A view of Italy shows a coast; the braille is as wide as the view."""
    scene = scene_of(
        Source(items((1, 1), (1, 1), bounds=[(8, 37, 8.1, 37.1), (18, 45, 18.1, 45.1)]))
    )
    lines = [scene.under(y) for y in range(16)]
    assert {len(line) for line in lines} == {78}
    dots = sum(mark != " " for line in lines for mark in line)
    assert dots > 60
    assert all(mark == " " or 0x2800 < ord(mark) <= 0x28FF for line in lines for mark in line)
