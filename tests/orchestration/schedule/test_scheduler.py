"""The scheduler's rules, one by one. Runs at large: ``test_scheduler_storms``; any order of
events: ``test_scheduler_model``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scheduler_shell import Shell, chunk, chunks, death, failure

from geobatch_tui.config.units import FailureLimit
from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig
from geobatch_tui.orchestration.schedule.verdicts import KILL_SECONDS, KILLS, PARDONED

MIB = 1 << 20


def shell(workers: int = 2, **config) -> Shell:
    return Shell(SchedulerConfig(workers=workers, run_id="test", **config))


def running(workers: int, *offered: u.Unit, **config) -> Shell:
    """A shell with all its workers up and at work."""
    made = shell(workers, **config)
    made.offer(*offered)
    made.all_up()
    return made


def of(kind: type, decisions: list[u.Decision]) -> list:
    return [decision for decision in decisions if isinstance(decision, kind)]


def only(kind: type, decisions: list[u.Decision]):
    (found,) = of(kind, decisions)
    return found


# --- failures: one row for each reaction -------------------------------------------------------

ROWS = {
    # reaction: tries until the dead letter, last attempts, lane from the second try on
    Reaction.TRANSIENT: (5, 5, False),
    Reaction.RESOURCE: (4, 4, False),
    Reaction.PERMANENT: (1, 1, False),
    Reaction.POISON: (2, 2, True),
    Reaction.UNKNOWN: (2, 2, False),
}


@pytest.mark.parametrize(("reaction", "row"), ROWS.items())
def test_reactions(reaction, row):
    """Each class of failure gets its number of tries, in its place, then a dead letter."""
    tries, attempts, lane = row
    made = running(1, chunk(1))
    for n in range(1, tries):
        out = made.fail(next(iter(made.busy())), failure(reaction))
        retry = only(u.Retry, out)
        assert retry.unit.attempts == n
        made.tick(max(retry.delay, 0.0))
        made.obey()
        hand = next(hand for hand in made.workers.values() if hand.queue)
        assert hand.lane is lane
    bury = only(u.Bury, made.fail(made.busy()[0], failure(reaction)))
    assert bury.unit.attempts == attempts
    assert bury.failure.error_class == failure(reaction).error_class
    assert bury.failure.evidence["given_up"]


def test_transient_waits_and_holds_no_worker():
    """A waiting unit leaves its worker to others and comes back when due."""
    made = running(1, *chunks(2), max_attempts=2)
    out = made.fail(1, failure(Reaction.TRANSIENT))
    delay = only(u.Retry, out).delay
    assert 0 < delay <= 0.5
    assert only(u.Dispatch, out).unit.ident == 1
    made.succeed(1)
    made.tick(delay * 0.9)
    assert not made.busy()
    dispatch = only(u.Dispatch, made.tick(delay * 0.11))
    assert (dispatch.unit.ident, dispatch.attempt) == (0, 2)


def test_retry_after_is_kept():
    """A server's Retry-After is a lower bound of the delay."""
    made = running(1, chunk(1))
    retry = only(u.Retry, made.fail(1, failure(Reaction.TRANSIENT, retry_after=20.0)))
    assert 20 <= retry.delay <= 22


def test_retry_budget_bounds_an_outage():
    """After ten retries without a success, transient failures are given up at once."""
    made = running(1, *chunks(30), max_attempts=100)
    fates = []
    for _ in range(15):
        out = made.fail(1, failure(Reaction.TRANSIENT))
        fates += [type(d) for d in out if isinstance(d, u.Retry | u.Bury)]
    assert fates == [u.Retry] * 10 + [u.Bury] * 5


def test_successes_refill_the_retry_budget():
    """Ten successes pay for one more retry."""
    made = running(1, *chunks(60), max_attempts=100)
    for _ in range(10):
        made.fail(1, failure(Reaction.TRANSIENT, retry_after=1000.0))
    for _ in range(10):
        made.succeed(1)
    assert of(u.Retry, made.fail(1, failure(Reaction.TRANSIENT)))
    assert of(u.Bury, made.fail(1, failure(Reaction.TRANSIENT)))


def test_attempts_of_earlier_runs_count():
    """A unit that has used up its attempts before gets one more, not five."""
    made = running(1, chunk(1, attempts=7))
    assert only(u.Bury, made.fail(1, failure(Reaction.TRANSIENT))).unit.attempts == 8


