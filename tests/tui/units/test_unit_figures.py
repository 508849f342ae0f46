"""Figures of chunks: read, ranked, filtered and summed up by item."""

from __future__ import annotations

from array import array

import pytest
from scripted_maps import Source, items

from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.tui.kit.filters import Filter, parse
from geobatch_tui.tui.units import item_totals
from geobatch_tui.tui.units.unit_figures import FIELDS, READ, UnitFigures


@pytest.fixture
def run():
    """Two items of 2 x 2 chunks; of the second none is done."""
    run = Source(items((2, 2), (2, 2), key="tile{}.tif"))
    run.states[:] = bytes([S.DONE, S.DONE, S.DEAD, S.RUNNING, *[S.PENDING] * 4])
    run.columns = {name: array("f", bytes(32)) for name in READ}
    run.columns["ended"] = array("d", [2_000_000_000.5, 2_000_000_000.25, *[0.0] * 6])
    for name, values in {
        "seconds": (4, 1),
        "reading": (3, 0.25),
        "writing": (0.5, 0.25),
        "rss_bytes": (300 << 20, 200 << 20),
        "attempts": (1, 2),
        "nodata": (0.5, 0),
    }.items():
        run.columns[name][:2] = array("f", values)
    return run


def passing(units, text):
    mask = units.mask(parse(text, FIELDS))
    return [at for at, passes in enumerate(mask) if passes]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dur>1", [0]),
        ("dur>=1", [0, 1]),
        ("compute<0.6 dur>0", [0, 1]),
        ("mem>250", [0]),
        ("nodata=50", [0]),
        ("attempts:2", [1]),
        ("!attempts:2 state:done", [0]),
        ("state:dead", [2]),
        ("item:tile2", [4, 5, 6, 7]),
        ("item=tile1.tif", [0, 1, 2, 3]),
        ("item=tile1", []),
        ("chunk=tile1.tif@1,0", [2]),
        ("@1,", [2, 3, 6, 7]),
        ("tile1 !done", [2, 3]),
        ("wait", [4, 5, 6, 7]),
        ("nothing", []),
    ],
)
def test_a_filter_lets_pass_what_it_says(run, text, found):
    """Numbers in seconds, MiB and percent; words in names of items, chunks and states."""
    assert passing(UnitFigures.read(run), text) == found


def test_no_filter_is_no_mask(run):
    assert UnitFigures.read(run).mask(Filter()) is None


def test_chunks_are_ranked_by_what_they_have(run):
    """By figures, by the time when they were done, by what went wrong, in their own order."""
    units = UnitFigures.read(run)
    order = {
        name: [units.ranking(name, None)[rank] for rank in range(8)]
        for name in ("seconds", "computing", "ended", "state", "chunk")
    }
    assert order["seconds"][-2:] == [1, 0]
    assert order["computing"][-2:] == [0, 1]
    assert order["ended"][-2:] == [1, 0]
    assert order["state"] == [4, 5, 6, 7, 0, 1, 3, 2]
    assert order["chunk"] == list(range(8))


def test_what_changed_is_put_in(run):
    """The figures of some chunks and the states of all; of another run nothing is."""
    units = UnitFigures.read(run)
    assert units.value("computing", 1) == units.column("computing")[1] == 0.5
    run.states[3] = S.DONE
    run.columns["seconds"][3] = 9
    units.put(bytes(run.states), run.table_at([3], READ))
    assert (units.states[3], units.column("computing")[3]) == (S.DONE, 9)
    units.put(b"", {0: (0.0,) * len(READ)})
    assert units.value("seconds", 0) == 4


def test_items_are_summed_up(run):
    """Work, its stages, the slowest chunk and states; then filtered and sorted."""
    rows = item_totals.totals(UnitFigures.read(run))
    first, second = rows
    assert (first.seconds, first.reading, first.computing, first.slowest) == (5, 3.25, 1, 4)
    assert (first.done, first.dead, first.left, first.state) == (2, 1, 1, "running")
    assert (second.state, second.share(1.0)) == ("planned", 0.0)
    chosen = parse("dead>0", item_totals.FIELDS)
    assert item_totals.listed(rows, chosen, "dur", backwards=True) == [first]
    assert item_totals.listed(rows, Filter(), "dur", backwards=False) == [second, first]
