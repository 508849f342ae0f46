from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.tui.kit.filters import Filter, parse
from geobatch_tui.tui.letters.listing import (
    FIELDS,
    Rectangle,
    by_cause,
    by_place,
    connected,
    listing,
    rectangles,
)
from geobatch_tui.tui.letters.retry_plan import Selection, consequence, selection
from geobatch_tui.tui.run.cause_groups import normalised
from geobatch_tui.tui.run.model import ItemView, LetterView

CELLS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=40)


def item(item_id=1, columns=10, rows=10, key="a.tif", state=ItemState.PLANNED, width=100):
    return ItemView(
        item_id=item_id,
        key=key,
        first=0,
        first_chunk=1000 * item_id,
        columns=columns,
        rows=rows,
        n=columns * rows,
        width=width,
        height=width,
        chunk_size=(1, 1),
        bounds_lonlat=None,
        state=state,
        _load=lambda _: None,
    )


def letter(dead_id, cell=None, *, item_id=1, error="CorruptSourceError", cause="c", attempts=1):
    chunk = None if cell is None else 1000 * item_id + cell[0] * 10 + cell[1]
    place = "a.tif" if cell is None else f"a.tif@{cell[0]},{cell[1]}"
    return LetterView(
        dead_id=dead_id,
        item_id=item_id,
        chunk_id=chunk,
        t=0.0,
        attempts=attempts,
        crashes=0,
        error_class=error,
        message=f"{cause} {dead_id}",
        cause=cause,
        stage="read",
        where=place,
        source="/data/a.tif",
        suggestion="",
    )


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "IReadBlock failed at X offset 3, Y offset 17",
            "IReadBlock failed at X offset <n>, Y offset <n>",
        ),
        (
            "/a/b.tif: 2 of 4 blocks (row,column 1,2, 1,3): x",
            "<path>: <n> of <n> blocks (row,column <n>): x",
        ),
        (
            "/a/b.tif: 9 of 9 blocks (row,column 1,2, 1,3 ...)",
            "<path>: <n> of <n> blocks (row,column <n>)",
        ),
        ("window 10,20 +256x256 is empty", "window <n> <n> is empty"),
        ("needs 65 536 bytes, -1.5e3 left", "needs <n> bytes, <n> left"),
        ("'a b.tif' is 12345678901234abcd", "<name> is <hex>"),
        ("HTTP 503 from /vsis3/x/y.tif", "HTTP <n> from <path>"),
        ("int16 and EPSG:4326 stay", "int16 and EPSG:<n> stay"),
    ],
)
def test_causes_do_not_differ_in_places(message, cause):
    """Numbers, lists of them, windows, names and paths make no other cause."""
    assert normalised(message) == cause


def test_a_name_with_blanks_is_the_same_cause():
    """The file of a letter is known: its name is no part of the cause, whatever is in it."""
    for name in ("a [red]scene[bold] [1].tif", "b c.tif", "\u2713.tif", "plain.tif"):
        path = f"/data/x y/{name}"
        assert normalised(f"{path} is cut off at 3 bytes", path) == "<path> is cut off at <n> bytes"
        assert normalised(f"{name} has no CRS", path) == "<path> has no CRS"
    assert normalised("a bad a", "/data/a") == "a bad a"


def known(*letters):
    return {entry.dead_id: entry for entry in letters}


@given(CELLS)
def test_rectangles_cover_each_cell_once(cells):
    """The rectangles hold exactly the cells, and none twice."""
    covered = [
        (row, col)
        for found in rectangles(cells)
        for row in range(found.top, found.bottom + 1)
        for col in range(found.left, found.right + 1)
    ]
    assert sorted(covered) == sorted(cells)
    assert sum(map(len, rectangles(cells))) == len(cells)


@given(CELLS)
def test_clusters_are_apart(cells):
    """Clusters share no cell, leave none out, and do not touch one another."""
    clusters = connected(cells)
    assert sorted(cell for cluster in clusters for cell in cluster) == sorted(cells)
    for index, cluster in enumerate(clusters):
        others = set().union(*clusters[:index], *clusters[index + 1 :])
        assert not any(
            (row + down, col + across) in others
            for row, col in cluster
            for down in (-1, 0, 1)
            for across in (-1, 0, 1)
        )


def test_a_full_rectangle_is_one():
    """A block of cells is one rectangle, and says its corners."""
    cells = [(row, col) for row in range(2, 5) for col in range(3, 9)]
    assert rectangles(cells) == [Rectangle(2, 3, 4, 8)]
    assert str(Rectangle(2, 3, 4, 8)) == "2,3 to 4,8"
    assert str(Rectangle(2, 3, 2, 3)) == "2,3"


def test_groups_by_place_are_clusters_of_an_item():
    """Chunks that touch are one group, with the rectangle; an item that is lost is its own."""
    letters = [
        letter(1, (0, 0)),
        letter(2, (0, 1)),
        letter(3, (1, 0)),
        letter(4, (1, 1)),
        letter(5, (2, 2)),
        letter(6, (8, 8)),
        letter(7, None, item_id=2),
    ]
    groups = by_place(letters, {1: item(1), 2: item(2)}.get)
    assert [group.letters for group in groups] == [(7,), (1, 2, 3, 4, 5), (6,)]
    assert groups[0].title == "a.tif  whole item"
    assert groups[1].title == "a.tif  0,0 to 1,1 and 1 beside"
    assert groups[1].note == "5 of 100 chunks"
    assert groups[2].title == "a.tif  8,8"