def test_resource_subdivides_at_once_and_runs_beside_fewer():
    """A unit that ran short of memory comes back at once in sub-windows, and reserves double."""
    config = {"budget_bytes": 1000 * MIB, "worker_baseline": 0}
    made = running(3, *chunks(4, bytes=300 * MIB), **config)
    assert made.in_flight() == 3
    retry = only(u.Retry, made.fail(1, failure(Reaction.RESOURCE)))
    assert (retry.delay, retry.unit.subdivide) == (0, 1)
    # 600 MiB for the subdivided one leave no room beside two others of 300.
    assert made.in_flight() == 2
    made.succeed(2)
    assert made.workers[2].running.subdivide == 1
    assert made.in_flight() == 2
    assert made.reserved() == 900 * MIB


def test_space_pauses_and_charges_nothing():
    """A full disk suspends the run; the unit is as it was, and comes first when there is space."""
    made = running(2, *chunks(4))
    out = made.fail(1, failure(Reaction.SPACE))
    assert of(u.Suspend, out) == [u.Suspend("space")]
    assert of(u.Release, out) == [u.Release(chunk(0))]
    assert not made.succeed(2)
    out = made.send(u.Space(ok=True))
    assert out[0] == u.Unsuspend("space")
    assert [(d.unit.ident, d.attempt) for d in of(u.Dispatch, out)] == [(0, 1), (2, 1)]


def test_a_store_that_takes_no_outputs_pauses():
    """What is in flight goes on; nothing starts until it takes some again."""
    made = running(2, *chunks(4))
    assert made.send(u.StoreAway("outputs to s3://a")) == [u.Suspend("outputs to s3://a")]
    assert not made.send(u.StoreAway("outputs to s3://a"))
    assert not of(u.Dispatch, made.succeed(1) + made.succeed(2))
    out = made.send(u.StoreBack("outputs to s3://a"))
    assert out[0] == u.Unsuspend("outputs to s3://a")
    assert len(of(u.Dispatch, out)) == 2


def test_a_store_that_is_away_pauses_and_charges_nothing():
    """Only its own units, until it answers; those of others go on, and the run does not end."""
    stores = ["s3://a", "s3://b"]
    made = running(2, *(replace(chunk(n), store=stores[n % 2]) for n in range(6)))
    away = replace(failure(Reaction.TRANSIENT), evidence={"store": "s3://a"}, retry_after=7.0)
    out = made.fail(1, away)
    assert of(u.Suspend, out) == [u.Suspend("store s3://a", 7.0)]
    assert [each.unit.ident for each in of(u.Release, out)] == [0]
    assert only(u.Dispatch, out).unit.ident == 3
    assert only(u.Dispatch, made.succeed(1)).unit.ident == 5
    made.succeed(1)
    made.exhaust()
    assert not of(u.Finish, made.succeed(2))
    assert not made.tick(60.0)
    out = made.send(u.StoreBack("store s3://a"))
    assert of(u.Unsuspend, out) == [u.Unsuspend("store s3://a")]
    assert [(d.unit.ident, d.attempt) for d in of(u.Dispatch, out)] == [(0, 1), (2, 1)]
    made.succeed(1)
    made.succeed(1)
    assert of(u.Finish, made.succeed(2)) == [u.Finish("complete")]


def test_low_water_suspends():
    """Space(ok=False) stops admission before anything fails."""
    made = running(1, *chunks(2))
    assert made.send(u.Space(ok=False)) == [u.Suspend("space")]
    assert made.send(u.Space(ok=False)) == []
    assert made.succeed(1) == []


def test_fatal_ends_the_run_at_once():
    """Everything in flight is released, every worker killed, and the cause is told."""
    made = running(2, *chunks(4))
    told = failure(Reaction.FATAL)
    out = made.fail(1, told)
    assert {d.unit.ident for d in of(u.Release, out)} == {0, 1}
    assert {d.worker for d in of(u.KillWorker, out)} == {1, 2}
    assert out[-1] == u.Finish("fatal", told)


# --- losses: one row for each cause ------------------------------------------------------------

LOSSES = [
    # cause, signal, then what became of the unit: crashes, strikes, subdivide, attempts
    ("exit", None, (1, 0, 0, 1)),
    ("signal", "SIGSEGV", (1, 0, 0, 1)),
    ("signal", 11, (1, 0, 0, 1)),
    ("signal", "SIGABRT", (1, 0, 0, 1)),
    ("signal", None, (1, 0, 0, 1)),
    ("signal", "SIGKILL", None),
    ("signal", 9, None),
    ("signal", "SIGTERM", None),
    ("timeout", None, (1, 0, 0, 1)),
    ("oom", 9, (0, 0, 1, 1)),
    ("memory", None, (0, 0, 1, 1)),
    ("retired", None, None),
]


