"""Rankings sort as the built-in sort does, though they sort only what is looked at."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.tui.run import ranking
from geobatch_tui.tui.run.ranking import Ranking, Spread

FIGURES = st.lists(
    st.sampled_from([0.0, 0.25, 1.0, 1.0000001, 3e8, 3.0001e8])
    | st.floats(0, 2.0**99, width=32, allow_subnormal=False).map(abs),
    max_size=60,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Groups of a few figures, so that there are several."""
    monkeypatch.setattr(ranking, "_GROUP", 4)


@given(FIGURES, st.data())
def test_a_ranking_is_a_stable_sort(values, data):
    """Also of a part of the figures; each place has its rank, and each figure the first above."""
    column = array("f", values)
    mask = bytes(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    for chosen in (None, mask):
        places = [at for at in range(len(column)) if chosen is None or chosen[at]]
        wanted = sorted(places, key=column.__getitem__)
        found = Ranking(column, chosen)
        assert [found[rank] for rank in range(len(found))] == wanted
        assert [found.value(rank) for rank in range(len(found))] == [column[at] for at in wanted]
        assert [found.rank_of(at) for at in wanted] == list(range(len(wanted)))
        assert all(found.rank_of(at) is None for at in set(range(-1, 61)) - set(places))
        for limit in {0.0, 1.0, *column}:
            assert found.above(limit) == sum(column[at] <= limit for at in places)
        with pytest.raises(IndexError):
            found[len(found)]


def test_what_stands_out():
    """Chunks that are not done have no figure; of equal figures none stands out, of attempts the
    second does."""
    spread = Spread(Ranking(array("f", [0, 0, *range(10, 20), 90])))
    assert (spread.first, spread.count, spread.outliers) == (2, 11, 12)
    assert [spread.share(part) for part in (0.0, 0.5, 1.0)] == [10, 15, 90]
    assert Spread(Ranking(array("f", [1, 1, 2, 1, 1]))).outliers == 4
    assert Spread(Ranking(array("f", [7] * 5))).outliers == 5
    assert Spread(Ranking(array("f", [0, 0]))).count == 0