def test_groups_by_place_without_the_item():
    """Letters of an item that is not known are kept together rather than lost."""
    [group] = by_place([letter(1, (0, 0)), letter(2, (9, 9))], lambda _: None)
    assert group.letters == (1, 2)


def test_group_of_a_cause_keeps_its_key_as_it_grows():
    """The second letter of a cause does not make it another group: cursor and folding stay."""
    [one] = by_cause([letter(1, (0, 0))])
    [two] = by_cause([letter(1, (0, 0)), letter(2, (0, 1))])
    assert one.key == two.key
    assert one.title != two.title


def test_listing_filters_groups_and_sorts():
    """Only letters that pass are shown; groups without any vanish; the order is the sort's."""
    letters = known(
        letter(1, (0, 0), attempts=1),
        letter(2, (0, 1), attempts=5),
        letter(3, (5, 5), error="MemoryBudgetError"),
    )
    found = listing(letters, parse("class:corrupt", FIELDS), "cause", "attempts", lambda _: item())
    assert [group.letters for group in found.groups] == [(2, 1)]
    assert (found.shown, found.total) == (2, 3)
    flat = listing(letters, Filter(), "none", "death", lambda _: item())
    assert [group.letters for group in flat.groups] == [(1, 2, 3)]
    assert listing({}, Filter(), "none", "death", lambda _: item()).groups == ()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({1, 2, 3}, Selection()),
        ({1, 2}, Selection(classes=("CorruptSourceError",))),
        ({3}, Selection(classes=("MemoryBudgetError",))),
        ({2, 3}, Selection(keys=("k2", "k3"))),
        ({2, 99}, Selection(keys=("k2",))),
    ],
)
def test_selection_takes_the_fewest_words(chosen, expected):
    """All letters need no names, whole classes theirs, others the ledger's keys."""
    letters = known(
        letter(1, (0, 0)), letter(2, (0, 1)), letter(3, (5, 5), error="MemoryBudgetError")
    )
    assert selection(letters, chosen, lambda dead_id: f"k{dead_id}") == expected


def test_selection_refuses_what_no_command_can_carry():
    """Names beyond a limit are refused with a sentence, not cut."""
    letters = known(*(letter(n, (0, 0)) for n in range(1, 4)))
    said = selection(letters, {1, 2}, lambda _: "x" * 600_000)
    assert isinstance(said, str)
    assert "all of a cause" in said


def test_consequence_of_chunks_and_items():
    """Chunks are computed again, an item that was never planned is planned anew, one that failed
    in assembly is assembled again."""
    letters = known(
        letter(1, (0, 0)),
        letter(2, (0, 1), error="MemoryBudgetError"),
        letter(3, None, item_id=2),
        letter(4, None, item_id=3),
    )
    items = {1: item(1), 2: item(2, width=0), 3: item(3)}
    found = consequence(letters, letters, items.get, live=False)
    assert (found.letters, found.chunks, found.replanned, found.reassembled) == (4, 2, 1, 1)
    assert found.classes == (("CorruptSourceError", 3), ("MemoryBudgetError", 1))
    assert [line[0] for line in found.lines] == ["a.tif@0,0", "a.tif@0,1", "a.tif", "a.tif"]


def test_live_run_leaves_items_that_were_never_planned():
    """A live run plans nothing: such letters are counted as left, not as retried."""
    letters = known(letter(1, (0, 0)), letter(2, None, item_id=2))
    items = {1: item(1), 2: item(2, width=0)}
    found = consequence(letters, letters, items.get, live=True)
    assert (found.letters, found.left) == (1, 1)


def test_published_item_with_holes_is_made_anew():
    """The spools of a published item are gone: all of its chunks are computed, once."""
    letters = known(letter(1, (0, 0)), letter(2, (0, 1)))
    found = consequence(letters, letters, lambda _: item(state=ItemState.PUBLISHED), live=False)
    assert (found.remade, found.chunks) == (1, 100)


def test_letter_of_the_item_goes_with_its_chunks():
    """A chunk is not retried without its item: the item's letter is shown as rerun, too."""
    letters = known(letter(1, (0, 0)), letter(2, None))
    assert consequence(letters, [1], lambda _: item(), live=False).letters == 2


def test_items_whose_source_changed_are_planned_anew():
    """Nobody knows how many chunks a file that was mended has: it is said, not guessed."""
    letters = known(letter(1, (0, 0)), letter(2, (0, 1)))
    found = consequence(letters, letters, lambda _: item(), live=False, changed={1})
    assert (found.replanned, found.chunks) == (1, 0)
    assert found.lines[0][2] == "source changed: planned anew"


def test_live_run_refuses_a_source_that_changed():
    """A live run goes on with what it planned: a mended file is for the next one."""
    letters = known(letter(1, (0, 0)), letter(2, (0, 1)))
    found = consequence(letters, letters, lambda _: item(), live=True, changed={1})
    assert (found.stale, found.chunks) == (2, 0)