@pytest.mark.parametrize(("cause", "signal", "counts"), LOSSES)
def test_causes(cause, signal, counts):
    """Each cause of a loss leaves its own mark on the unit that was running, on no other."""
    made = running(1, *chunks(9), max_prefetch=8)
    made.succeed(1, seconds=0.001)
    queued = [unit.ident for unit in made.workers[1].queue]
    assert len(queued) > 3
    out = made.lose(1, cause, death(signal) if cause != "retired" else None)
    released = [d.unit for d in of(u.Release, out)]
    if counts is None:
        assert sorted(unit.ident for unit in released) == queued
        assert not of(u.Retry, out)
    else:
        retry = only(u.Retry, out)
        unit = retry.unit
        assert (unit.crashes, unit.strikes, unit.subdivide, unit.attempts) == counts
        assert retry.delay == 0
        assert unit.ident == queued[0]
        assert sorted(unit.ident for unit in released) == queued[1:]
    assert all(unit == chunk(unit.ident) for unit in released)


def test_released_units_come_first_in_order():
    """What was queued behind a lost worker is next, in its old order."""
    made = running(1, *chunks(30), max_prefetch=8)
    made.succeed(1, seconds=0.001)
    queued = [unit.ident for unit in made.workers[1].queue]
    made.lose(1, "exit", death())
    made.obey()
    order = []
    while len(order) < 12:
        worker = made.busy()[0]
        if not made.workers[worker].lane:
            order.append(made.workers[worker].running.ident)
        made.succeed(worker, seconds=1.0)
        made.obey()
    rest = [ident for ident in order if ident != queued[0]]
    assert rest[:10] == list(range(queued[1], queued[1] + 10))


def test_a_crash_alone_convicts():
    """After a crash a unit runs alone on a fresh worker; after another it is a dead letter."""
    made = running(2, *chunks(10))
    made.lose(1, "signal", death("SIGSEGV"))
    made.obey()
    lane = next(n for n, hand in made.workers.items() if hand.lane)
    assert made.workers[lane].running == chunk(0, attempts=1, crashes=1)
    told = Failure("WorkerCrashError", Reaction.POISON, "died", evidence={"stderr": "boom"})
    bury = only(u.Bury, made.lose(lane, "signal", told))
    assert (bury.unit.crashes, bury.unit.attempts) == (2, 2)
    assert bury.failure.evidence["stderr"] == "boom"


def test_a_struck_unit_that_crashes_alone_is_convicted():
    """A strike from an engine's death and one crash alone suffice."""
    made = running(1, chunk(0, strikes=1))
    assert made.workers[1].lane
    assert only(u.Bury, made.lose(1, "exit", death())).unit.crashes == 1


def test_two_timeouts_convict():
    """A struck unit that is only slow gets two timeouts like any other."""
    made = running(1, chunk(0, strikes=1), chunk_timeout=5.0)
    for _ in range(2):
        number = made.busy()[0]
        assert only(u.KillWorker, made.tick(5.1)) == u.KillWorker(number, "timeout")
        out = made.lose(number, "timeout")
        made.obey()
    bury = only(u.Bury, out)
    assert bury.failure.error_class == "ChunkTimeoutError"
    assert bury.failure.reaction is Reaction.POISON
    assert bury.failure.evidence["timeout_s"] == 5.0


def test_compiling_is_not_charged():
    """No timeout ends a worker that compiles; afterwards its unit has all its time."""
    made = running(2, *chunks(2), chunk_timeout=5.0)
    first, second = made.busy()
    for _ in range(4):
        made.tick(4.0, compiling={first, second})
    made.tick(4.0, compiling={second})
    assert only(u.KillWorker, made.tick(4.0, compiling={second})) == u.KillWorker(first, "timeout")
    assert only(u.KillWorker, made.tick(5.1)) == u.KillWorker(second, "timeout")


def test_success_in_the_lane_clears():
    """A suspect that succeeds is done; its worker serves nothing else."""
    made = running(1, chunk(0, strikes=1), chunk(1))
    out = made.succeed(1)
    assert of(u.RetireWorker, out) == [u.RetireWorker(1)]
    made.obey()
    assert made.workers[2].running == chunk(1)


