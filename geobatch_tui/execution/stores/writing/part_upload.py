"""Uploads in parts to stores of S3's protocol: begun, resumed, completed or given up by their ids.

Objects are read through ``store_client``, by a library that hides the ids of uploads: what a killed
process had begun could be neither gone on with nor found. ``botocore``, the core of AWS's own
client, gives them, and finds credentials wherever AWS's tools do. It takes 0.5 s of CPU to load,
once in a run that writes to such a store. Clients that are smaller have these requests as private
functions only.

Each part is sent with its MD5 and its CRC-32: the store refuses one that was damaged on its way.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import os
import threading
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import GeobatchError, PreflightError
from geobatch_tui.execution.stores import (
    network_faults,
    request_pool,
    store_client,
    store_settings,
    write_faults,
)
from geobatch_tui.execution.stores.host_traffic import traffic
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.store_client import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.execution.stores.store_settings import StoreSettings

#: Attempts of the client itself at one request.
_ATTEMPTS = 3
#: Variables of a service's URL that the client does not know, and reading does.
#: What a call of botocore gets.
type _Fields = dict[str, Any]
_ENDPOINT = "AWS_ENDPOINT"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_USUAL_REGION = "us-east-1"
_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Sums:
    """Checksums of a part's bytes: ``md5`` in binary, ``crc32`` as the store's protocol has it."""

    md5: bytes
    crc32: str

    @classmethod
    def of(cls, data: bytes) -> Sums:
        crc = zlib.crc32(data).to_bytes(4, "big")
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        return cls(md5, base64.b64encode(crc).decode())


@dataclass(frozen=True, slots=True)
class Part:
    """A part as the store has it: its size, its ETag (the MD5 in most stores), and its CRC-32 where
    the store keeps one."""

    number: int
    size: int
    tag: str
    crc32: str = ""

    def holds(self, size: int, sums: Sums) -> bool:
        """Whether it is known to hold the bytes of these checksums."""
        if self.size != size:
            return False
        return sums.crc32 == self.crc32 if self.crc32 else self.tag.strip('"') == sums.md5.hex()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was begun and neither completed nor given up."""

    key: str
    upload: str


def joined_tag(parts: list[Sums]) -> str:
    """Return the ETag of an object of these parts, in stores whose ETags are MD5s."""
    whole = hashlib.md5(b"".join(part.md5 for part in parts), usedforsecurity=False)
    return f'"{whole.hexdigest()}-{len(parts)}"'


