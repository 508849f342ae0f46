"""A file goes to a store: whole under its name or not at all, resumed by parts, and checked."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace

import moto_store
import pytest

from geobatch_tui.errors import (
    AuthExpiredError,
    GeobatchError,
    InvalidInputError,
    OutputGoneError,
    RemoteIOError,
    SourceChangedError,
    ThrottledError,
    VerifyError,
)
from geobatch_tui.execution.stores import store_settings, write_faults
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.output_prefix import OutputPrefix
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings
from geobatch_tui.execution.stores.write_faults import NameTakenError
from geobatch_tui.execution.stores.writing import object_output, part_upload
from geobatch_tui.execution.stores.writing.object_output import StoppedError, Upload, send
from geobatch_tui.execution.stores.writing.part_upload import Part, Sums

ROOT = f"s3://{moto_store.BUCKET}"
PREFIX = OutputPrefix.of(f"{ROOT}/out")
#: Two whole parts, and a rest.
PART = 64 * 1024
LARGE = bytes(range(256)) * (2 * PART // 256) + b"the end"
SMALL = b"a small output"


@pytest.fixture(scope="module")
def server():
    with moto_store.stored() as store:
        yield store


@pytest.fixture
def store(server, monkeypatch):
    """An empty bucket, parts of 64 KiB, and a client that tries once."""
    before = store_settings.current()
    monkeypatch.setattr(object_output, "PART_BYTES", PART)
    monkeypatch.setattr(part_upload, "_ATTEMPTS", 1)
    settings = StoreSettings(
        server.endpoint,
        "us-east-1",
        access_key="a",
        secret_key="b",  # noqa: S106
        timeout=10,
    )
    store_settings.use(Stores({ROOT: settings}))
    yield server
    server.empty()
    store_settings.use(before)


def upload_of(tmp_path, data, kept=None, **values):
    path = tmp_path / "part"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    kept = [] if kept is None else kept
    url = PREFIX.url("a.tif")
    return Upload(path, url, len(data), digest, "fp", kept.append, **values)


def parts_sent(store):
    return sum("partNumber=" in one and one.startswith("PUT") for one in store.seen)


def test_a_small_file_is_one_request(store, tmp_path):
    """With its fingerprint; nothing of it is an upload in parts."""
    version = send(upload_of(tmp_path, SMALL))
    assert store.read("out/a.tif") == SMALL
    assert (version.size, len(version.tag)) == (len(SMALL), 34)
    assert store.about("out/a.tif")["geobatch-fp"] == "fp"
    assert not any("upload" in one.lower() for one in store.seen)


def test_a_large_file_goes_in_parts(store, tmp_path):
    """Its id is kept before the first part; the name is there once it is whole."""
    kept = []
    there = []
    store.fault = lambda method, key, query: (
        (there.append((len(kept), store.names("out/"))) if "partNumber" in query else None) or 0
    )
    send(upload_of(tmp_path, LARGE, kept))
    assert store.read("out/a.tif") == LARGE
    assert there == [(2, [])] * 3
    assert kept[0] == ""
    assert store.unfinished() == []


def test_an_upload_is_gone_on_with(store, tmp_path):
    """Of what an earlier run sent, only the part that the store does not have is sent again."""
    kept = []
    store.fault = lambda method, key, query: 503 * ("partNumber=3" in query)
    with pytest.raises(ThrottledError) as caught:
        send(upload_of(tmp_path, LARGE, kept))
    assert caught.value.evidence == {"store": ROOT}
    assert store.names("out/") == []
    store.fault = lambda method, key, query: 0
    before = parts_sent(store)
    send(upload_of(tmp_path, LARGE, kept, begun=kept[-1], known=True))
    assert parts_sent(store) == before + 1
    assert len(kept) == 2
    assert store.read("out/a.tif") == LARGE


def test_parts_of_other_bytes_are_sent_again(store, tmp_path):
    """An upload that holds something else ends with our bytes."""
    kept = []
    store.fault = lambda method, key, query: 503 * (method == "POST" and "uploadId" in query)
    with pytest.raises(ThrottledError):
        send(upload_of(tmp_path, LARGE[::-1], kept))
    store.fault = lambda method, key, query: 0
    send(upload_of(tmp_path, LARGE, kept, begun=kept[-1], known=True))
    assert store.read("out/a.tif") == LARGE


def test_an_upload_that_was_given_up_begins_anew(store, tmp_path):
    """As after a rule of the bucket that ends old ones."""
    kept = []
    send(upload_of(tmp_path, LARGE, kept, begun="no-such-upload", known=True))
    assert store.read("out/a.tif") == LARGE
    assert len(kept) == 2


@pytest.mark.parametrize("again", ["the client", "the run"])
def test_an_upload_whose_id_was_lost_is_given_up(store, tmp_path, monkeypatch, again):
    """A store that ended after it had begun one answers nobody; those of other keys stay."""
    for key in ("out/a.tif", "out/a.tiff"):
        store.client.create_multipart_upload(Bucket=moto_store.BUCKET, Key=key)
    if again == "the client":
        monkeypatch.setattr(part_upload, "_ATTEMPTS", 2)
        part_upload._uploads.cache_clear()
        failures = [503]
        store.fault = lambda method, key, query: (
            failures.pop() if failures and method == "POST" and query == "uploads" else 0
        )
    send(upload_of(tmp_path, LARGE, known=again == "the run"))
    part_upload._uploads.cache_clear()
    assert store.read("out/a.tif") == LARGE
    assert store.unfinished() == ["out/a.tiff"]


def test_what_is_there_is_not_sent_again(store, tmp_path):
    """An earlier run had sent it, and died before it was in its ledger."""
    first = send(upload_of(tmp_path, LARGE))
    before = parts_sent(store)
    assert send(upload_of(tmp_path, LARGE, known=True, absent=True)) == first
    assert parts_sent(store) == before


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_nothing_is_replaced_that_may_not_be(store, tmp_path, data):
    """A conditional request refuses; no upload is left behind."""
    store.put("out/a.tif", b"somebody's")
    with pytest.raises(NameTakenError, match="an object of that name"):
        send(upload_of(tmp_path, data, absent=True))
    assert store.read("out/a.tif") == b"somebody's"
    assert store.unfinished() == []
    send(upload_of(tmp_path, data))
    assert store.read("out/a.tif") == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_file_that_changed_on_the_disk_is_not_sent(store, tmp_path, data):
    """Its digest is that of what was verified; nothing appears, and nothing is left behind."""
    upload = upload_of(tmp_path, data)
    upload.path.write_bytes(data[:-1] + b"?")
    with pytest.raises(VerifyError, match="not what was verified"):
        send(upload)
    assert (store.names(), store.unfinished()) == ([], [])


def test_an_object_of_other_bytes_is_found_out(store, tmp_path, monkeypatch):
    """Its size is right; its ETag is not, so that all of it is read."""
    put = part_upload.PartUploads.put
    monkeypatch.setattr(
        part_upload.PartUploads,
        "put",
        lambda self, url, data, about, absent: put(self, url, data[::-1], about, absent=absent),
    )
    with pytest.raises(VerifyError, match="does not hold the bytes"):
        send(upload_of(tmp_path, SMALL))


def test_a_stopped_upload_keeps_its_parts(store, tmp_path):
    """The next run goes on with them."""
    stop = threading.Event()
    kept = []
    with pytest.raises(StoppedError):
        send(upload_of(tmp_path, LARGE, kept, stop=stop, progressed=lambda size: stop.set()))
    assert store.unfinished() == ["out/a.tif"]
    send(upload_of(tmp_path, LARGE, kept, begun=kept[-1], known=True))
    assert store.unfinished() == []
    assert store.read("out/a.tif") == LARGE


def test_a_store_without_parts_is_written_whole(store, tmp_path):
    """As gs and az are; all of it is read back, as their ETags say nothing of the bytes."""
    upload = upload_of(tmp_path, LARGE)
    object_output._put_whole(upload)
    assert object_output._checked(upload, "").size == len(LARGE)
    assert store.about("out/a.tif") == dict(upload.about)
    with pytest.raises(NameTakenError):
        object_output._put_whole(upload_of(tmp_path, SMALL, absent=True))
    assert store.read("out/a.tif") == LARGE


@pytest.mark.parametrize(
    "name", ["a [red]b[1].tif", "%41 %2F+&=~.tif", "é\u0301 {x}#?*.tif", "d/e f.tif"]
)
def test_any_name_of_a_file_is_a_key(store, tmp_path, name):
    """What is written under it is found, listed and read under it."""
    upload = replace(upload_of(tmp_path, LARGE), url=PREFIX.url(name))
    version = send(upload)
    assert store.read(f"out/{name}") == LARGE
    assert dict(object_output.reader_of(upload.url).listed(PREFIX)) == {f"out/{name}": version}
    with object_output.fetched(upload.url, version) as path:
        assert path.read_bytes() == LARGE
        assert path.suffix == ".tif"
    assert not path.exists()


def test_an_object_that_is_replaced_is_not_mixed(store, tmp_path):
    """Reads are of one version; one that is gone is another, too."""
    version = send(upload_of(tmp_path, SMALL))
    url = PREFIX.url("a.tif")
    for change in (lambda: store.put("out/a.tif", LARGE), store.empty):
        change()
        with pytest.raises(SourceChangedError):
            object_output.has_digest(url, version, "0" * 64)
    assert object_output.reader_of(url).described(url) is None


def test_uploads_are_listed_and_given_up(store):
    """Those below the prefix alone; giving one up twice is no error."""
    uploads = part_upload.uploads_of(ROOT)
    ours = uploads.begin(PREFIX.url("a.tif"), {})
    uploads.begin(ObjectUrl(ROOT, "outside/b.tif"), {})
    found = list(uploads.unfinished(PREFIX))
    assert [(one.key, one.upload) for one in found] == [("out/a.tif", ours)]
    for _ in range(2):
        uploads.give_up(PREFIX.url("a.tif"), ours)
    assert list(uploads.unfinished(PREFIX)) == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, ThrottledError),
        (429, ThrottledError),
        (500, RemoteIOError),
        (409, RemoteIOError),
        (403, OutputGoneError),
        (404, OutputGoneError),
        (301, OutputGoneError),
        (400, OutputGoneError),
        (412, NameTakenError),
    ],
)
def test_each_answer_has_a_class(store, tmp_path, status, kind):
    """Nothing of an answer but its status and name stands in a message."""
    store.fault = lambda method, key, query: status * (method == "PUT")
    with pytest.raises(kind) as caught:
        send(upload_of(tmp_path, SMALL))
    assert str(status) in caught.value.message
    assert "<" not in caught.value.message


class _Answered(Exception):  # noqa: N818 - as the library calls it
    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.mark.parametrize(
    ("error", "kind", "away"),
    [
        (_Answered("ExpiredToken"), AuthExpiredError, True),
        (_Answered("SlowDown"), ThrottledError, True),
        (_Answered("RequestTimeout"), RemoteIOError, True),
        (_Answered("BadDigest"), RemoteIOError, False),
        (_Answered("PermanentRedirect"), OutputGoneError, False),
        (_Answered("KeyTooLongError"), InvalidInputError, False),
        (_Answered("<html>secret"), OutputGoneError, False),
        (type("NoCredentialsError", (Exception,), {})("x"), OutputGoneError, False),
        (type("EndpointConnectionError", (Exception,), {})("x"), RemoteIOError, True),
        (type("ReadTimeoutError", (Exception,), {})("x"), RemoteIOError, True),
        (ConnectionResetError(104, "reset"), RemoteIOError, True),
        (ValueError("x"), OutputGoneError, False),
    ],
    ids=lambda value: str(value) if isinstance(value, Exception) else "",
)
def test_each_error_of_the_client_has_a_class(error, kind, away):
    """A store that is away is named, so that the run waits for it."""
    failed = write_faults.fault(error, PREFIX.url("a.tif"))
    assert type(failed) is kind
    assert bool(failed.evidence) is away
    assert "secret" not in failed.message
    assert isinstance(failed, GeobatchError)


def test_parts_grow_with_the_object(monkeypatch, tmp_path):
    """A store takes 10,000 parts at most."""
    upload = upload_of(tmp_path, SMALL)
    for size in (1, 80 * 10**9, 5 * 2**40):
        object.__setattr__(upload, "size", size)
        assert -(-size // upload.part_bytes) <= object_output.MOST_PARTS
        assert upload.part_bytes >= object_output.PART_BYTES
        assert upload.part_bytes % 2**20 == 0


def test_checksums_of_parts():
    """Of the words that S3's documentation and RFC 1321 give; a part without either is not known."""
    sums = Sums.of(b"123456789")
    assert sums.crc32 == "y/Q5Jg=="
    assert Sums.of(b"abc").md5.hex() == "900150983cd24fb0d6963f7d28e17f72"
    assert Part(1, 9, "", "y/Q5Jg==").holds(9, sums)
    assert not Part(1, 9, '"kms"').holds(9, sums)
    assert not Part(1, 8, "", "y/Q5Jg==").holds(9, sums)
    assert part_upload.joined_tag([Sums.of(b"abc")]) == '"af5da9f45af7a300e3aded972f8ff687-1"'