def test_answer_just_before_a_timeout_kill():
    """The unit that was too slow answers in the last moment: the next is not blamed for it."""
    made = running(1, *chunks(9), max_prefetch=8, chunk_timeout=5.0)
    made.succeed(1, seconds=0.001)
    only(u.KillWorker, made.tick(6.0))
    made.succeed(1)
    out = made.lose(1, "timeout")
    assert not of(u.Retry, out)
    assert len(of(u.Release, out)) > 2


def test_answer_that_went_down_with_its_worker():
    """The pool may say that a later unit was running: that one is blamed, the first released."""
    made = running(1, *chunks(9), max_prefetch=8)
    made.succeed(1, seconds=0.001)
    first, second = made.workers[1].queue[0], made.workers[1].queue[1]
    out = made.scheduler.handle(u.WorkerLost(1, second.key, "exit", death()), made.now)
    assert only(u.Retry, out).unit.ident == second.ident
    assert first in [d.unit for d in of(u.Release, out)]


def test_a_unit_that_kills_itself_is_found_at_last():
    """One SIGKILL convicts no unit; ten minutes of them under the same unit do."""
    made = running(1, chunk(0))
    began, kills = made.now, 0
    while not made.dead:
        assert made.now - began <= KILL_SECONDS
        made.lose(made.busy()[0], "signal", death("SIGKILL"))
        kills += 1
        made.tick(10.0)
        made.obey()
    assert kills >= KILLS
    assert made.now - began >= KILL_SECONDS
    assert next(iter(made.dead.values())).failure.reaction is Reaction.POISON


def test_few_kills_never_convict():
    """Fifteen kills in an hour prove nothing."""
    made = running(1, chunk(0))
    for _ in range(KILLS - 1):
        made.lose(made.busy()[0], "signal", death("SIGKILL"))
        made.tick(240.0)
        made.obey()
    assert not made.dead


def test_a_unit_that_is_killed_from_outside_waits_longer_each_time():
    """A unit is tried again at once after two kills; from the third on it waits up to half a
    second."""
    made = running(1, chunk(0))
    delays = []
    for _ in range(20):
        out = made.lose(made.busy()[0], "signal", death("SIGKILL"))
        delays += [retry.delay for retry in of(u.Retry, out)]
        made.tick(1.0)
        made.obey()
    assert len(delays) == 20 - PARDONED
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0.05, 0.5)


def test_a_unit_that_kills_itself_is_found_where_no_other_worker_is_hit():
    """A killer from outside would hit the other of two workers in the end."""
    made = running(2, *chunks(2))
    victim = made.busy()[0]
    key = made.workers[victim].running.key
    kills = 0
    while not made.dead:
        assert kills < 2 * KILLS
        (worker,) = [n for n in made.busy() if made.workers[n].running.key == key] or [None]
        if worker is not None:
            made.lose(worker, "signal", death("SIGTERM"))
            kills += 1
        made.tick(1.0)
        made.obey()
    assert list(made.dead) == [key]
    assert kills == KILLS


@pytest.mark.parametrize("other", ["busy", "idle"])
def test_kills_that_hit_other_workers_too_convict_nobody(other):
    """One kill of another worker in a row suffices."""
    made = running(2, *chunks(2))
    key = made.workers[made.busy()[0]].running.key
    if other == "idle":
        made.succeed(made.busy()[1])
    for shot in range(4 * KILLS):
        hit = [n for n in made.busy() if made.workers[n].running.key == key]
        away = [n for n in made.workers if n not in hit]
        if shot % KILLS == KILLS - 1 and away:
            made.lose(away[0], "signal", death("SIGKILL"))
        elif hit:
            made.lose(hit[0], "signal", death("SIGKILL"))
        made.tick(1.0)
        made.obey()
    assert not made.dead


# --- a limit of processes or threads -----------------------------------------------------------

LIMITED = Failure("ProcessLimitError", Reaction.RESOURCE, "can't start new thread")


def test_a_unit_that_gets_no_thread_is_tried_beside_fewer():
    """The unit is not to blame: no attempt is charged, and the run goes on with one worker fewer."""
    made = running(4, *chunks(8))
    out = made.fail(made.busy()[0], LIMITED)
    retry = only(u.Retry, out)
    assert (retry.unit.attempts, retry.unit.subdivide, retry.delay) == (0, 0, 0.5)
    made.target = 3
    for _ in range(30):
        for worker in made.busy():
            made.succeed(worker)
        made.tick(1.0)
        made.obey()
    assert made.scheduler.place.target == 3
    assert not made.dead


