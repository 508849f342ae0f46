"""Memory is admitted a node, not only in all."""

from __future__ import annotations

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig

MIB = 1 << 20
#: Two nodes of two workers; a worker takes 10 MiB before any work.
NODES = {"a": 100 * MIB, "b": 100 * MIB}
HOMES = {1: "a", 2: "a", 3: "b", 4: "b"}


class Play:
    """A scheduler with the workers of two nodes."""

    def __init__(self, *sizes: int, nodes=NODES, homes=HOMES) -> None:
        config = SchedulerConfig(
            workers=4, run_id="test", budget_bytes=sum(nodes.values()), worker_baseline=10 * MIB
        )
        self.scheduler = Scheduler(config)
        self.at: dict[int, list[int]] = {}
        units = (u.Unit(u.Kind.CHUNK, n, bytes=size * MIB) for n, size in enumerate(sizes, 1))
        self.send(u.Resized(4, sum(nodes.values()), 0, nodes))
        self.send(u.Offered(tuple(units)))
        for worker, node in homes.items():
            self.send(u.WorkerUp(worker, node=node))

    def send(self, event: u.Event) -> None:
        for decision in self.scheduler.handle(event, 1.0):
            if isinstance(decision, u.Dispatch):
                self.at.setdefault(decision.worker, []).append(decision.unit.ident)

    def on(self, node: str) -> list[int]:
        return sorted(
            unit
            for worker, home in HOMES.items()
            if home == node
            for unit in self.at.get(worker, ())
        )

    def done(self, worker: int) -> None:
        self.send(u.Succeeded(worker, (u.Kind.CHUNK, self.at[worker].pop(0)), 1.0, 0))


def test_a_unit_goes_where_it_fits():
    """Two large ones to two nodes, though the sum would have room for both on one; the third waits
    for one of them, and what comes behind it too, or it might starve."""
    play = Play(50, 50, 50, 5)
    assert (len(play.on("a")), len(play.on("b"))) == (1, 1)
    (worker,) = (worker for worker, units in play.at.items() if 1 in units)
    play.done(worker)
    assert sorted(play.on("a") + play.on("b")) == [2, 3, 4]
    assert all(len([n for n in play.on(node) if n != 4]) == 1 for node in NODES)


def test_one_that_fits_nowhere_runs_alone_on_its_node():
    """It never would otherwise; the other node works on."""
    play = Play(120, 20, 20)
    home = "a" if 1 in play.on("a") else "b"
    assert play.on(home) == [1]
    assert 2 in play.on("b" if home == "a" else "a")


def test_what_a_lost_worker_had_is_free_again():
    """And a node that is gone limits nobody."""
    play = Play(60, 60, 60)
    assert len(play.at) == 2
    (worker,) = (worker for worker, units in play.at.items() if 1 in units)
    home = HOMES[worker]
    play.at.pop(worker)
    play.send(u.WorkerLost(worker, None, "retired", None))
    assert sorted(play.on("a") + play.on("b")) in ([1, 2], [2, 3])
    assert len(play.on(home)) == 1


def test_a_cluster_that_grows_gets_a_deeper_queue():
    """Leases are made from what is queued."""
    asked = []
    for workers in (4, 40):
        config = SchedulerConfig(workers=4, run_id="test", refill_low=16, refill_high=64)
        scheduler = Scheduler(config)
        found = scheduler.handle(u.Resized(workers, 0, 0), 1.0) + scheduler.handle(u.Tick(), 1.0)
        asked += [decision.count for decision in found if isinstance(decision, u.Refill)][:1]
    assert len(asked) == 2
    assert asked[1] > 5 * asked[0]


def test_on_one_machine_there_are_no_nodes():
    """The budget of all is the limit, as ever."""
    play = Play(50, 50, 50, nodes={"": 200 * MIB}, homes={1: "", 2: "", 3: "", 4: ""})
    assert sum(map(len, play.at.values())) == 3
