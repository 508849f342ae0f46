"""Units whose memory nobody knows: the first runs alone, and what it takes holds for the others."""

from __future__ import annotations

import pytest

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.admission import MIB, Prediction
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig

PLANNED = 100 * MIB
BASELINE = 100 * MIB


def chunk(number: int, *, unmeasured: bool = True) -> u.Unit:
    return u.Unit(u.Kind.CHUNK, number, bytes=PLANNED, unmeasured=unmeasured)


class Crew:
    """A scheduler with four workers that are up, and what it has given them."""

    def __init__(self, *units: u.Unit, budget: int = 0, measured: float = 0.0) -> None:
        self.scheduler = Scheduler(
            SchedulerConfig(
                workers=4,
                budget_bytes=budget,
                worker_baseline=BASELINE,
                measured=measured,
                max_attempts=5,
                backoff_base=0.001,
                backoff_cap=1.0,
                run_id="run",
            )
        )
        self.now = 0.0
        self.running: dict[u.Key, int] = {}
        self.most = 0
        self.order: list[int] = []
        self.tell(u.Offered(units))
        for number in range(1, 5):
            self.tell(u.WorkerUp(number, BASELINE))

    def tell(self, event: u.Event) -> None:
        self.now += 0.01
        for decision in self.scheduler.handle(event, self.now):
            if isinstance(decision, u.Dispatch):
                self.running[decision.unit.key] = decision.worker
                self.order.append(decision.unit.ident)

    def end_first(self, *, peak: int = BASELINE + PLANNED) -> None:
        """End the unit that was given out first."""
        key, worker = next(iter(self.running.items()))
        del self.running[key]
        self.tell(u.Succeeded(worker, key, 1.0, peak))


def test_the_first_runs_alone():
    """Then as many as there are workers."""
    crew = Crew(*map(chunk, range(12)))
    seen = []
    for _ in range(6):
        seen.append(len(crew.running))
        crew.end_first()
    assert seen[:2] == [1, 4]
    assert crew.order[:5] == [0, 1, 2, 3, 4]


def test_more_than_the_first_took_is_held_ready_for_the_next():
    """Four times that, then twice, then that: so many fit beside each other."""
    crew = Crew(*map(chunk, range(20)), budget=1300 * MIB)
    seen = []
    for _ in range(6):
        seen.append(len(crew.running))
        crew.end_first()
    assert seen == [1, 2, 3, 4, 4, 4]


def test_all_run_alone_until_one_has_shown_what_it_takes():
    crew = Crew(*map(chunk, range(6)))
    ((key, worker),) = crew.running.items()
    crew.running.clear()
    crew.tell(u.WorkerLost(worker, key, "timeout", None))
    crew.tell(u.WorkerUp(9, BASELINE))
    assert len(crew.running) == 1
    crew.end_first()
    assert len(crew.running) > 1


def test_none_joins_one_that_runs_alone_nor_does_it_join_others():
    """It waits until the others have ended."""
    plain = [chunk(number, unmeasured=False) for number in range(2)]
    crew = Crew(*plain, chunk(2), chunk(3, unmeasured=False))
    assert set(crew.order) == {0, 1}
    crew.end_first()
    assert set(crew.order) == {0, 1}
    crew.end_first()
    assert crew.order[-1] == 2
    assert len(crew.running) == 1
    crew.end_first()
    assert crew.order[-1] == 3


def test_what_they_took_holds_for_those_that_follow():
    """Eight times what was planned: two fit into the budget where eight would have."""
    crew = Crew(*map(chunk, range(12)), budget=2400 * MIB)
    for _ in range(3):
        crew.end_first(peak=BASELINE + Prediction.ASIDE + 8 * PLANNED)
    assert len(crew.running) == 2


def test_what_a_trial_measured_holds_from_the_first_on():
    """None runs alone, and no more at once than fit."""
    crew = Crew(*map(chunk, range(12)), budget=2400 * MIB, measured=8.0)
    assert len(crew.running) == 2
    crew.end_first()
    assert len(crew.running) == 2


def test_those_that_fail_are_not_waited_for():
    """After three tries others run beside them, whatever became of these."""
    crew = Crew(*map(chunk, range(12)))
    for _ in range(3):
        ((key, worker),) = crew.running.items()
        crew.running.clear()
        crew.tell(u.WorkerLost(worker, key, "timeout", None))
        crew.tell(u.WorkerUp(10 + worker + len(crew.order), BASELINE))
    assert len(crew.running) > 1


@pytest.mark.parametrize(("peak", "factor"), [(0, 1.0), (MIB, 1.0), (300 * PLANNED, 100.0)])
def test_a_guess_is_corrected_within_reason(peak, factor):
    """Small ones say little of large ones."""
    prediction = Prediction(BASELINE)
    for number in range(Prediction.SHOWING):
        prediction.learn(chunk(number), BASELINE + peak)
    prediction.factor[u.Kind.CHUNK] = 1.0
    assert prediction.bytes_of(chunk(0)) == factor * PLANNED
    assert prediction.bytes_of(chunk(0, unmeasured=False)) == PLANNED