def test_a_worker_that_gets_no_thread_condemns_nobody():
    """The worker ends; its unit is tried again beside fewer workers, without a mark."""
    made = running(2, *chunks(2))
    out = made.lose(made.busy()[0], "exit", LIMITED)
    retry = only(u.Retry, out)
    assert (retry.unit.crashes, retry.unit.strikes) == (0, 0)
    assert made.scheduler.place.target == 1


def test_a_limit_that_leaves_no_room_for_one_worker_ends_the_run():
    """The run ends with the limit as its cause."""
    made = running(1, chunk(0))
    while made.finish is None:
        made.fail(made.busy()[0], LIMITED)
        made.tick(5.0)
        made.obey()
    assert (made.finish.reason, made.finish.failure) == ("fatal", LIMITED)
    assert not made.dead


def test_a_run_does_without_workers_that_cannot_be_started():
    """The workers that have started do the work."""
    made = shell(4)
    made.offer(*chunks(40))
    made.up()
    while made.starting:
        made.send(u.WorkerLost(made.starting.pop(0), None, "exit", LIMITED))
    assert made.scheduler.place.target == 1
    assert made.finish is None


def test_a_worker_that_is_slow_to_start_counts():
    """On a loaded machine a refusal may come before the worker that did start."""
    made = shell(8)
    made.offer(*chunks(40))
    while len(made.starting) > 1:
        made.send(u.WorkerLost(made.starting.pop(), None, "exit", LIMITED))
    assert made.finish is None
    made.up()
    assert made.scheduler.place.target == 1


def test_suspects_wait_in_line():
    """Suspects are judged in the order in which they fell under suspicion."""
    made = running(3, *chunks(30))
    for number in (2, 1, 3):
        made.lose(number, "exit", death())
    judged = []
    while len(judged) < 3:
        made.obey()
        lane = next(n for n, hand in made.workers.items() if hand.lane)
        judged.append(made.workers[lane].running.ident)
        made.succeed(lane)
    assert judged == [1, 0, 2]


# --- timeouts ----------------------------------------------------------------------------------


def test_timeout_runs_from_the_start_of_the_unit():
    """A queued unit's time begins when the one before it ends."""
    made = running(1, *chunks(9), max_prefetch=8, chunk_timeout=5.0)
    made.succeed(1, seconds=0.001)
    made.tick(4.0)
    made.succeed(1, seconds=0.001)
    assert not of(u.KillWorker, made.tick(4.0))
    assert of(u.KillWorker, made.tick(1.5))
    assert not of(u.KillWorker, made.tick(1.5)), "killed twice"


def test_chunk_timeout_is_for_chunks():
    """An assembly may take longer than a chunk."""
    made = running(1, u.Unit(u.Kind.FINALISE, 1), chunk_timeout=5.0)
    for _ in range(300):
        assert not of(u.KillWorker, made.tick(9.0))


def test_automatic_timeout():
    """Without a setting: 20 times the recent 95th percentile."""
    made = running(1, *chunks(30))
    for _ in range(10):
        made.succeed(1, seconds=4.0)
    made.tick(9.0)
    for _ in range(7):
        assert not of(u.KillWorker, made.tick(9.0))
    assert of(u.KillWorker, made.tick(9.0))


def test_a_stopped_engine_times_nothing_out():
    """An hour in which the engine itself did not run is not held against units."""
    made = running(2, *chunks(4), chunk_timeout=5.0)
    assert not of(u.KillWorker, made.tick(3600.0))
    assert of(u.KillWorker, made.tick(5.1))


def test_time_does_not_go_back():
    """A clock that jumps back neither raises nor times anything out."""
    made = running(1, *chunks(2), chunk_timeout=5.0)
    made.now -= 1000
    assert not of(u.KillWorker, made.tick())


# --- workers and queues ------------------------------------------------------------------------


def test_no_more_workers_than_work():
    """Three units need three workers, whatever the target."""
    made = shell(8)
    assert len(of(u.StartWorker, made.offer(*chunks(3)))) == 3


def test_no_more_workers_than_memory():
    """Workers that could not be given anything are not started."""
    made = shell(8, budget_bytes=1000 * MIB, worker_baseline=100 * MIB)
    assert len(of(u.StartWorker, made.offer(*chunks(9, bytes=150 * MIB)))) == 4