class PartUploads:
    """Uploads to one bucket, and what is there of outputs; used by many threads.

    Outputs are read back by the client that wrote them: it takes every key that names of files
    give, and has the same credentials.
    """

    def __init__(self, root: str, settings: StoreSettings) -> None:
        self._bucket = root.partition("://")[2]
        try:
            with _loading:
                self._client = _client(settings)
        except GeobatchError:
            raise
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            raise write_faults.fault(error, ObjectUrl(root, "")) from None

    def described(self, url: ObjectUrl) -> tuple[Version, Mapping[str, str]] | None:
        """Ask for the version of an object and its metadata; None: there is none."""
        answer = self._ask("head_object", url)
        if answer is _GONE:
            return None
        return _version(answer, int(answer["ContentLength"])), dict(answer.get("Metadata", {}))

    def read_bytes(self, url: ObjectUrl, start: int, end: int, *, wanted: Version) -> bytes:
        """Read the bytes from ``start`` to ``end`` of the version that is ``wanted``. Raises
        SourceChangedError if it is another object, or none."""
        span = f"bytes={start}-{end - 1}"
        try:
            named = {"Bucket": self._bucket, "Key": url.key, "Range": span}
            answer = self._client.get_object(**named, IfMatch=wanted.tag)
            data = bytes(answer["Body"].read())
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            if write_faults.code_of(error) in _OTHER_OBJECT:
                raise network_faults.changed(url) from None
            raise write_faults.fault(error, url) from None
        traffic.count(url.root, got=len(data))
        if str(answer.get("ETag", "")) != wanted.tag:
            raise network_faults.changed(url)
        if len(data) != end - start:
            raise network_faults.cut_short(url, len(data), end - start)
        return data

    def listed(self, prefix: OutputPrefix) -> Iterator[tuple[str, Version]]:
        """Yield the keys below a prefix, and the versions of their objects."""
        url = prefix.url("-")
        token: _Fields = {}
        while True:
            answer = self._ask("list_objects_v2", url, Prefix=prefix.key(""), **token)
            for one in answer.get("Contents", ()):
                yield str(one["Key"]), _version(one, int(one["Size"]))
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": str(answer["NextContinuationToken"])}

    def begin(self, url: ObjectUrl, about: Mapping[str, str]) -> str:
        """Begin an upload, and return its id. ``about`` becomes the object's metadata. One that was
        begun by a request whose answer was lost is given up."""
        values: _Fields = {"Metadata": dict(about)}
        answer = self._ask(
            "create_multipart_upload", url, lacks="ChecksumAlgorithm", ChecksumAlgorithm="CRC32",
            **values,
        )  # fmt: skip
        upload = str(answer["UploadId"])
        if answer["ResponseMetadata"].get("RetryAttempts"):
            self.give_up_lost(url, upload)
        return upload

    def give_up_lost(self, url: ObjectUrl, upload: str) -> None:
        """Give up all uploads to this key but ``upload``. Who may not list them leaves them."""
        with contextlib.suppress(GeobatchError):
            for one in self._under_way(url, url.key):
                if one.key == url.key and one.upload != upload:
                    self.give_up(url, one.upload)

    def sent(self, url: ObjectUrl, upload: str) -> dict[int, Part] | None:
        """Return the parts that the store has, by number; None: it knows no such upload."""
        found: dict[int, Part] = {}
        after = 0
        while True:
            answer = self._ask("list_parts", url, UploadId=upload, PartNumberMarker=after)
            if answer is _GONE:
                return None
            for part in answer.get("Parts", ()):
                number = int(part["PartNumber"])
                found[number] = _part(number, int(part["Size"]), part)
            if not answer.get("IsTruncated"):
                return found
            after = int(answer["NextPartNumberMarker"])

    def send(self, url: ObjectUrl, upload: str, number: int, data: bytes, sums: Sums) -> Part:
        """Send a part. Raises VerifyError where what the store got is not what was sent."""
        answer = self._ask(
            "upload_part",
            url,
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ContentMD5=base64.b64encode(sums.md5).decode(),
            ChecksumCRC32=sums.crc32,
        )
        if answer is _GONE:
            raise write_faults.upload_gone(url)
        return _part(number, len(data), answer)

    def complete(self, url: ObjectUrl, upload: str, parts: list[Part], *, absent: bool) -> bool:
        """Make the object of its parts: from here on its name is there, whole. ``absent``: only if
        there is none of that name. Returns False where the store knows no such upload."""
        named = [
            {"PartNumber": part.number, "ETag": part.tag}
            | ({"ChecksumCRC32": part.crc32} if part.crc32 else {})
            for part in parts
        ]
        condition: _Fields = {"IfNoneMatch": "*"} if absent else {}
        answer = self._ask(
            "complete_multipart_upload",
            url,
            UploadId=upload,
            MultipartUpload={"Parts": named},
            **condition,
        )
        return answer is not _GONE

    def put(self, url: ObjectUrl, data: bytes, about: Mapping[str, str], *, absent: bool) -> None:
        """Write a small object by one request, which is whole or absent; ``absent`` as in
        :meth:`complete`."""
        sums = Sums.of(data)
        condition: _Fields = {"IfNoneMatch": "*"} if absent else {}
        self._ask(
            "put_object",
            url,
            Body=data,
            ContentMD5=base64.b64encode(sums.md5).decode(),
            Metadata=dict(about),
            **condition,
        )

    def give_up(self, url: ObjectUrl, upload: str) -> None:
        """Have the store forget an upload and its parts; if it knows none of that id, it has."""
        self._ask("abort_multipart_upload", url, UploadId=upload)

    def unfinished(self, prefix: OutputPrefix) -> Iterator[Unfinished]:
        """Yield the uploads below a prefix that are under way, whoever began them."""
        return self._under_way(prefix.url("-"), prefix.key(""))

    def _under_way(self, url: ObjectUrl, beginning: str) -> Iterator[Unfinished]:
        """Yield the uploads to keys of this ``beginning``."""
        markers: _Fields = {}
        while True:
            answer = self._ask("list_multipart_uploads", url, Prefix=beginning, **markers)
            for one in answer.get("Uploads", ()):
                yield Unfinished(str(one["Key"]), str(one["UploadId"]))
            if not answer.get("IsTruncated"):
                return
            markers = {
                "KeyMarker": str(answer["NextKeyMarker"]),
                "UploadIdMarker": str(answer["NextUploadIdMarker"]),
            }

    def _ask(self, call: str, url: ObjectUrl, *, lacks: str = "", **values: Any) -> Any:
        """Make a request. ``lacks``: a value that some stores do not know, and are asked without
        then."""
        named = {"Bucket": self._bucket} | ({} if "Prefix" in values else {"Key": url.key})
        try:
            answer = getattr(self._client, call)(**named, **values)
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            code = write_faults.code_of(error)
            if code == "NoSuchUpload" or (code == "404" and call == "head_object"):
                return _GONE
            if lacks and code in _UNKNOWN_VALUE:
                values.pop(lacks)
                return self._ask(call, url, **values)
            raise write_faults.fault(error, url) from None
        traffic.count(url.root, sent=len(values.get("Body", b"")))
        traffic.tried_again(url.root, int(answer["ResponseMetadata"].get("RetryAttempts", 0)))
        return answer


