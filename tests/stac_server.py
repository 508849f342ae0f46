"""A STAC API on loopback, and items as catalogues of imagery write them."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def item(name: str, **assets: str) -> dict[str, Any]:
    """An item with the hrefs of its assets."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": "relief",
        "geometry": {"type": "Point", "coordinates": [7.2, 46.9]},
        "bbox": [7.2, 46.9, 7.2, 46.9],
        "properties": {
            "datetime": "2024-05-06T10:20:30Z",
            "eo:cloud_cover": 12.5,
            "platform": "sentinel-2b",
            "proj:shape": [120, 100],
        },
        "links": [],
        "assets": {
            key: {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"]}
            for key, href in assets.items()
        },
    }


def collection(items: list[dict[str, Any]]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": items})


@dataclass
class Api:
    """Answers searches with ``items``, ``page`` at a time; ``answer`` may say something else, as
    status and body, by the number of the request from 0."""

    items: list[dict[str, Any]] = field(default_factory=list)
    page: int = 2
    methods: tuple[str, ...] = ("POST", "GET")
    answer: Callable[[int], tuple[int, bytes, dict[str, str]] | None] = lambda number: None
    asked: list[tuple[str, str, dict[str, Any], str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def found(self, start: int, body: dict[str, Any], method: str) -> dict[str, Any]:
        chosen = self.items[start : start + self.page]
        links: list[dict[str, Any]] = []
        if start + self.page < len(self.items):
            href = f"{self.url}/search"
            if method == "POST":
                token = {"token": str(start + self.page)}
                links = [
                    {"rel": "next", "href": href, "method": "POST", "body": token, "merge": True}
                ]
            else:
                links = [{"rel": "next", "href": f"{href}?token={start + self.page}"}]
        return {"type": "FeatureCollection", "features": chosen, "links": links}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, body: dict[str, Any]) -> None:
        api = self.api
        number = len(api.asked)
        api.asked.append((self.command, self.path, body, self.headers.get("Authorization", "")))
        told = api.answer(number)
        if told is None and self.command not in api.methods:
            told = (405, b"no", {})
        if told is None:
            _, _, query = self.path.partition("token=")
            start = int(body.get("token", query.partition("&")[0] or 0))
            told = (200, json.dumps(api.found(start, body, self.command)).encode(), {})
        status, data, headers = told
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._answer(json.loads(self.rfile.read(length)))


@contextlib.contextmanager
def searched(items: list[dict[str, Any]]) -> Iterator[Api]:
    """Serve a STAC API on loopback."""
    api = Api(items)
    handler = type("Handler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