def test_a_unit_larger_than_the_budget_runs_alone():
    """A unit somewhat over the budget runs after the others, and nothing runs beside it."""
    made = running(2, *chunks(2, bytes=MIB), budget_bytes=100 * MIB, worker_baseline=0)
    made.offer(chunk(5, bytes=150 * MIB), chunk(6, bytes=MIB))
    assert not of(u.Dispatch, made.succeed(1)), "the large one does not fit, the small one waits"
    assert only(u.Dispatch, made.succeed(2)).unit.ident == 5
    assert made.in_flight() == 1


def test_a_large_suspect_is_not_starved():
    """When the lane's unit does not fit, nothing else begins until it does."""
    config = {"budget_bytes": 100 * MIB, "worker_baseline": 0}
    made = running(3, *chunks(30, bytes=30 * MIB), **config)
    made.offer(chunk(90, bytes=90 * MIB, strikes=1))
    made.succeed(1)
    made.obey()
    assert made.in_flight() == 2
    assert not of(u.Dispatch, made.succeed(2))
    assert only(u.Dispatch, made.succeed(3)).unit.ident == 90


def test_kinds_do_not_share_a_queue():
    """An assembly is not queued behind chunks, nor chunks behind an assembly."""
    made = running(1, *chunks(200), max_prefetch=8)
    made.succeed(1, seconds=0.001)
    made.offer(u.Unit(u.Kind.FINALISE, 1))
    for _ in range(7):
        assert not of(u.Dispatch, made.succeed(1, seconds=0.001))
    assert only(u.Dispatch, made.succeed(1, seconds=0.001)).unit.kind is u.Kind.FINALISE
    made.tick()
    assert len(made.workers[1].queue) == 1
    made.succeed(1, seconds=0.001)
    assert made.workers[1].running.kind is u.Kind.CHUNK


def test_a_hopeless_unit_is_buried():
    """A unit of more than twice the budget fails at once, with what to do about it."""
    made = shell(budget_bytes=100 * MIB)
    bury = only(u.Bury, made.offer(chunk(1, bytes=201 * MIB)))
    assert bury.failure.error_class == "MemoryBudgetError"
    assert "201 MiB" in bury.failure.message
    assert bury.failure.hint


def test_prefetch_depth():
    """Tiny units are queued several deep, long ones singly."""
    made = running(1, *chunks(200), max_prefetch=64)
    assert len(made.workers[1].queue) == 1
    made.succeed(1, seconds=0.0001)
    assert len(made.workers[1].queue) == 64
    made.succeed(1, seconds=5.0)
    while len(made.workers[1].queue) > 1:
        made.succeed(1, seconds=5.0)
    made.succeed(1, seconds=5.0)
    assert len(made.workers[1].queue) == 1


def test_units_of_objects_are_held_beside_a_running_one():
    """A worker fetches for those that wait, however long each takes."""
    made = running(1, *(replace(each, held=4) for each in chunks(200)), max_prefetch=64)
    made.succeed(1, seconds=5.0)
    for _ in range(8):
        made.succeed(1, seconds=5.0)
        assert 2 <= len(made.workers[1].queue) <= 4


def test_the_last_units_are_shared():
    """Prefetch does not give one worker all that is left while another idles."""
    made = running(2, *chunks(20), max_prefetch=64)
    made.succeed(1, seconds=0.0001)
    made.succeed(2, seconds=0.0001)
    lengths = [len(hand.queue) for hand in made.workers.values()]
    assert min(lengths) >= 4


def test_nodes_come_and_go():
    """Workers, memory and files are those of the machines that there are now."""
    made = running(1, *chunks(8, bytes=100 * MIB), budget_bytes=100 * MIB, worker_baseline=0)
    assert len(of(u.StartWorker, made.resize(u.Resized(3, 300 * MIB, 9)))) == 2
    made.all_up()
    assert made.in_flight() == 3
    assert made.scheduler.place.admission.max_handles == 9
    made.resize(u.Resized(0, 0, 0))
    assert made.scheduler.place.target == 1


def test_set_workers_up_and_down():
    """More workers start at once; surplus ones go when they are idle, and their units finish."""
    made = running(2, *chunks(20))
    assert len(of(u.StartWorker, made.set_workers(4))) == 2
    made.all_up()
    assert made.in_flight() == 4
    assert not made.set_workers(1)
    for number in (1, 2, 3):
        assert of(u.RetireWorker, made.succeed(number)) == [u.RetireWorker(number)]
    assert only(u.Dispatch, made.succeed(4)).worker == 4


def test_idle_workers_are_kept():
    """A worker without work stays warm."""
    made = running(2, *chunks(2))
    assert not of(u.RetireWorker, made.succeed(1))
    assert only(u.Dispatch, made.offer(chunk(9))).worker == 1
    assert made.spawned == 2


