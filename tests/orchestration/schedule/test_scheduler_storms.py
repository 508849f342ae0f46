"""Whole runs in simulated time: random kills, poison, outages. The rules of ``scheduler_shell``
hold throughout; here it is how such runs end that counts."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from itertools import pairwise

import pytest
from scheduler_shell import Shell, chunk, chunks, death, failure

from geobatch_tui.errors import Reaction
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.durations import QUEUED_SECONDS
from geobatch_tui.orchestration.schedule.scheduler import SchedulerConfig

START = 0.3


class World:
    """Workers that take time. ``how`` maps a chunk to what it does instead of succeeding: crash,
    suicide (SIGKILL itself), hang, or a reaction to answer with."""

    def __init__(self, seed=0, workers=2, seconds=0.04, how=None, kill_gap=0.0, kills=0, **config):
        self.random = random.Random(seed)
        self.shell = Shell(SchedulerConfig(workers=workers, run_id=str(seed), **config))
        self.seconds = seconds
        self.how = how or {}
        self.kill_gap, self.kills = kill_gap, kills
        self.crashes = Counter()
        self.order = []
        self.served = Counter()
        self._heap = []
        self._serial = 0
        self._token = {}
        self._seen_starts = 0
        self.sent = 0

    def _at(self, delay, what, *args):
        self._serial += 1
        heapq.heappush(self._heap, (self.shell.now + delay, self._serial, what, args))

    def run(self, units, until=20_000.0):
        shell = self.shell
        self._rest = list(units)
        self._refill(256)
        self._at(0.2, self._tick)
        if self.kills:
            self._at(self.random.expovariate(1 / self.kill_gap), self._kill)
        while shell.finish is None:
            at, _, what, args = heapq.heappop(self._heap)
            shell.now = max(shell.now, at)
            assert shell.now < until, "no end"
            what(*args)
            self._follow()
        return shell.finish

    def _refill(self, count):
        batch, self._rest = self._rest[:count], self._rest[count:]
        if batch:
            self.sent += len(batch)
            self.shell.offer(*batch)
        else:
            self.shell.exhaust()

    def _follow(self):
        shell = self.shell
        if shell.asked_for and shell.finish is None:
            count, shell.asked_for = shell.asked_for, 0
            self._refill(count)
        for number in range(self._seen_starts + 1, shell.spawned + 1):
            self._at(START, self._ready, number)
        self._seen_starts = shell.spawned
        for number, hand in shell.workers.items():
            if hand.dying or (hand.leaving and not hand.queue):
                self._at(0.01, self._gone, number)
            elif hand.queue and self._token.get(number) is not hand.queue[0]:
                self._token[number] = hand.queue[0]
                self._begin(number, hand.queue[0])

    def _begin(self, number, unit):
        how = self.how.get(unit.ident)
        if how != "hang":
            self._at(self.seconds, self._end, number, unit, how)

    def _end(self, number, unit, how):
        shell = self.shell
        if shell.finish or number not in shell.workers or shell.workers[number].running is not unit:
            return
        if how is None:
            self.served[number] += 1
            self.order.append((unit.ident, number))
            shell.succeed(number, self.seconds)
        elif isinstance(how, Reaction):
            shell.fail(number, failure(how))
        else:
            self.crashes[unit.ident] += 1
            shell.lose(number, "signal", death("SIGKILL" if how == "suicide" else "SIGSEGV"))

    def _ready(self, number):
        if number in self.shell.starting and self.shell.finish is None:
            self.shell.starting.remove(number)
            self.shell.starting.insert(0, number)
            self.shell.up()

    def _gone(self, number):
        hand = self.shell.workers.get(number)
        if hand is not None and self.shell.finish is None:
            self.shell.lose(number, hand.dying or "retired")

    def _tick(self):
        self.shell.tick()
        self._at(0.2, self._tick)

    def _kill(self):
        """Shoot at any worker, be it starting, idle or at work."""
        shell = self.shell
        alive = [*shell.workers, *shell.starting]
        if alive:
            self.kills -= 1
            number = self.random.choice(alive)
            if number in shell.workers:
                shell.lose(number, "signal", death("SIGKILL"))
            else:
                shell.starting.remove(number)
                shell.starting.insert(0, number)
                shell.stillborn("signal", death("SIGKILL"))
        if self.kills:
            self._at(self.random.expovariate(1 / self.kill_gap), self._kill)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("gap", [0.08, 0.12, 0.5])
def test_random_kills_bury_nobody(workers, gap):
    """300 SIGKILLs at random workers of a 300-chunk job: no dead letter, every chunk done."""
    for seed in range(2):
        world = World(seed, workers, kill_gap=gap, kills=300)
        assert world.run(chunks(300)).reason == "complete"
        assert not world.shell.dead
        assert Counter(world.shell.place.values()) == {"done": 300}


def test_kills_at_random_do_not_bury_the_last_unit():
    """One long unit, such as an assembly, may be all that is left: then every kill hits it."""
    for seed in range(8):
        world = World(seed, 2, seconds=1.0, kill_gap=0.12, kills=300)
        assert world.run(chunks(1)).reason == "complete"
        assert not world.shell.dead


def test_one_crash_in_300():
    """One chunk that segfaults among 300, 8 workers: that one is dead after two crashes."""
    world = World(workers=8, how={150: "crash"})
    assert world.run(chunks(300)).reason == "complete"
    assert [key[1] for key in world.shell.dead] == [150]
    assert world.crashes == {150: 2}


#: What a bad chunk does, where the ten lie, and the workers: each two of them occur together.
NEIGHBOURS = [
    (how, first, 1 + (nth + place) % 2)
    for nth, how in enumerate(["crash", "suicide", "hang", Reaction.UNKNOWN, Reaction.RESOURCE])
    for place, first in enumerate([0, 145, 290])
]


@pytest.mark.parametrize(("how", "first", "workers"), NEIGHBOURS)
def test_ten_bad_neighbours(how, first, workers):
    """Ten bad chunks side by side, wherever they lie: ten dead letters, and the run completes."""
    bad = range(first, first + 10)
    world = World(workers=workers, how=dict.fromkeys(bad, how), chunk_timeout=5.0)
    assert world.run(chunks(300)).reason == "complete"
    assert sorted(key[1] for key in world.shell.dead) == list(bad)
    if how == "suicide":
        # One try in half a second at most, for ten minutes; the ten take turns in the lane.
        assert max(world.crashes.values()) <= 1200
    else:
        assert max(world.crashes.values(), default=0) <= 2


def test_poison_amid_random_kills():
    """10 poison chunks and random kills together: the 10 are found, and no innocent."""
    for seed in range(5):
        bad = random.Random(seed).sample(range(300), 10)
        world = World(seed, 2, how=dict.fromkeys(bad, "crash"), kill_gap=0.3, kills=100)
        assert world.run(chunks(300)).reason == "complete"
        assert sorted(key[1] for key in world.shell.dead) == sorted(bad)


@pytest.mark.parametrize("how", ["crash", Reaction.TRANSIENT, Reaction.UNKNOWN, Reaction.RESOURCE])
def test_everything_fails(how):
    """Where every chunk fails the run stops as systemic after 20, far from trying all."""
    world = World(how=dict.fromkeys(range(10_000), how), backoff_cap=1.0)
    finish = world.run(chunks(10_000))
    assert finish.reason == "systemic"
    assert finish.failure is not None
    assert "breaker" in world.shell.suspended
    assert 20 <= len(world.shell.dead) <= 25
    assert world.sent < 1000


def test_outage_midway():
    """An outage in the middle of a long run stops it; the retry budget bounds the load."""
    world = World(seconds=0.01, how=dict.fromkeys(range(3000, 10_000), Reaction.TRANSIENT))
    assert world.run(chunks(10_000)).reason == "systemic"
    decided = (decision for out in world.shell.decisions for decision in out)
    assert sum(isinstance(decision, u.Retry) for decision in decided) <= 101
    # Those that convict, and what both workers hold by then.
    assert len(world.shell.dead) <= 20 + 2 * QUEUED_SECONDS / world.seconds


def test_invalid_input_is_no_outage():
    """A thousand invalid inputs are a thousand dead letters, not an outage."""
    world = World(how=dict.fromkeys(range(1000), Reaction.PERMANENT))
    assert world.run(chunks(1000)).reason == "complete"
    assert len(world.shell.dead) == 1000


def test_many_poisoned_at_the_end():
    """Suspects are judged last, in a row: that alone is no systemic failure."""
    world = World(workers=2, how=dict.fromkeys(range(275, 300), "crash"))
    assert world.run(chunks(300)).reason == "complete"
    assert len(world.shell.dead) == 25


def test_struck_units_and_the_rest_take_turns():
    """With one worker, the lane and the other units take turns; neither waits for the last of the
    other."""
    struck = [chunk(ident, strikes=1) for ident in range(20)]
    world = World(workers=1)
    assert world.run([*struck, *chunks(320, first=100)]).reason == "complete"
    lane = [place for place, (ident, _) in enumerate(world.order) if ident < 100]
    gaps = [after - before for before, after in pairwise(lane)]
    assert len(lane) == 20
    assert lane[0] <= 1
    assert max(gaps[:16]) <= 18
    assert min(gaps[:16]) >= 2


def test_lane_leaves_the_others_working():
    """With two workers, the lane has one and the other goes on without a pause."""
    struck = [chunk(ident, strikes=1) for ident in range(10)]
    world = World(workers=2)
    assert world.run([*struck, *chunks(300, first=100)]).reason == "complete"
    # A lane unit takes a start and 40 ms; the other worker does about 8 chunks in that time.
    lane = [place for place, (ident, _) in enumerate(world.order) if ident < 100]
    assert lane[-1] < 150
    assert max(after - before for before, after in pairwise(lane)) >= 5


def test_each_suspect_has_a_worker_of_its_own():
    """A worker that served the lane serves nothing else."""
    struck = [chunk(ident, strikes=1) for ident in range(10)]
    world = World(workers=2)
    world.run([*struck, *chunks(50, first=100)])
    lane = {number for ident, number in world.order if ident < 100}
    assert len(lane) == 10
    assert all(world.served[number] == 1 for number in lane)


def test_strikes_alone_never_convict():
    """Units that many engine deaths have struck are done like any other if they do no harm."""
    world = World()
    assert world.run([chunk(ident, strikes=50) for ident in range(10)]).reason == "complete"
    assert not world.shell.dead


def test_storms_replay():
    """A storm replayed from its events is decided in the same way."""
    world = World(5, 2, how={7: "crash", 8: Reaction.TRANSIENT}, kill_gap=0.1, kills=50)
    world.run(chunks(100))
    world.shell.replay()
