"""States and figures as bytes that join by OR."""

from __future__ import annotations

import itertools

import pytest

from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.tui.map.picture.codes import (
    CODES,
    FLAG,
    HIGHEST,
    MODES,
    ONLY,
    OTHERS,
    PRECEDENCE,
    RANK,
    SHOWS,
    WORST,
    Code,
    Scale,
)

MODE = {mode.name: mode for mode in MODES}


def test_a_set_of_states_shows_the_worst():
    """Of any set of states the one that stands first in the order of badness is shown."""
    for size in range(1, 4):
        for states in itertools.combinations(PRECEDENCE, size):
            flags = 0
            for state in states:
                flags |= FLAG[state]
            assert WORST[flags] == CODES[states[0]]


def test_the_order_of_badness():
    """Dead, then retry, running, pending; what is over comes last. Every state has a place."""
    assert PRECEDENCE[:4] == (S.DEAD, S.RETRY_WAIT, S.RUNNING, S.PENDING)
    assert set(PRECEDENCE) == set(S)


def test_no_chunk_is_absent():
    """Nothing is not a state: neither in the table of states nor in that of figures."""
    assert WORST[0] == Code.ABSENT
    assert OTHERS[0] == Code.ABSENT
    assert SHOWS[0] == 0


def test_a_figure_never_hides_what_went_wrong():
    """In a mode of figures dead, retried and running chunks are still shown as such."""
    done = FLAG[S.DONE]
    for state in (S.DEAD, S.RETRY_WAIT, S.RUNNING):
        assert OTHERS[done | FLAG[state]] == CODES[state]
        assert SHOWS[done | FLAG[state]] == 0
    assert SHOWS[done | FLAG[S.PENDING]] == 255
    assert OTHERS[FLAG[S.PENDING]] == Code.WAIT


def test_ranks_follow_the_order():
    """Two places that share a cell are judged as the states of one place are."""
    ranks = [RANK[CODES[state]] for state in PRECEDENCE]
    assert ranks == sorted(ranks, reverse=True)
    assert RANK[Code.RAMP_5] > RANK[Code.RAMP_1] > RANK[Code.DONE]
    assert RANK[Code.ABSENT] == min(RANK)


def test_the_highest_step_counts():
    """Of many figures the highest is shown, of many workers that there are several."""
    assert HIGHEST[0b10010] == Code.RAMP_5
    assert HIGHEST[0b00001] == Code.RAMP_1
    assert HIGHEST[0] == Code.UNKNOWN
    assert ONLY[0b10010] == Code.MIXED
    assert ONLY[0b00100] == Code.RAMP_1 + 2


def test_a_scale_ends_at_the_percentiles():
    """One chunk that hung does not make all others look alike: the scale ends at p5 and p95."""
    values = [float(value) for value in range(1, 101)] + [1e6]
    scale = Scale.of(values)
    assert scale.low == pytest.approx(6, abs=1)
    assert scale.high == pytest.approx(96, abs=1)
    assert [scale.step(value) for value in (0, 10, 30, 50, 70, 90, 1e6)] == [0, 0, 1, 2, 3, 4, 4]


def test_a_scale_of_nothing_or_of_one_value():
    """Without figures, and with only one, there is a scale all the same."""
    assert Scale.of([]).step(0.5) == 2
    assert Scale.of([0.0, 0.0]).high == 1.0
    assert Scale.of([3.0, 3.0]).step(3.0) == 4


def test_fixed_scales():
    """Attempts and nodata have scales that do not depend on the run."""
    attempts = MODE["attempts"]
    assert list(attempts.steps([1, 2, 3, 4, 5, 9], attempts.scale([]))) == [1, 2, 4, 8, 16, 16]
    nodata = MODE["nodata"]
    assert list(nodata.steps([0, 0.5, 1], nodata.scale([]))) == [1, 4, 16]


def test_workers_have_a_hue_each_and_none_without():
    """Neighbouring processes differ; a chunk that nobody wrote has no step."""
    worker = MODE["worker"]
    assert list(worker.steps([0, 1, 2, 6], worker.scale([]))) == [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("duration", 2.04, "2.0 s"),
        ("duration", 0.023, "23 ms"),
        ("duration", 0.0023, "2.3 ms"),
        ("attempts", 3, "3"),
        ("memory", 1.5e9, "1.4 GiB"),
        ("worker", 4, "4"),
        ("worker", 0, "-"),
        ("nodata", 0.125, "12.5%"),
        ("nodata", 0.0, "0.0%"),
    ],
)
def test_figures_as_text(name, value, text):
    """Each figure has its unit."""
    assert MODE[name].text(value) == text