def test_adopted_workers_serve_but_not_the_lane():
    """A worker that worked before takes units; a suspect gets a new one."""
    made = Scheduler(SchedulerConfig(workers=2, run_id="test"))
    made.handle(u.WorkerUp(1, fresh=False), 0.0)
    out = made.handle(u.Offered((chunk(0, strikes=1), chunk(1))), 0.0)
    assert only(u.Dispatch, out) == u.Dispatch(1, chunk(1), 1, False)
    assert len(of(u.StartWorker, out)) == 1
    out = made.handle(u.WorkerUp(2), 0.0)
    assert only(u.Dispatch, out) == u.Dispatch(2, chunk(0, strikes=1), 1, True)


def test_adopted_workers_come_all_at_once():
    """No worker is started in place of an adopted one, which would then be one too many."""
    made = Scheduler(SchedulerConfig(workers=2, run_id="test"))
    kept = tuple(u.WorkerUp(number, fresh=False) for number in (1, 2))
    out = made.handle(u.WorkersKept(kept), 0.0)
    out += made.handle(u.Offered(tuple(chunk(n) for n in range(4))), 0.0)
    assert not of(u.StartWorker, out)
    assert not of(u.RetireWorker, out)
    assert {each.worker for each in of(u.Dispatch, out)} == {1, 2}


def test_lane_takes_the_next_free_slot():
    """With all workers busy, the first that becomes free makes room for the lane's."""
    made = running(2, *chunks(8))
    made.offer(chunk(50, strikes=1))
    assert of(u.RetireWorker, made.succeed(2)) == [u.RetireWorker(2)]
    made.obey()
    assert made.workers[3].lane
    assert made.peak_live == 2


def test_crash_loop():
    """Five workers that die before they are ready end the run."""
    made = shell(1)
    made.offer(chunk(1))
    told = failure(Reaction.POISON)
    for _ in range(4):
        assert of(u.StartWorker, made.stillborn("exit", told))
    assert made.stillborn("exit", told)[-1] == u.Finish("crash-loop", told)


def test_a_worker_that_starts_breaks_the_crash_loop():
    """Only deaths in a row count."""
    made = shell(1)
    made.offer(*chunks(50))
    for _ in range(5):
        for _ in range(4):
            made.stillborn("exit", failure(Reaction.POISON))
        made.up()
        made.lose(made.busy()[0], "retired", blame=False)
    assert made.finish is None


def test_work_done_breaks_the_loop_of_deaths():
    """Workers that die between units, but get something done, are no loop."""
    made = running(1, *chunks(100))
    for _ in range(40):
        made.succeed(made.busy()[0])
        made.lose(made.busy()[0], "exit", death(), blame=False)
        made.obey()
    assert made.finish is None


def test_workers_that_die_between_units_end_the_run():
    """Deaths that no unit is to blame for, without anything getting done, are a loop too."""
    made = running(1, chunk(1))
    for n in range(20):
        assert made.finish is None, n
        made.lose(made.busy()[0], "exit", death(), blame=False)
        if made.finish is None:
            made.obey()
    assert made.finish.reason == "crash-loop"
    assert not made.dead


# --- refilling, commands, ends -------------------------------------------------------------------


def test_refill():
    """The scheduler asks for units when its queue runs low, and not again before the answer."""
    made = running(1, *chunks(10), refill_low=4, refill_high=12)
    for _ in range(5):
        assert not of(u.Refill, made.succeed(1))
    made.succeed(1)
    assert made.asked_for == 9
    assert not of(u.Refill, made.succeed(1))


def test_an_empty_answer_is_not_asked_for_again_at_once():
    """After an empty answer it asks again when time passes or a unit ends, not before."""
    made = shell()
    assert of(u.Refill, made.tick())
    assert not made.offer()
    assert not made.offer()
    assert of(u.Refill, made.tick())


def test_units_offered_twice_are_refused():
    """A known unit is a bug of the shell; nothing of the offer is taken."""
    made = shell()
    made.offer(chunk(1))
    with pytest.raises(ValueError, match="twice"):
        made.scheduler.handle(u.Offered((chunk(2), chunk(1))), made.now)
    with pytest.raises(ValueError, match="twice"):
        made.scheduler.handle(u.Offered((chunk(3), chunk(3))), made.now)
    assert made.scheduler.place.backlog.ready == 1


