"""Predictions, reservations, the gate, the pressure ladder."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.orchestration.schedule.admission import (
    MIB,
    Admission,
    Prediction,
    Reservation,
    pressure_level,
)
from geobatch_tui.orchestration.schedule.events import Kind, Level, Unit

CALM, HOLD, PAUSE, KILL = Level.CALM, Level.HOLD, Level.PAUSE, Level.KILL


@pytest.mark.parametrize(
    ("percent", "previous", "level"),
    [
        (0, CALM, CALM),
        (69, CALM, CALM),
        (70, CALM, HOLD),
        (84, CALM, HOLD),
        (85, CALM, PAUSE),
        (94, HOLD, PAUSE),
        (95, CALM, KILL),
        (300, CALM, KILL),
        (66, HOLD, HOLD),
        (64, HOLD, CALM),
        (81, PAUSE, PAUSE),
        (79, PAUSE, HOLD),
        (66, PAUSE, HOLD),
        (64, PAUSE, CALM),
        (91, KILL, KILL),
        (89, KILL, PAUSE),
        (81, KILL, PAUSE),
        (10, KILL, CALM),
    ],
)
def test_pressure_ladder(percent, previous, level):
    """Rungs are entered at 70, 85, 95 % and left five points lower."""
    assert pressure_level(percent * 10, 1000, previous) is level


@pytest.mark.parametrize("budget", [0, -1])
def test_no_budget_no_pressure(budget):
    """Without a limit nothing presses."""
    assert pressure_level(1 << 50, budget) is CALM


@given(start=st.sampled_from(Level), percent=st.integers(0, 120))
def test_pressure_is_settled_at_once(start, percent):
    """The same reading twice gives the same rung: no oscillation."""
    level = pressure_level(percent, 100, start)
    assert pressure_level(percent, 100, level) is level


def chunk(size: int, **fields) -> Unit:
    return Unit(Kind.CHUNK, 1, bytes=size, **fields)


def test_prediction_starts_with_the_plan():
    """Before anything was measured, the plan is believed."""
    assert Prediction(0).bytes_of(chunk(100)) == 100


@pytest.mark.parametrize(("measured", "factor"), [(300, 3.0), (100, 1.0), (50, 0.5)])
def test_prediction_learns(measured, factor):
    """The factor approaches measured over planned, the baseline left out."""
    prediction = Prediction(1000)
    for _ in range(200):
        prediction.learn(chunk(100), 1000 + measured)
    assert prediction.factor[Kind.CHUNK] == pytest.approx(factor, rel=0.05)
    assert prediction.factor[Kind.FINALISE] == 1.0


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**11)), max_size=50))
def test_factor_is_clamped(measures):
    """No measurement, however odd, moves the factor out of 0.5 to 4."""
    prediction = Prediction(100)
    for planned, peak in measures:
        prediction.learn(chunk(planned), peak)
        assert 0.5 <= prediction.factor[Kind.CHUNK] <= 4.0


def test_it_rises_faster_than_it_falls():
    """Too little memory is worse than too few workers."""
    up, down = Prediction(0), Prediction(0)
    up.learn(chunk(100), 200)
    down.learn(chunk(100), 50)
    assert up.factor[Kind.CHUNK] - 1 > 5 * (1 - down.factor[Kind.CHUNK]) > 0


def test_small_units_do_not_inflate_large_ones():
    """A small unit that takes twenty times its plan moves the factor of large ones little."""
    prediction = Prediction(0)
    for _ in range(100):
        prediction.learn(chunk(100 * MIB), 100 * MIB)
        prediction.learn(chunk(MIB), 20 * MIB)
    assert prediction.factor[Kind.CHUNK] < 1.4


@pytest.mark.parametrize("unit", [chunk(0), chunk(100, subdivide=1)])
def test_it_learns_nothing_from_what_is_not_comparable(unit):
    """Unplanned and subdivided units leave the factor alone."""
    prediction = Prediction(0)
    prediction.learn(unit, 10**9)
    assert prediction.factor[Kind.CHUNK] == 1.0


def test_short_of_memory_reserves_double():
    """What ran short reserves 2, 4, 8 times the prediction."""
    sizes = [Prediction(0).bytes_of(chunk(100, subdivide=n)) for n in range(4)]
    assert sizes == [100, 200, 400, 800]


def test_baseline_is_the_largest_seen():
    """A worker that is ready with more sets what each is taken to cost."""
    prediction = Prediction(100)
    prediction.warmed_up(0)
    prediction.warmed_up(300)
    prediction.warmed_up(200)
    assert prediction.baseline == 300


@given(st.data())
def test_reservation_is_the_maximum_of_the_queue(data):
    """After any pushes and pops it holds the largest bytes and handles in the queue."""
    held, model, gate = Reservation(), deque(), Admission(0, 0)
    for _ in range(data.draw(st.integers(0, 60))):
        if model and data.draw(st.booleans()):
            gate.give_back(held, *model.popleft())
        else:
            model.append((data.draw(st.integers(0, 5)), data.draw(st.integers(0, 3))))
            gate.take(held, *model[-1])
        assert held.bytes == gate.bytes == max((size for size, _ in model), default=0)
        assert held.handles == gate.handles == max((n for _, n in model), default=0)
    gate.forget(held)
    assert gate.bytes == gate.handles == 0


def test_gate_counts_bytes_and_baselines():
    """What is reserved, what is asked and the workers themselves must fit together."""
    gate, first, second = Admission(1000, 0), Reservation(), Reservation()
    gate.take(first, 400, 1)
    assert gate.fits(400, 1, second, 200)
    assert not gate.fits(401, 1, second, 200)


def test_a_queue_counts_once():
    """Behind a larger unit of the same worker a smaller one costs nothing more."""
    gate, held = Admission(1000, 0), Reservation()
    gate.take(held, 900, 1)
    assert gate.fits(900, 1, held, 100)
    assert not gate.fits(901, 1, held, 100)


def test_gate_counts_handles():
    """Open files are a budget of their own."""
    gate, first, second = Admission(0, 6), Reservation(), Reservation()
    gate.take(first, 1 << 60, 4)
    assert gate.fits(1 << 60, 2, second, 0)
    assert not gate.fits(0, 3, second, 0)


@pytest.mark.parametrize(
    ("budget", "size", "hopeless"), [(100, 200, False), (100, 201, True), (0, 1 << 60, False)]
)
def test_hopeless(budget, size, hopeless):
    """Over twice the whole budget a unit cannot run even alone."""
    assert Admission(budget, 0).hopeless(chunk(size)) is hopeless
