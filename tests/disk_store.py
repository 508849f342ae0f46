"""A store of S3's protocol on loopback that keeps its objects on the disk: it may be killed.

Run as a process: ``python disk_store.py DIRECTORY PORT [LATENCY RATE]`` serves the buckets that are
folders of DIRECTORY, after LATENCY seconds a request and with RATE bytes a second a connection, and
prints its port. An object, and a part of an upload, is one file: a line of JSON, then its bytes; it
is written under another name and renamed, so a kill leaves it whole or not there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
import zlib
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_PIECE = 256 * 1024
_ABOUT = "x-amz-meta-"
_CRC = "x-amz-checksum-crc32"


class Kept:
    """The objects and uploads below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, bucket: str, key: str) -> Path:
        return self.root / bucket / "objects" / quote(key, safe="")

    def upload(self, bucket: str, ident: str) -> Path:
        return self.root / bucket / "uploads" / Path(ident).name

    def note(self, line: str) -> None:
        """Add a line to the log of what was sent, and of what was sent again."""
        with (self.root / "log").open("a") as log:
            log.write(f"{line}\n")

    def write(self, path: Path, facts: dict[str, Any], pieces: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent.parent / f".{secrets.token_hex(8)}"
        with part.open("wb") as file:
            file.write(json.dumps(facts).encode() + b"\n")
            for data in pieces:
                file.write(data)
        part.rename(path)

    def facts(self, path: Path) -> dict[str, Any] | None:
        try:
            with path.open("rb") as file:
                line = file.readline()
                size = os.fstat(file.fileno()).st_size - len(line)
                moment = os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        return {**json.loads(line), "skip": len(line), "size": size, "time": moment}

    def read(self, path: Path, skip: int, start: int = 0, end: int | None = None) -> bytes:
        with path.open("rb") as file:
            file.seek(skip + start)
            return file.read() if end is None else file.read(end - start)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    kept: Kept
    latency = rate = 0.0

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        asked = {name: values[0] for name, values in parse_qs(query, True).items()}
        body = self._body()
        time.sleep(self.latency)
        if self.command in {"GET", "HEAD"}:
            self._get(bucket, key, asked)
        elif self.command == "PUT":
            self._put(bucket, key, asked, body)
        elif self.command == "POST":
            self._post(bucket, key, asked, body)
        elif "uploadId" in asked:
            self._forget(self.kept.upload(bucket, asked["uploadId"]))
            self._say(204)
        else:
            self.kept.path(bucket, key).unlink(missing_ok=True)
            self._say(204)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

    def _body(self) -> bytes:
        left, pieces = int(self.headers.get("Content-Length") or 0), []
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        while left:
            data = self.rfile.read(min(left, _PIECE))
            if not data:
                raise ConnectionAbortedError
            pieces.append(data)
            left -= len(data)
            self._slow(len(data))
        return b"".join(pieces)

    def _slow(self, size: int) -> None:
        if self.rate:
            time.sleep(size / self.rate)

    def _say(
        self, status: int, body: bytes = b"", *, length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(body), _PIECE):
            self.wfile.write(body[start : start + _PIECE])
            self._slow(min(_PIECE, len(body) - start))

    def _fail(self, status: int, code: str) -> None:
        self._say(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _xml(self, name: str, body: str) -> None:
        said = f'<?xml version="1.0"?><{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        self._say(200, f"{said}{body}</{name}>".encode(), Content_Type="application/xml")

    # --- reading --------------------------------------------------------------------------------

    def _get(self, bucket: str, key: str, asked: dict[str, str]) -> None:
        if not key and "uploads" in asked:
            self._uploads(bucket, asked)
        elif not key:
            self._list(bucket, asked)
        elif "uploadId" in asked:
            self._parts(self.kept.upload(bucket, asked["uploadId"]))
        else:
            self._object(self.kept.path(bucket, key))

    def _object(self, path: Path) -> None:
        facts = self.kept.facts(path)
        if facts is None:
            return self._fail(404, "NoSuchKey")
        wanted = self.headers.get("If-Match")
        if wanted not in {None, "*", facts["etag"]}:
            return self._fail(412, "PreconditionFailed")
        headers = {f"{_ABOUT}{name}": value for name, value in facts["about"].items()}
        headers |= {"ETag": facts["etag"], "Accept-Ranges": "bytes"}
        headers["Last-Modified"] = formatdate(facts["time"], usegmt=True)
        size, span = facts["size"], self.headers.get("Range", "")
        if self.command == "HEAD":
            return self._say(200, length=size, **headers)
        if not span:
            return self._say(200, self.kept.read(path, facts["skip"]), **headers)
        first, _, last = span.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1, size) if first and last else size
        if start >= size:
            return self._fail(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._say(206, self.kept.read(path, facts["skip"], start, end), **headers)
        return None

    def _list(self, bucket: str, asked: dict[str, str]) -> None:
        prefix, after = asked.get("prefix", ""), asked.get("start-after", "")
        folder = self.kept.root / bucket / "objects"
        keys = sorted(unquote(path.name) for path in folder.iterdir()) if folder.is_dir() else []
        body = "<IsTruncated>false</IsTruncated>"
        for key in keys:
            if not key.startswith(prefix) or key <= after:
                continue
            facts = self.kept.facts(self.kept.path(bucket, key))
            if facts is not None:
                moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(facts["time"]))
                body += f"<Contents><Key>{escape(key)}</Key><Size>{facts['size']}</Size>"
                body += f"<ETag>{escape(facts['etag'])}</ETag>"
                body += f"<LastModified>{moment}</LastModified></Contents>"
        self._xml("ListBucketResult", body)

    def _uploads(self, bucket: str, asked: dict[str, str]) -> None:
        folder = self.kept.root / bucket / "uploads"
        body = "<IsTruncated>false</IsTruncated>"
        for place in sorted(folder.iterdir()) if folder.is_dir() else ():
            facts = self.kept.facts(place / "upload")
            if facts is not None and facts["key"].startswith(asked.get("prefix", "")):
                body += f"<Upload><Key>{escape(facts['key'])}</Key>"
                body += f"<UploadId>{place.name}</UploadId></Upload>"
        self._xml("ListMultipartUploadsResult", body)

    def _parts(self, place: Path) -> None:
        if self.kept.facts(place / "upload") is None:
            return self._fail(404, "NoSuchUpload")
        body = "<IsTruncated>false</IsTruncated>"
        for path in sorted(place.glob("[0-9]*")):
            facts = self.kept.facts(path)
            if facts is not None:
                body += f"<Part><PartNumber>{int(path.name)}</PartNumber>"
                body += f"<ETag>{escape(facts['etag'])}</ETag><Size>{facts['size']}</Size>"
                body += f"<ChecksumCRC32>{facts['crc']}</ChecksumCRC32></Part>"
        self._xml("ListPartsResult", body)
        return None

    # --- writing --------------------------------------------------------------------------------

    def _put(self, bucket: str, key: str, asked: dict[str, str], body: bytes) -> None:
        md5 = hashlib.md5(body, usedforsecurity=False)
        crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        told = self.headers.get("Content-MD5"), self.headers.get(_CRC)
        if told[0] not in {None, base64.b64encode(md5.digest()).decode()} or told[1] not in {
            None, crc,
        }:  # fmt: skip
            return self._fail(400, "BadDigest")
        facts = {"etag": f'"{md5.hexdigest()}"', "about": self._about(), "crc": crc}
        if "uploadId" not in asked:
            path = self.kept.path(bucket, key)
            if self.headers.get("If-None-Match") == "*" and path.exists():
                return self._fail(412, "PreconditionFailed")
            self.kept.write(path, facts, [body])
            return self._say(200, ETag=facts["etag"])
        place = self.kept.upload(bucket, asked["uploadId"])
        if not (place / "upload").exists():
            return self._fail(404, "NoSuchUpload")
        part = place / f"{int(asked['partNumber']):05}"
        if part.exists():
            self.kept.note(f"again {place.name} {part.name}")
        self.kept.write(part, facts, [body])
        self.kept.note(f"part {place.name} {part.name}")
        self._say(200, ETag=f'"{md5.hexdigest()}"', x_amz_checksum_crc32=crc)
        return None

    def _about(self) -> dict[str, str]:
        named = {name.lower(): value for name, value in self.headers.items()}
        return {
            name.removeprefix(_ABOUT): value
            for name, value in named.items()
            if name.startswith(_ABOUT)
        }

    def _post(self, bucket: str, key: str, asked: dict[str, str], body: bytes) -> None:
        if "uploads" in asked:
            ident = secrets.token_hex(12)
            facts = {"key": key, "about": self._about()}
            self.kept.write(self.kept.upload(bucket, ident) / "upload", facts, [])
            return self._xml(
                "InitiateMultipartUploadResult",
                f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{ident}</UploadId>",
            )
        place = self.kept.upload(bucket, asked["uploadId"])
        begun = self.kept.facts(place / "upload")
        if begun is None:
            return self._fail(404, "NoSuchUpload")
        path = self.kept.path(bucket, key)
        if self.headers.get("If-None-Match") == "*" and path.exists():
            return self._fail(412, "PreconditionFailed")
        numbers = [
            int(found.text or 0)
            for found in ET.fromstring(body).iter()  # noqa: S314 - of our own client
            if found.tag.endswith("PartNumber")
        ]
        parts = [place / f"{number:05}" for number in numbers]
        known = [self.kept.facts(part) for part in parts]
        whole = b"".join(bytes.fromhex(one["etag"].strip('"')) for one in known if one)
        tag = f'"{hashlib.md5(whole, usedforsecurity=False).hexdigest()}-{len(parts)}"'
        pieces = (self.kept.read(part, one["skip"]) for part, one in zip(parts, known, strict=True))  # type: ignore[index]
        self.kept.write(path, {"etag": tag, "about": begun["about"]}, pieces)
        self._forget(place)
        self._xml("CompleteMultipartUploadResult", f"<ETag>{escape(tag)}</ETag>")
        return None

    def _forget(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            (place / "upload").unlink()
        for part in place.glob("*"):
            part.unlink(missing_ok=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed."""


def serve(root: Path, port: int, latency: float = 0.0, rate: float = 0.0) -> None:
    """Serve until the process is ended."""
    handler = type("Handler", (_Handler,), {"kept": Kept(root), "latency": latency, "rate": rate})
    server = _Server(("127.0.0.1", port), handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))
