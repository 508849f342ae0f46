"""A server of objects on loopback, with ETags and ranges, that can be told to behave badly."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_TIME = formatdate(1_780_000_000, usegmt=True)


@dataclass
class Objects:
    """The objects of a server, by path.

    ``fault`` is asked at each request, by method, path and the number of the request (from 0), and
    names what to do wrong, or "" for nothing: a status ("503"), or one of the words in ``_part``.
    ``rate``: bytes a second of a connection; 0: any. ``retry_after``: what a status tells. ``most``:
    requests that were answered at once; ``times``: when each came.
    """

    data: dict[str, bytes] = field(default_factory=dict)
    fault: Callable[[str, str, int], str] = lambda method, path, number: ""
    latency: float = 0.0
    rate: float = 0.0
    retry_after: str = ""
    etags: bool = True
    page: int = 1000
    signature: str = ""
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    scheme: str = "http"
    port: int = 0
    now: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _tags: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    _server: _Server | None = None
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def replace_at(self, number: int, path: str, data: bytes) -> None:
        """Have another object at ``path`` from the request ``number`` on."""

        def replaced(method: str, asked: str, request: int) -> str:
            if request == number:
                self.data[path] = data
            return ""

        self.fault = replaced

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{path}"

    def etag(self, path: str) -> str:
        data = self.data[path]
        known, tag = self._tags.get(path, (None, ""))
        if known is not data:  # hashing megabytes for each request would starve who asks
            tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
            self._tags[path] = data, tag
        return tag

    def come(self) -> None:
        """Listen, on the port of before if there was one."""
        handler = type("Handler", (_Handler,), {"objects": self})
        server = self._server = _Server(("127.0.0.1", self.port), handler)
        if self.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_port
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def go(self) -> None:
        """Listen no more, and break all connections."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        self._thread.join()
        server.server_close()
        for connection in tuple(server.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: Objects
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        objects = self.objects
        with objects.lock:
            objects.now += 1
            objects.most = max(objects.most, objects.now)
        try:
            self._answer(objects)
        finally:
            with objects.lock:
                objects.now -= 1

    def _answer(self, objects: Objects) -> None:
        path, _, query = self.path.partition("?")
        path = unquote(path).lstrip("/")
        with objects.lock:
            number = len(objects.seen)
            objects.seen.append((self.command, path, self.headers.get("Range", "")))
            objects.times.append(time.monotonic())
            objects.queries.append(query)
        time.sleep(objects.latency)
        fault = objects.fault(self.command, path, number)
        if not fault and "list-type=2" in query:
            self._list(path, {name: values[0] for name, values in parse_qs(query).items()})
        elif fault.isdecimal():
            after = {"Retry-After": objects.retry_after} if objects.retry_after else {}
            self._say(int(fault), b"an answer of the server", after)
        elif objects.signature and f"sig={objects.signature}" not in query:
            self._say(403, b"sign it")
        elif path not in objects.data:
            self._say(404, b"no such object")
        else:
            self._object(path, fault)

    def _list(self, bucket: str, asked: dict[str, str]) -> None:
        """Answer as S3 lists a bucket, ``page`` keys at a time."""
        root = f"{bucket.rstrip('/')}/"
        keys = sorted(
            name.removeprefix(root) for name in self.objects.data if name.startswith(root)
        )
        keys = [key for key in keys if key.startswith(asked.get("prefix", ""))]
        since = int(asked.get("continuation-token", "0"))
        listed = keys[since : since + self.objects.page]
        more = since + len(listed) < len(keys)
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-05-28T00:00:00.000Z"
            f"</LastModified><ETag>&quot;x&quot;</ETag><Size>1</Size></Contents>"
            for key in listed
        )
        token = f"<NextContinuationToken>{since + len(listed)}</NextContinuationToken>"
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>'
            f"{str(more).lower()}</IsTruncated>{token if more else ''}{contents}</ListBucketResult>"
        )
        self._say(200, body.encode(), {"Content-Type": "application/xml"})

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send(body)

    def _object(self, path: str, fault: str) -> None:
        objects = self.objects
        data, headers = objects.data[path], {"Last-Modified": _TIME}
        if objects.etags:
            headers["ETag"] = '"other"' if fault == "other" else objects.etag(path)
        wanted = self.headers.get("If-Match")
        if wanted and wanted != headers.get("ETag") and fault != "other":
            self._say(412, b"")
            return
        if fault == "html":
            self._say(200, b"<!DOCTYPE html><html>log in</html>", headers)
            return
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if found is None or fault == "whole":
            self._say(200, data, headers | {"Accept-Ranges": "none"})
            return
        start, end = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
        if start >= len(data):
            self._say(416, b"")
            return
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._part(data[start:end], headers, fault)

    def _part(self, body: bytes, headers: dict[str, str], fault: str) -> None:
        sent = {"short": body[:-3], "shifted": body[:1] + body[:-1]}.get(fault, body)
        self.send_response(206)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent) + 7 * (fault == "long")))
        self.end_headers()
        if fault == "reset":
            self.wfile.write(sent[: len(sent) // 2])
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
        elif fault == "stall":
            with contextlib.suppress(OSError):
                for at in range(len(sent)):
                    self.wfile.write(sent[at : at + 1])
                    time.sleep(0.05)
        else:
            self._send(sent)
            self.close_connection = fault == "long"

    def _send(self, body: bytes) -> None:
        """Write a body no faster than a connection may."""
        rate, began = self.objects.rate, time.monotonic()
        step = 1 << 18 if rate else max(len(body), 1)
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            if rate:
                time.sleep(max(began + min(at + step, len(body)) / rate - time.monotonic(), 0.0))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)


@contextlib.contextmanager
def served(*, tls: bool = False, port: int = 0, **data: bytes) -> Iterator[Objects]:
    """Serve objects, by names, on a free port of loopback; with ``tls`` by a certificate that
    nobody trusts, whose key is no secret."""
    objects = Objects(dict(data), scheme="https" if tls else "http", port=port)
    objects.come()
    try:
        yield objects
    finally:
        objects.go()
