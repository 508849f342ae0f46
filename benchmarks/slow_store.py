"""A server of files behind a slow network, on loopback, that costs its machine little.

Each request waits for its latency, each connection sends no faster than its rate; one thread serves
all. It gives ETags, ranges, and 404; it obeys ``If-Match``. Its requests are counted by what was
asked for. Run as a program, it tells its root on stdout, and for each line of stdin what came since
the last, as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import mmap
import re
import resource
import sys
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote

_RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d*)", re.IGNORECASE)
_MATCH = re.compile(rb'\r\nif-match: ("[0-9a-f]+")', re.IGNORECASE)
_TIME = formatdate(1_780_000_000, usegmt=True)
#: Bytes that are sent at a time, where the rate is limited.
STEP = 1 << 18


@dataclass(slots=True)
class SlowStore:
    """The files of a directory, or one file, by their names; and what was asked for."""

    files: dict[str, tuple[mmap.mmap, str]]
    latency: float
    rate: float
    seen: list[tuple[float, str, str, int, int]] = field(default_factory=list)
    now: int = 0
    most: int = 0
    connections: int = 0

    @classmethod
    def of(cls, place: Path, latency: float, rate: float) -> SlowStore:
        found = {}
        for path in sorted(place.glob("*.tif")) if place.is_dir() else [place]:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            found[path.name] = data, f'"{tag}"'
        return cls(found, latency, rate)

    def answer(self, head: bytes) -> tuple[bytes, memoryview]:
        """Return the head and the body of the answer to a request."""
        method, target, _ = head.split(b" ", 2)
        name = unquote(target.decode()).lstrip("/")
        data, tag = self.files.get(name, (None, ""))
        found, wanted = _RANGE.search(head), _MATCH.search(head)
        body, status, more = memoryview(b""), "404 Not Found", ""
        if data is not None:
            size, status = len(data), "200 OK"
            first, last = 0, size - 1
            more = f"ETag: {tag}\r\nLast-Modified: {_TIME}\r\nAccept-Ranges: bytes\r\n"
            if wanted is not None and wanted[1].decode() != tag:
                status, more = "412 Precondition Failed", ""
            elif found is not None and int(found[1]) >= size:
                status = "416 Range Not Satisfiable"
            else:
                if found is not None:
                    first, last = int(found[1]), min(int(found[2] or last), last)
                    status = "206 Partial Content"
                    more += f"Content-Range: bytes {first}-{last}/{size}\r\n"
                body = memoryview(data)[first : last + 1]
        length = len(body)
        if method == b"HEAD":
            body = memoryview(b"")
        span = f"{found[1].decode()}-{found[2].decode()}" if found else ""
        self.seen.append((time.monotonic(), name, f"{method.decode()} {span}", len(body), self.now))
        return f"HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n".encode(), body

    def told(self) -> dict[str, object]:
        """Return what was asked for since the last call."""
        seen, self.seen = self.seen, []
        used = resource.getrusage(resource.RUSAGE_SELF)
        told = {
            "requests": len(seen),
            "bytes": sum(one[3] for one in seen),
            "cpu": used.ru_utime + used.ru_stime,
            "most": self.most,
            "connections": self.connections,
            "seen": seen,
        }
        self.most = self.connections = 0
        return told


class _Connection(asyncio.Protocol):
    """One connection: its requests are answered in turn."""

    def __init__(self, store: SlowStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._read = b""
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._store.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._busy:
            self._store.now -= 1

    def data_received(self, data: bytes) -> None:
        self._read += data
        self._next()

    def _next(self) -> None:
        if self._busy or self._transport is None:
            return
        head, mark, rest = self._read.partition(b"\r\n\r\n")
        if not mark:
            return
        self._read, self._busy = rest, True
        store = self._store
        store.now += 1
        store.most = max(store.most, store.now)
        self._loop.call_later(store.latency, self._begin, *store.answer(head))

    def _begin(self, head: bytes, body: memoryview) -> None:
        if self._transport is not None:
            self._transport.write(head)
            self._send(body, 0, self._loop.time())

    def _send(self, body: memoryview, at: int, began: float) -> None:
        if self._transport is None:
            return
        if at < len(body):
            end = min(at + STEP, len(body)) if self._store.rate else len(body)
            self._transport.write(body[at:end])
            due = began + (end / self._store.rate if self._store.rate else 0.0)
            self._loop.call_at(due, self._send, body, end, began)
            return
        self._busy = False
        self._store.now -= 1
        self._next()


async def serve(store: SlowStore) -> None:
    """Serve a store on loopback, and tell its root, until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(store), "127.0.0.1", 0, backlog=512)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)

    def tell() -> None:
        for _ in sys.stdin:
            print(json.dumps(store.told()), flush=True)
        loop.call_soon_threadsafe(server.close)

    threading.Thread(target=tell, daemon=True).start()
    async with server:
        await server.wait_closed()


if __name__ == "__main__":
    place, latency, rate = sys.argv[1:]
    asyncio.run(serve(SlowStore.of(Path(place), float(latency), float(rate))))