#: In place of an answer: the store knows no such upload, or object.
_GONE: Any = object()
_OTHER_OBJECT = frozenset({"NoSuchKey", "404", "PreconditionFailed", "412", "InvalidRange", "416"})
_UNKNOWN_VALUE = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest"})


def _version(answer: Any, size: int) -> Version:
    return Version(size, store_client.nanoseconds(answer["LastModified"]), str(answer["ETag"]))


def _part(number: int, size: int, answer: Any) -> Part:
    return Part(number, size, str(answer.get("ETag", "")), str(answer.get("ChecksumCRC32", "")))


def uploads_of(root: str) -> PartUploads:
    """Return this process's uploads to a bucket, by the settings that hold here."""
    return _uploads(root, store_settings.current().of(root))


@lru_cache(maxsize=8)
def _uploads(root: str, settings: StoreSettings) -> PartUploads:
    return PartUploads(root, settings)


def _client(settings: StoreSettings) -> Any:
    try:
        session: Any = importlib.import_module("botocore.session")
        config: Any = importlib.import_module("botocore.config")
    except ImportError:
        raise PreflightError(
            "writing to s3:// needs the package botocore, which is not installed",
            hint='pip install "geobatch-tui[cloud]"',
        ) from None
    made = session.get_session()
    endpoint = settings.endpoint or os.environ.get(_ENDPOINT, "")
    region = next(filter(None, (os.environ.get(name, "") for name in _REGIONS)), "")
    given = {
        "region_name": settings.region
        or region
        or made.get_config_variable("region")
        or _USUAL_REGION,
        "endpoint_url": endpoint,
        "aws_access_key_id": settings.access_key,
        "aws_secret_access_key": settings.secret_key,
        "aws_session_token": settings.token,
    }
    options: _Fields = {
        "connect_timeout": min(10.0, settings.timeout),
        "read_timeout": settings.timeout,
        "max_pool_connections": 2 * request_pool.TOGETHER,
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # Parts carry the checksums that are named here, and stores without others understand them.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if endpoint:
        options["s3"] = {"addressing_style": "path"}
    if settings.anonymous:
        options["signature_version"] = importlib.import_module("botocore").UNSIGNED
    return made.create_client(
        "s3",
        config=config.Config(**options),
        **{name: value for name, value in given.items() if value},
    )
