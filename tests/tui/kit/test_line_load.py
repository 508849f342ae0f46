"""How much a terminal is sent, by when it answers."""

from __future__ import annotations

import pytest
from cell_screen import CellScreen

from geobatch_tui.tui.kit.line_load import ASK, PROBE, UNLIMITED, LineLoad


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def load(clock):
    """A line whose empty answer takes 50 ms."""
    made = LineLoad(clock)
    made.sent(0)
    clock.now += 0.05
    made.answered()
    clock.now += 1.0
    return made


def test_a_terminal_that_never_answers_is_sent_everything(clock):
    """And is asked but once."""
    load = LineLoad(clock)
    assert load.wants_question()
    load.sent(0)
    clock.now += 60
    assert not load.wants_question()
    assert load.room() == UNLIMITED


def test_nothing_is_sent_while_a_picture_is_under_way(load, clock):
    """Until it has come, and then the line rests for a while: twice as long as it was busy."""
    load.sent(1000)
    assert load.room() == 0
    clock.now += 0.25
    load.answered()
    assert load.room() == 0
    clock.now += 0.39
    assert load.room() == 0
    clock.now += 0.02
    assert load.room() > 0


def test_a_key_waits_for_no_rest(load, clock):
    """Nor for a small picture that is under way, but for a large one."""
    load.sent(5000)
    load.key_came()
    assert load.room() == 0
    clock.now += 1.05
    load.answered()
    assert load.room() > 0
    load.key_came()
    load.sent(300)
    assert load.room() > 0
    load.sent(500)
    assert load.room() == 0


def test_the_hurry_ends_with_its_picture(load, clock):
    """What is sent long enough after the key shows what the key did."""
    load.key_came()
    clock.now += 0.2
    load.sent(300, whole=False)
    assert load.room() > 0
    load.sent(100)
    assert load.room() == 0


@pytest.mark.parametrize(("rate", "least", "most"), [(1500, 400, 500), (5000, 1300, 1700)])
def test_parts_take_a_third_of_a_second(load, clock, rate, least, most):
    """So that a key never waits longer for the rest of a picture."""
    for _ in range(6):
        load.sent(1000)
        clock.now += 0.05 + 1000 / rate
        load.answered()
        clock.now += 5
    assert least <= load.room() <= most


def test_a_buffer_does_not_make_a_slow_line_fast(load, clock):
    """What it takes at once comes back at once: large parts tell how fast the line is."""
    for size, seconds in ((900, 0.18), (300, 0.0), (800, 0.16), (300, 0.0)) * 3:
        load.sent(size)
        clock.now += 0.05 + seconds
        load.answered()
        clock.now += 5
    assert load.is_slow
    assert load.room() < 3000


@pytest.mark.parametrize("repeats", [True, False])
def test_a_terminal_shows_whether_it_repeats_glyphs(clock, repeats):
    """By where its cursor is behind the probe; where that is later on means nothing."""
    terminal, load = CellScreen(80, 24, repeats=repeats), LineLoad(clock)
    terminal.feed(PROBE + ASK)
    load.sent(0)
    load.answered(terminal.asked[0][1] - 1)
    assert load.repeats is repeats
    load.sent(0)
    load.answered(0 if repeats else 9)
    assert load.repeats is repeats


def test_slow_and_fast_lines_are_told_apart(load, clock):
    """One that is between keeps what it was, as each change paints everything anew."""

    def sends(rate):
        for _ in range(8):
            load.sent(1000)
            clock.now += 0.05 + 1000 / rate
            load.answered()
            clock.now += 5
        return load.is_slow

    assert [sends(rate) for rate in (8000, 1500, 8000, 50_000, 8000)] == [
        False, True, True, False, False,
    ]  # fmt: skip


def test_a_distant_terminal_is_not_taken_for_a_slow_one(load, clock):
    """Half a second there and back, but wide: it need not rest, and parts are large."""
    far = LineLoad(clock)
    far.sent(0)
    clock.now += 0.5
    far.answered()
    far.sent(20_000)
    clock.now += 0.51
    far.answered()
    clock.now += 0.03
    assert far.room() > 100_000


def test_a_lost_answer_holds_nothing_up_for_good(load, clock):
    """After ten seconds it is waited for no more."""
    load.sent(100)
    clock.now += 9
    assert load.room() == 0
    assert load.wait() == pytest.approx(1.0)
    clock.now += 1.1
    assert load.room() > 0


def test_a_terminal_that_answers_no_more_is_asked_no_more(load, clock):
    """After one such wait it is sent everything, as one that never answered."""
    load.sent(100)
    clock.now += 10.1
    assert load.room() == UNLIMITED
    assert not load.wants_question()
    assert not load.is_waiting()
    load.key_came()
    clock.now += 60
    assert load.room() == UNLIMITED
    assert not load.wants_question()


def test_a_terminal_that_was_away_is_asked_again(load, clock):
    """A network that was down for a minute brings the answers late."""
    load.sent(100)
    clock.now += 60
    assert load.room() == UNLIMITED
    load.answered()
    assert load.wants_question()
    load.sent(1000)
    assert load.room() == 0


def test_a_large_picture_on_a_slow_line_is_waited_for(load, clock):
    """Twenty kilobytes are on their way for longer than ten seconds."""
    load.sent(20_000)
    clock.now += 20
    assert load.room() == 0
    load.answered()
    assert load.wants_question()


def test_when_the_terminal_came_to_a_picture(load, clock):
    """By its answers, whenever that is asked; without them what was sent is taken to be there."""
    assert LineLoad(clock).reached_at(1) == clock.now
    before = load.sent_parts
    load.sent(700)
    load.sent(100)
    assert load.reached_at(before) < clock.now
    assert load.reached_at(before + 1) is None
    load.answered()
    came = clock.now
    clock.now += 2.0  # a busy console looks later
    assert load.reached_at(before + 1) == came
    assert load.reached_at(before + 2) is None
    load.answered()
    assert load.reached_at(before + 1) == came
    assert load.reached_at(before + 2) == clock.now
    load.sent(100)
    clock.now += 11
    load.room()
    assert load.reached_at(before + 3) == clock.now


def test_a_first_answer_is_waited_for_at_the_end_of_a_short_console(clock):
    """A shell would take it for its own input; after half a second it is not expected."""
    load = LineLoad(clock)
    load.sent(0)
    assert load.is_waiting()
    clock.now += 0.6
    assert not load.is_waiting()
    load.answered()
    assert not load.is_waiting()
    load.sent(900)
    clock.now += 0.6
    assert load.is_waiting()
