"""Measures a run over very many small objects below one prefix: the time to the first chunk, and
the engine's memory.

Usage: ``uv run --group bench python benchmarks/many_objects.py [--seconds 30] [COUNT ...]``

For each COUNT (100,000 without any) a server on loopback, a process of its own, has a bucket with
as many GeoTIFFs of 32x32 bytes, each of its own place and pixels; it makes each when it is asked
for, lists them a thousand at a time, and answers each request after 30 ms. A job converts all of
them, each to a file of its own. Printed are the seconds to the end of the plan and to the first
chunk, the requests until then, and the memory of the engine: at the first chunk, and the most until
the run is interrupted, ``--seconds`` later.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from jobs import write_job
from many_sources import Frame, Square, Watcher
from measure import MB, geobatch, table
from slow_store import SlowStore, serve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LATENCY = 0.030
BUCKET, PREFIX = "scenes", "many/"
#: Objects in an answer to a question for a list.
PAGE = 1000
_AFTER = re.compile(rb"continuation-token=(\d+)")
_TIME = "2026-05-28T20:26:40.000Z"
#: What a run ends with that was interrupted.
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of the bucket by their paths; none is kept."""

    frame: Frame

    def get(self, name: str, default: tuple[Any, str]) -> tuple[Any, str]:
        """Return an object and its ETag, or ``default``."""
        stem = name.rpartition("/")[2].removesuffix(".tif")
        if not stem.isdigit() or int(stem) >= self.frame.square.count:
            return default
        return self.frame.file(int(stem)), f'"{int(stem):032x}"'

    def page(self, first: int) -> str:
        """Return the part of the list that begins with a number (S3's ListObjectsV2)."""
        end = min(first + PAGE, self.frame.square.count)
        more = end < self.frame.square.count
        size = len(self.frame.content)
        listed = "".join(
            f"<Contents><Key>{PREFIX}{number:07}.tif</Key><LastModified>{_TIME}</LastModified>"
            f'<ETag>"{number:032x}"</ETag><Size>{size}</Size></Contents>'
            for number in range(first, end)
        )
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        return (
            f'<?xml version="1.0"?><ListBucketResult><Name>{BUCKET}</Name><Prefix>{PREFIX}</Prefix>'
            f"<KeyCount>{end - first}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{listed}</ListBucketResult>"
        )


class Bucket(SlowStore):
    """A store whose objects can be listed."""

    def answer(self, head: bytes) -> tuple[bytes, memoryview]:
        """Return the head and the body of the answer to a request."""
        target = head.split(b" ", 2)[1]
        if b"list-type=2" not in target or not isinstance(self.files, Objects):
            return super().answer(head)
        after = _AFTER.search(target)
        body = self.files.page(int(after[1]) if after else 0).encode()
        self.seen.append((time.monotonic(), "", "LIST", len(body), self.now))
        kind = "Content-Type: application/xml\r\n"
        return f"HTTP/1.1 200 OK\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode(), memoryview(
            body
        )


class First:
    """Waits for the first chunk of a run."""

    def __init__(self, log: Path, process: subprocess.Popen[str]) -> None:
        self._log, self._process = log, process

    def moments(self) -> Mapping[str, float]:
        """Return the UNIX time of the first of each event; ends the program if the run ends."""
        while True:
            found: dict[str, float] = {}
            for line in self._log.read_text().splitlines() if self._log.exists() else ():
                entry = json.loads(line)
                when = datetime.fromisoformat(entry["time"]).timestamp()
                found.setdefault(entry["event"], when)
            if "chunk.done" in found:
                return found
            if self._process.poll() is not None:
                raise SystemExit("the run ended before its first chunk")
            time.sleep(0.5)


def measured(count: int, seconds: float) -> dict[str, float | int]:
    """Run a job over ``count`` objects until ``seconds`` after its first chunk; return figures."""
    words = [sys.executable, __file__, "--serve", str(count)]
    with (
        tempfile.TemporaryDirectory() as temporary,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            return _measured(count, seconds, Path(temporary), server)
        finally:
            server.kill()


def _measured(
    count: int, seconds: float, scratch: Path, server: subprocess.Popen[str]
) -> dict[str, float | int]:
    if server.stdin is None or server.stdout is None:
        raise SystemExit("the server has no pipes")
    store = {"endpoint": server.stdout.readline().strip(), "region": "us-east-1", "anonymous": True}
    out = scratch / "out"
    op = {"name": "raster.convert"}
    tables = {"storage": {f"s3://{BUCKET}": store}}
    job = write_job(scratch / "job.toml", [Path("INPUT")], out, op, **tables)
    # A path has no double slash.
    job.write_text(job.read_text().replace(str(Path("INPUT")), f"s3://{BUCKET}/{PREFIX}"))
    began = time.time()
    command = geobatch("run", str(job), "--headless", "--json")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        watcher = Watcher(run.pid)
        thread = threading.Thread(target=watcher.watch, daemon=True)
        thread.start()
        moments = First(out / ".geobatch" / "log.jsonl", run).moments()
        server.stdin.write("\n")
        server.stdin.flush()
        traffic = json.loads(server.stdout.readline())
        then = psutil.Process(run.pid).memory_info().rss
        time.sleep(seconds)
        run.send_signal(signal.SIGINT)
        told, _ = run.communicate()
        watcher.stop()
        thread.join()
    if run.returncode not in (0, INTERRUPTED):
        raise SystemExit(f"exit {run.returncode}: {told[-2000:]}")
    done = json.loads(told)["counts"]["done"]
    return {
        "objects": count,
        "planned s": moments["plan.done"] - began,
        "first chunk s": moments["chunk.done"] - began,
        "requests": traffic["requests"],
        "at once": traffic["most"],
        "engine MB then": round(then / MB),
        "at most": round(watcher.most(watcher.rss, engine=True) / MB),
        "CPU s": sum(watcher.cpu.values()),
        "chunks done": done,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure each number of objects."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("counts", nargs="*", type=int, metavar="COUNT", default=[100_000])
    parser.add_argument("--seconds", type=float, default=30, help="to go on after the first chunk")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.serve:
        files: Any = Objects(Frame.made(Square(given.serve)))
        asyncio.run(serve(Bucket(files, LATENCY, 0.0)))
        return
    for count in given.counts:
        print(table([measured(count, given.seconds)]), flush=True)


if __name__ == "__main__":
    main()
