"""Weighs the engine on a cluster that no machine here holds: nodes are played in its own process.

Usage: ``uv run python benchmarks/cluster_scale.py [--nodes 1000] [--processes 16]
[--chunks 1000000] [--seconds 1.0]``

The whole engine runs, with its ledger and log, and its pool for clusters; of Dask only the client
is played: it takes leases as they are pickled, and answers as nodes do, in batches, after the time
that the chunks would take. Printed are the chunks decided and committed a second, the CPU of the
engine without that of the play, its memory at half and at the end, the size of the ledger, the
seconds to the first chunk, and by how much the loop was late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from measure import MB, table
from noop import OPS, rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from geobatch_tui.orchestration.cluster.cluster_nodes import Node

GIB = 1 << 30
#: Resident bytes of a worker process.
SIZE = 50 << 20
#: Answers in one event of a node.
BATCH = 64
_WORKER: list[Any] = []


class Lease:
    """A future of Dask."""

    def __init__(self) -> None:
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def exception(self) -> None:
        await self._end

    def release(self) -> None:
        """Forget it."""

    def end(self) -> None:
        if not self._end.done():
            self._end.set_result(None)


class Played:
    """A cluster, its client and its nodes."""

    address = "tcp://127.0.0.1:8786"
    started = None
    lives = True
    id = "engine"

    def __init__(self, nodes: int, processes: int, seconds: float) -> None:
        from geobatch_tui.orchestration.cluster.cluster_nodes import Node

        self.client = self
        self.refused: dict[str, Any] = {}
        self.nodes: dict[str, Node] = {
            f"tcp://{n}": Node(f"n{n}", f"tcp://{n}", f"node {n}", "far", processes, 64 * GIB)
            for n in range(nodes)
        }
        self.slots = nodes * processes
        self.cpu = 0.0  # seconds of the play itself
        self._seconds = seconds
        self._names = {node.address: node.name for node in self.nodes.values()}
        self._heard: Callable[[tuple[float, Any]], None]
        self._sent = dict.fromkeys(self._names.values(), 0)
        self._free: dict[int, float] = {}

    def subscribe_topic(self, topic: str, handler: Callable[[tuple[float, Any]], None]) -> None:
        if topic != "all":
            self._heard = handler

    def unsubscribe_topic(self, topic: str) -> None:
        """Nobody listens any more."""

    def reasons(self) -> str:
        return ""

    def summary(self) -> str:
        return f"{len(self.nodes)} played nodes"

    async def scan(self) -> Sequence[Node]:
        return ()

    async def ask(
        self, addresses: Sequence[str], function: Callable[..., object], *arguments: Any
    ) -> dict[str, Any]:
        began = time.thread_time()
        answers: dict[str, Any] = dict.fromkeys(addresses)
        match function.__name__:
            case "enter":
                _, directories, _, word, answer, _ = arguments
                for directory in directories:
                    Path(directory, answer).write_text(word)  # noqa: ASYNC240 - as nodes do
                answers = dict.fromkeys(addresses, "")
            case "beat":
                said = {"rss": {}, "taken": 0, "compiling": [], "cpu": 0.0}
                answers = dict.fromkeys(addresses, said)
            case "start":
                for address in addresses:
                    up = [("up", number, 0, packed(SIZE)) for number in arguments[1]]
                    asyncio.get_running_loop().call_soon(self._tell, self._names[address], up)
        self.cpu += time.thread_time() - began
        return answers

    def submit(self, function: object, *arguments: Any, **options: Any) -> Lease:
        del function
        began = time.thread_time()
        _, number, _, _, idents, frame = arguments
        lease = Lease()
        done = answered(idents, frame, self._seconds)
        answers = [("answer", number, ident, body) for ident, body in done]
        loop = asyncio.get_running_loop()
        start = max(self._free.get(number, 0.0), loop.time())
        end = self._free[number] = start + self._seconds * len(idents)
        loop.call_at(end, self._answer, self._names[options["workers"][0]], answers, lease)
        self.cpu += time.thread_time() - began
        return lease

    def _answer(self, name: str, answers: list[Any], lease: Lease) -> None:
        for start in range(0, len(answers), BATCH):
            self._tell(name, answers[start : start + BATCH])
        lease.end()

    def _tell(self, name: str, entries: list[Any]) -> None:
        self._sent[name] += 1
        self._heard((0.0, {"node": name, "number": self._sent[name], "entries": entries}))


def packed(message: object) -> bytes:
    """Pack a message as a node does."""
    from geobatch_tui.execution.protocol import wire

    return wire.pack(0, message)[wire.HEADER.size :]


def answered(idents: Sequence[int], frame: bytes, seconds: float) -> list[tuple[int, bytes]]:
    """Do tasks in no time; return what a node would send that takes so many seconds for each, in
    worker processes that do not grow."""
    from geobatch_tui.execution.protocol import wire
    from geobatch_tui.execution.runtime.meter import ThreadMeter
    from geobatch_tui.execution.runtime.recorder import Recorder
    from geobatch_tui.execution.worker.tasks import run_task

    ((_, body),) = wire.Frames().feed(frame)
    tasks: Any = wire.unpack(body)
    if not _WORKER:  # one for all: a meter holds files open
        _WORKER.append((Recorder(), ThreadMeter()))
    outcomes = (run_task(task, *_WORKER[0], None) for task in tasks)
    return [
        (ident, packed(replace(outcome, seconds=seconds, rss=SIZE, rss_peak=SIZE)))
        for ident, outcome in zip(idents, outcomes, strict=True)
    ]


async def lag(found: list[float]) -> None:
    """Note by how much the loop is late, ten times a second."""
    while True:
        due = time.monotonic() + 0.1
        await asyncio.sleep(0.1)
        found.append(max(0.0, time.monotonic() - due))


async def run(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run the job and return a line of the table."""
    import geobatch_tui
    from geobatch_tui.config.layers import make_job
    from geobatch_tui.orchestration.run import runner

    source = scratch / "a.txt"
    source.write_text("anything\n")
    values = {
        "source": {"inputs": [str(source)]},
        "op": {"name": "test.noop", "chunks": given.chunks},
        "output": {"dir": str(scratch / "out")},
        "engine": {"executor": "dask", "sandbox": "off"},
        "dask": {"cluster": "tcp://127.0.0.1:8786"},
    }
    played = Played(given.nodes, given.processes, given.seconds)

    @contextlib.asynccontextmanager
    async def joined(*_: object) -> AsyncIterator[Played]:
        yield played

    runner.joined = joined  # type: ignore[assignment]
    half = SimpleNamespace(rss=0.0)
    first: list[float] = []
    began = time.monotonic()

    def observe(snapshot: Any) -> None:
        done = snapshot.counts["done"]
        if done and not first:
            first.append(time.monotonic() - began)
        if not half.rss and done * 2 >= given.chunks:
            half.rss = rss()

    late: list[float] = []
    watch = asyncio.ensure_future(lag(late))
    cpu = time.process_time()
    result = await geobatch_tui.run(make_job(values), observe=observe)
    cpu = time.process_time() - cpu
    watch.cancel()
    if result.counts["done"] != given.chunks:
        raise SystemExit(f"{result.counts} of {given.chunks} chunks")
    late.sort()
    return {
        "processes": played.slots,
        "chunks": given.chunks,
        "chunks/s": round(rate(scratch / "out" / ".geobatch" / "log.jsonl")),
        "first s": round(first[0], 2) if first else "-",
        "wall s": round(time.monotonic() - began, 1),
        "engine CPU s": round(cpu - played.cpu, 1),
        "us/chunk": round(1e6 * (cpu - played.cpu) / given.chunks),
        "RSS half MB": round(half.rss / MB),
        "RSS end MB": round(rss() / MB),
        "ledger MB": round(size_of(scratch / "out" / ".geobatch" / "ledger.db") / MB),
        "late p95 ms": round(1000 * late[int(0.95 * (len(late) - 1))]),
    }


def size_of(path: Path) -> int:
    """Bytes of a file."""
    return path.stat().st_size


def rss() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Play a cluster of the given size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    os.environ |= OPS
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_STATE_HOME"] = str(Path(scratch, "state"))
        print(table([asyncio.run(run(given, Path(scratch)))]), flush=True)


if __name__ == "__main__":
    main()
