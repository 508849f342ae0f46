"""Any order of events, held against a model of the rules (see ``scheduler_shell``)."""

from __future__ import annotations

import os

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scheduler_shell import Shell, death, failure

from geobatch_tui.errors import Reaction
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.scheduler import SchedulerConfig

MIB = 1 << 20
BUDGET = 1000 * MIB

SURVIVABLE = sorted(set(Reaction) - {Reaction.FATAL, Reaction.SPACE})
pick = st.integers(0, 1 << 16)


class SchedulerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shell: Shell | None = None
        self.next = 0

    @property
    def on(self) -> bool:
        return self.shell is not None and self.shell.finish is None

    def busy(self, n: int) -> int | None:
        busy = [w for w, hand in self.shell.workers.items() if hand.queue]
        return busy[n % len(busy)] if busy else None

    @precondition(lambda self: self.shell is None)
    @rule(workers=st.integers(1, 4), attempts=st.integers(1, 5), prefetch=st.integers(1, 8))
    def begin(self, workers: int, attempts: int, prefetch: int) -> None:
        self.shell = Shell(
            SchedulerConfig(
                workers=workers,
                run_id="model",
                budget_bytes=BUDGET,
                max_handles=6,
                max_attempts=attempts,
                chunk_timeout=50.0,
                max_prefetch=prefetch,
                worker_baseline=100 * MIB,
                refill_low=8,
                refill_high=16,
            )
        )

    @precondition(lambda self: self.on)
    @rule(
        kinds=st.lists(st.sampled_from([*u.Kind, u.Kind.CHUNK, u.Kind.CHUNK]), max_size=12),
        size=st.sampled_from([0, 1, 100, 300, 900, 1900, 2100]),
        handles=st.integers(1, 7),
        strikes=st.sampled_from([0, 0, 0, 1, 3]),
        crashes=st.sampled_from([0, 0, 0, 1]),
        attempts=st.sampled_from([0, 0, 2]),
        unmeasured=st.booleans(),
    )
    def offer(self, kinds, size, handles, strikes, crashes, attempts, unmeasured) -> None:
        offered = [
            u.Unit(
                kind,
                self.next + n,
                bytes=size * MIB,
                handles=handles,
                attempts=attempts,
                crashes=crashes,
                strikes=strikes,
                unmeasured=unmeasured and kind is u.Kind.CHUNK,
            )
            for n, kind in enumerate(kinds)
        ]
        self.next += len(kinds)
        self.shell.offer(*offered)

    @precondition(lambda self: self.on and self.shell.starting)
    @rule()
    def up(self) -> None:
        self.shell.up()

    @precondition(lambda self: self.on)
    @rule(rounds=st.integers(1, 6), seconds=st.sampled_from([0.0, 0.0005, 0.005, 1.0, 30.0]))
    def succeed(self, rounds: int, seconds: float) -> None:
        for _ in range(rounds):
            for worker in list(self.shell.workers):
                if self.on and self.shell.workers[worker].queue:
                    self.shell.now += seconds
                    self.shell.succeed(worker, seconds)

    @precondition(lambda self: self.on)
    @rule(n=pick, reaction=st.sampled_from(SURVIVABLE), after=st.sampled_from([None, 3.0]))
    def fail(self, n: int, reaction: Reaction, after: float | None) -> None:
        worker = self.busy(n)
        if worker is not None:
            self.shell.fail(worker, failure(reaction, retry_after=after))

    @precondition(lambda self: self.on)
    @rule(n=pick)
    def disk_full(self, n: int) -> None:
        worker = self.busy(n)
        if worker is not None:
            before = self.shell.workers[worker].running
            self.shell.fail(worker, failure(Reaction.SPACE))
            assert self.shell.unit[before.key] == before, "an attempt was charged"
            assert "space" in self.shell.suspended

    @precondition(lambda self: self.on)
    @rule(
        n=pick,
        cause=st.sampled_from(["exit", "signal", "oom"]),
        signal=st.sampled_from([None, 9, 11, "SIGKILL", "SIGSEGV"]),
        blame=st.sampled_from([True, True, True, False]),
    )
    def die(self, n: int, cause: str, signal: int | str | None, blame: bool) -> None:
        alive = [w for w, hand in self.shell.workers.items() if hand.dying is None]
        if alive:
            self.shell.lose(alive[n % len(alive)], cause, death(signal), blame=blame)

    @precondition(lambda self: self.on)
    @rule(n=pick)
    def recycle(self, n: int) -> None:
        """The pool retires a worker by itself: what it was sent is nobody's fault."""
        if self.shell.workers:
            numbers = list(self.shell.workers)
            self.shell.lose(numbers[n % len(numbers)], "retired", blame=False)

    @precondition(lambda self: self.on and self.shell.starting)
    @rule(signal=st.sampled_from([None, 9]))
    def stillborn(self, signal: int | None) -> None:
        self.shell.stillborn("signal" if signal else "exit", death(signal))

    @precondition(lambda self: self.on)
    @rule()
    def obey(self) -> None:
        self.shell.obey()

    @precondition(lambda self: self.on)
    @rule(seconds=st.sampled_from([0.0, 0.2, 5.0, 9.0]), times=st.integers(1, 8))
    def tick(self, seconds: float, times: int) -> None:
        for _ in range(times):
            if self.on:
                self.shell.tick(seconds)

    @precondition(lambda self: self.on)
    @rule(level=st.sampled_from([*u.Level, u.Level.CALM]), n=pick)
    def pressure(self, level: u.Level, n: int) -> None:
        self.shell.pressure(level, self.busy(n) if level is u.Level.KILL else None)

    @precondition(lambda self: self.on)
    @rule(ok=st.booleans())
    def space(self, ok: bool) -> None:
        self.shell.send(u.Space(ok))
        assert ("space" in self.shell.suspended) != ok

    @precondition(lambda self: self.on)
    @rule(pause=st.booleans())
    def pause(self, pause: bool) -> None:
        self.shell.command(u.Verb.PAUSE if pause else u.Verb.RESUME)

    @precondition(lambda self: self.on)
    @rule(count=st.integers(0, 5))
    def set_workers(self, count: int) -> None:
        self.shell.set_workers(count)

    @precondition(lambda self: self.on and self.next > 10)
    @rule()
    def exhaust(self) -> None:
        self.shell.exhaust()

    @precondition(lambda self: self.on and self.next > 20)
    @rule()
    def drain(self) -> None:
        self.shell.command(u.Verb.DRAIN)

    @precondition(lambda self: self.on and self.next > 30)
    @rule(n=pick, fatal=st.booleans())
    def stop(self, n: int, fatal: bool) -> None:
        worker = self.busy(n)
        if fatal and worker is not None:
            self.shell.fail(worker, failure(Reaction.FATAL))
            assert self.shell.finish.reason == "fatal"
        else:
            self.shell.command(u.Verb.CANCEL)
            assert self.shell.finish == u.Finish("cancelled")
        assert "flight" not in self.shell.place.values(), "not released"
        assert all(hand.dying for hand in self.shell.workers.values())

    @precondition(lambda self: self.on)
    @rule(number=st.integers(1, 6))
    def stale(self, number: int) -> None:
        """Late words of the dead change nothing."""
        shell = self.shell
        known = number in shell.workers or number in shell.starting or number > shell.spawned
        if not known:
            before = len(shell.dead)
            key = (u.Kind.CHUNK, 0)
            shell.send(u.WorkerLost(number, key, "exit", None))
            shell.send(u.Succeeded(number, key, 1.0, 0))
            shell.send(u.Failed(number, key, failure()))
            assert len(shell.dead) == before

    @precondition(lambda self: self.shell is not None and self.shell.finish is not None)
    @rule(n=pick)
    def afterwards(self, n: int) -> None:
        """Whatever is reported after the end is ignored."""
        key = (u.Kind.CHUNK, n)
        for event in (u.Tick(), u.WorkerUp(n), u.Succeeded(n, key, 1.0, 0), u.Exhausted()):
            assert self.shell.scheduler.handle(event, self.shell.now) == []

    @invariant()
    def bounded(self) -> None:
        """No unit is tried more often than the limits allow, whatever happens to it."""
        if self.shell is not None:
            for key, unit in self.shell.unit.items():
                assert unit.attempts <= self.shell.tries_allowed(key)
                assert unit.subdivide <= 3
                assert unit.crashes <= max(self.shell.offered[key].crashes, 1)

    def teardown(self) -> None:
        """Once the world is well again every run ends, and a replay decides the same."""
        shell = self.shell
        if shell is None:
            return
        if shell.finish is None:
            shell.command(u.Verb.RESUME)
        for settle in (
            lambda: shell.send(u.Space(ok=True)),
            lambda: shell.pressure(u.Level.CALM),
            shell.exhaust,
        ):
            if shell.finish is None:
                settle()
        shell.run_out()
        if shell.finish.reason == "complete":
            assert len(shell.place) == len(shell.offered)
        shell.replay()


SchedulerMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("GEOBATCH_TEST_EXAMPLES", "60")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestScheduler = SchedulerMachine.TestCase
