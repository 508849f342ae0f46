"""A store of S3's protocol on loopback, by moto, that can be told to fail, and what lies in it."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import botocore.loaders
import botocore.session
import moto.s3.models
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BUCKET = "outputs"
#: Credentials of jobs, by variables; they may stand in nothing that a run writes.
ENVIRONMENT = {"STORE_KEY": "canarykey7531", "STORE_SECRET": "canary-secret-0f6b1e"}


@dataclass
class Store:
    """A bucket; ``client`` sees it as its owner does.

    ``fault`` is asked at each request, by method, key and query: a status to answer in its place,
    or 0. ``seen`` has the requests, methods with what is asked for: ``PUT a.tif?partNumber=1``.
    """

    fault: Callable[[str, str, str], int] = lambda method, key, query: 0
    seen: list[str] = field(default_factory=list)
    port: int = 0
    client: Any = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def section(self) -> dict[str, Any]:
        """The section ``[storage]`` of a job."""
        table = {"endpoint": self.endpoint, "region": "us-east-1", "timeout": 20.0}
        secrets = {"access_key": "env:STORE_KEY", "secret_key": "env:STORE_SECRET"}
        return {"stores": {f"s3://{BUCKET}": table | secrets}}

    def names(self, prefix: str = "") -> list[str]:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
        return [one["Key"] for one in listed]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def put(self, key: str, data: bytes, **values: Any) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data, **values)

    def about(self, key: str) -> Mapping[str, str]:
        return self.client.head_object(Bucket=BUCKET, Key=key)["Metadata"]

    def unfinished(self) -> list[str]:
        listed = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        return [one["Key"] for one in listed]

    def digests(self, prefix: str) -> dict[str, str]:
        keys = self.names(prefix)
        return {
            key.removeprefix(prefix): hashlib.sha256(self.read(key)).hexdigest() for key in keys
        }

    def empty(self) -> None:
        self.fault = lambda method, key, query: 0
        for key in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=key)
        for one in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
            named = {"Key": one["Key"], "UploadId": one["UploadId"]}
            self.client.abort_multipart_upload(Bucket=BUCKET, **named)
        self.seen.clear()


# Clients share what botocore reads of S3's protocol: each one, of a run, would read it anew, and take
# longer for that than for all its requests.
botocore.session.create_loader = cache(botocore.loaders.create_loader)


class _Quiet(MotoRequestHandler):
    def log(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def stored() -> Iterator[Store]:
    """Serve an empty bucket on a free port of loopback."""
    inner, store = DomainDispatcherApplication(create_backend_app), Store()

    def answer(environ: dict[str, Any], start: Any) -> Any:
        method, query = environ["REQUEST_METHOD"], environ["QUERY_STRING"]
        key = unquote(environ["PATH_INFO"]).removeprefix(f"/{BUCKET}").lstrip("/")
        store.seen.append(f"{method} {key}?{query}")
        status = store.fault(method, key, query)
        if not status:
            return inner(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = b"<Error><Code>Failing</Code></Error>"
        start(f"{status} Failing", [("Content-Length", str(len(body)))])
        return [b"" if method == "HEAD" else body]

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        store.port = server.server_port
        store.client = botocore.session.get_session().create_client(
            "s3", region_name="us-east-1", endpoint_url=store.endpoint,
            aws_access_key_id="owner", aws_secret_access_key="owner",  # noqa: S106
        )  # fmt: skip
        moto.s3.models.S3_UPLOAD_PART_MIN_SIZE = 1  # S3 takes none below 5 MiB, but for the last
        store.client.create_bucket(Bucket=BUCKET)
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