def test_a_finished_unit_may_be_offered_again():
    """The operator may retry a dead letter within the run."""
    made = running(1, chunk(1))
    made.fail(1, failure(Reaction.PERMANENT))
    out = made.scheduler.handle(u.Offered((chunk(1),)), made.now)
    assert only(u.Dispatch, out).unit == chunk(1)


def test_complete():
    """A run is complete when no unit is left and none will come, not before the last answer."""
    made = running(1, *chunks(2))
    assert not of(u.Finish, made.exhaust())
    made.succeed(1)
    assert made.succeed(1)[-1] == u.Finish("complete")
    assert made.scheduler.handle(u.Tick(), made.now) == []


def test_an_empty_job_completes():
    """No unit at all is a complete run, and starts no worker."""
    made = shell()
    assert made.exhaust() == [u.Finish("complete")]


def test_drain():
    """Units that workers have finish, no other begins; waiting units do not hold the drain up."""
    made = running(2, *chunks(6))
    made.fail(1, failure(Reaction.TRANSIENT, retry_after=1000.0))
    made.command(u.Verb.DRAIN)
    assert not of(u.Dispatch, made.succeed(1))
    assert made.succeed(2)[-1] == u.Finish("drained")


def test_drain_when_idle():
    """With nothing in flight a drain ends at once."""
    made = shell()
    made.offer(*chunks(3))
    assert made.command(u.Verb.DRAIN) == [u.Finish("drained")]


def test_cancel():
    """Every unit in flight goes back without a mark, and workers are killed."""
    made = running(2, *chunks(6))
    out = made.command(u.Verb.CANCEL)
    assert {d.unit for d in of(u.Release, out)} == {chunk(0), chunk(1)}
    assert {d.worker for d in of(u.KillWorker, out)} == {1, 2}
    assert out[-1] == u.Finish("cancelled")
    assert made.scheduler.handle(u.WorkerLost(1, None, "exit", None), made.now) == []


def test_pause_and_resume():
    """A pause lets units finish and starts none; a resume goes on."""
    made = running(1, *chunks(3))
    assert made.command(u.Verb.PAUSE) == [u.Suspend("operator")]
    assert made.command(u.Verb.PAUSE) == []
    assert made.succeed(1) == []
    out = made.command(u.Verb.RESUME)
    assert out[0] == u.Unsuspend("operator")
    assert only(u.Dispatch, out).unit.ident == 1


def test_pressure():
    """HOLD stops admission in silence, PAUSE says so, KILL ends the worker; CALM goes on."""
    made = running(2, *chunks(6))
    assert made.pressure(u.Level.HOLD) == []
    assert made.succeed(1) == []
    assert made.pressure(u.Level.PAUSE) == [u.Suspend("memory")]
    assert made.pressure(u.Level.KILL, 2) == [u.KillWorker(2, "memory")]
    assert made.pressure(u.Level.KILL, 2) == []
    retry = only(u.Retry, made.lose(2, "memory"))
    assert (retry.unit.subdivide, retry.unit.crashes) == (1, 0)
    assert retry.failure.error_class == "MemoryBudgetError"
    assert made.pressure(u.Level.HOLD) == []
    assert made.pressure(u.Level.CALM)[0] == u.Unsuspend("memory")


def test_pressure_never_stops_the_only_unit():
    """If the idle workers alone are over the threshold, work still goes on, one at a time."""
    made = running(2, *chunks(6))
    made.pressure(u.Level.PAUSE)
    assert made.succeed(1) == []
    assert len(of(u.Dispatch, made.succeed(2))) == 1


@pytest.mark.parametrize(
    ("limit", "total", "buried"),
    [(FailureLimit(count=3), 0, 4), (FailureLimit(share=0.1), 50, 6), (None, 50, None)],
)
def test_max_failures(limit, total, buried):
    """The run ends with the first dead letter over the limit, once units in flight are done."""
    made = running(2, *chunks(30), failure_limit=limit, total=total)
    for _ in range(buried or 20):
        assert made.finish is None
        made.fail(1, failure(Reaction.PERMANENT))
    if buried is None:
        assert made.in_flight() == 2
    else:
        assert not made.workers[1].queue
        assert made.succeed(2)[-1].reason == "failures"


def test_running_on():
    """Only the first of a worker's queue has begun."""
    made = running(1, *chunks(20), max_prefetch=8)
    made.succeed(1, seconds=0.001)
    assert len(made.workers[1].queue) == 8
    assert made.scheduler.running_on(1) == made.workers[1].queue[0]
    assert made.scheduler.running_on(2) is None
