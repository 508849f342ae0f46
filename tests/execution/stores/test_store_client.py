"""The client of stores against a server that misbehaves: each fault has a class, and no bytes."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from object_server import served

from geobatch_tui.errors import (
    InvalidInputError,
    PreflightError,
    RemoteIOError,
    SourceChangedError,
    SourceNotFoundError,
    ThrottledError,
)
from geobatch_tui.execution.stores import store_client, store_settings
from geobatch_tui.execution.stores.network_faults import RangesRefusedError
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.store_client import coalesced
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings

DATA = bytes(range(256)) * 64


@pytest.fixture
def server(monkeypatch):
    """A server with the object ``a``."""
    before = store_settings.current()
    monkeypatch.setattr(store_client, "WAITS", (0.001, 0.001))
    with served(a=DATA) as objects:
        yield objects
        store_settings.use(before)


def opened(server):
    url = ObjectUrl.of(server.url("a"))
    return url, store_client.client_of(url)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("503", ThrottledError),
        ("429", ThrottledError),
        ("500", RemoteIOError),
        ("408", RemoteIOError),
        ("404", SourceNotFoundError),
        ("403", SourceNotFoundError),
        ("401", SourceNotFoundError),
        ("400", InvalidInputError),
        ("412", SourceChangedError),
        ("416", SourceChangedError),
        ("reset", RemoteIOError),
        ("short", RemoteIOError),
        ("long", RemoteIOError),
        ("stall", RemoteIOError),
        ("html", RangesRefusedError),
        ("whole", RangesRefusedError),
        ("other", SourceChangedError),
    ],
)
def test_each_fault_has_a_class(server, fault, kind):
    """Never bytes: not half an answer, not a page of HTML, not those of another version."""
    url, client = opened(server)
    version = client.version(url)
    server.fault = lambda *_: fault
    if fault == "stall":  # only then: any answer may take long where there is much else to do
        store_settings.use(Stores({url.root: StoreSettings(timeout=0.3)}))
        client = store_client.client_of(url)
    with pytest.raises(kind) as caught:
        client.read(url, 100, 1100, version)
    assert caught.type is kind
    assert "127.0.0.1" in caught.value.message
    assert "Debug source" not in caught.value.message + caught.value.hint


def test_what_passes_is_tried_again(server):
    """A connection that breaks twice in the middle of an answer costs two more requests."""
    url, client = opened(server)
    version = client.version(url)
    seen = len(server.seen)
    server.fault = lambda method, path, number: "reset" if number < seen + 2 else ""
    assert client.read(url, 100, 1100, version)[0] == DATA[100:1100]
    assert len(server.seen) == seen + 3


def test_a_pause_that_a_server_asks_for_is_kept(server):
    """Its `Retry-After` is asked for once more, and nothing else is asked until it is over."""
    url, client = opened(server)
    seen = len(server.seen)
    server.retry_after = "1"
    server.fault = lambda method, path, number: "429" if number < seen + 2 else ""
    assert client.version(url).size == len(DATA)
    first, question, after = server.times[seen:]
    assert after - question >= 0.95
    assert question - first < after - question


def test_a_long_pause_is_the_runs(server):
    """It is told with the error; who asks meanwhile is refused without a request."""
    url, client = opened(server)
    server.retry_after = "600"
    server.fault = lambda *_: "503"
    for _ in range(2):
        with pytest.raises(ThrottledError) as caught:
            client.version(url)
        assert 590 < caught.value.retry_after <= 600
        assert caught.value.evidence == {"store": url.root}
    assert len(server.seen) == 2
    assert 590 < store_client.seconds_away(url.root) <= 600
    server.fault = lambda *_: ""
    assert store_client.seconds_away(url.root) is None
    assert client.version(url).size == len(DATA)


def test_who_listens_but_has_no_trusted_certificate_is_away(monkeypatch):
    """No item is to blame, and nothing of it is read."""
    monkeypatch.setattr(store_client, "WAITS", ())
    with served(tls=True, a=DATA) as objects:
        url = ObjectUrl.of(objects.url("a"))
        with pytest.raises(RemoteIOError, match="certificate is not trusted") as caught:
            store_client.client_of(url).version(url)
        assert objects.seen == []
    assert caught.value.evidence == {"store": url.root}
    assert "Debug source" not in str(caught.value)


def test_a_name_that_is_gone_is_a_store_that_is_away(monkeypatch):
    """It may be this machine's DNS that is gone."""
    monkeypatch.setattr(store_client, "WAITS", ())
    url = ObjectUrl.of("http://no-such-host.invalid/a")
    with pytest.raises(RemoteIOError, match="no address is known for this name") as caught:
        store_client.client_of(url).version(url)
    assert caught.value.evidence == {"store": url.root}


def test_a_store_that_is_away_is_left_alone_for_a_moment(server):
    """By all who would ask: each is told so at once."""
    url, client = opened(server)
    server.fault = lambda *_: "503"
    with pytest.raises(ThrottledError):
        client.version(url)
    seen = len(server.seen)
    with pytest.raises(RemoteIOError, match="failed a moment ago") as caught:
        client.read(url, 0, 10, None)
    assert caught.value.evidence == {"store": url.root}
    assert len(server.seen) == seen


def test_a_server_that_is_gone_is_no_missing_object():
    """It may come back: the error is of the passing kind."""
    with served(a=DATA) as objects:
        url = ObjectUrl.of(objects.url("a"))
    with pytest.raises(RemoteIOError, match="cannot be reached"):
        store_client.client_of(url).version(url)


def test_without_etags_the_time_of_change_is_the_condition(server):
    """A replaced object of the same size is found out by its time alone."""
    server.etags = False
    url, client = opened(server)
    version = client.version(url)
    assert not version.tag
    assert version.mtime_ns
    assert client.read(url, 0, 10, version)[0] == DATA[:10]
    other = store_client.Version(version.size, version.mtime_ns + 10**9, "")
    with pytest.raises(SourceChangedError):
        client.read(url, 0, 10, other)


@pytest.mark.parametrize(
    ("root", "path", "settings"),
    [
        ("gs://bucket", "bucket/d/a b.tif", StoreSettings(anonymous=True)),
        ("az://bucket", "bucket/d/a b.tif", StoreSettings(anonymous=True, account="mine")),
        ("s3://bucket", "bucket/d/a b.tif", StoreSettings(anonymous=True, region="eu-1")),
    ],
)
def test_buckets_of_each_kind_are_read_at_an_endpoint(root, path, settings):
    """As an emulator is, or a store of one's own: version, range, and the condition of it."""
    before = store_settings.current()
    with served(**{path: DATA}) as objects:
        endpoint = objects.url("").rstrip("/")
        store_settings.use(Stores({root: replace(settings, endpoint=endpoint)}))
        url = ObjectUrl.of(f"{root}/d/a b.tif")
        client = store_client.client_of(url)
        version = client.version(url)
        assert client.read(url, 5, 10, version) == (DATA[5:10], version)
        objects.data[path] = DATA[::-1]
        with pytest.raises(SourceChangedError):
            client.read(url, 5, 10, version)
        assert {path for _, path, _ in objects.seen} == {path}
    store_settings.use(before)


def test_without_its_library_a_url_ends_in_a_sentence(monkeypatch):
    """Which says what to install."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(PreflightError, match="needs the package obstore") as caught:
        store_client.client_of(ObjectUrl.of("https://nobody-asked-before.invalid/a.tif"))
    assert caught.value.hint == 'pip install "geobatch-tui[cloud]"'


def test_threads_that_ask_for_a_store_at_once_share_its_client(server):
    """To open one reads all certificates of the machine."""
    threads = 8
    together, url = Barrier(threads), ObjectUrl.of(server.url("a"))

    def ask(_):
        together.wait()
        return store_client.client_of(url)

    with ThreadPoolExecutor(threads) as pool:
        assert len(set(pool.map(ask, range(threads)))) == 1


def test_ranges_near_each_other_are_one_request():
    """Up to a length, beyond which a slow store would not end in time."""
    gap, most = store_client.GAP, store_client.LONGEST
    assert coalesced([(10, 20), (0, 10), (20 + gap, 30 + gap)]) == [(0, 30 + gap)]
    assert coalesced([(0, 10), (11 + gap, 20 + gap)]) == [(0, 10), (11 + gap, 20 + gap)]
    assert coalesced([(0, most), (most, most + 1)]) == [(0, most), (most, most + 1)]


def test_names_of_metadata_are_those_that_a_store_takes(monkeypatch, tmp_path):
    """Azure refuses hyphens; what is read back has our names."""
    from obstore.store import MemoryStore

    kept = MemoryStore()
    monkeypatch.setattr(store_client.store_library, "opened", lambda *_, **__: kept)
    (tmp_path / "a").write_bytes(DATA)
    for root, name in (("az://b", "geobatch_fp"), ("gs://b", "geobatch-fp")):
        client, url = store_client.StoreClient(root, StoreSettings()), ObjectUrl(root, "a")
        client.put(url, tmp_path / "a", {"geobatch-fp": "1"})
        (found,) = client._library.get(kept, "a").attributes.items()
        assert found == (name, "1")
        described = client.described(url)
        assert described is not None
        assert described[1] == {"geobatch-fp": "1"}


def test_a_store_of_which_too_little_is_known_ends_in_a_sentence(monkeypatch):
    """As one of Azure without its account."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(PreflightError, match=r"az://b cannot be opened: .*Account") as caught:
        store_client.StoreClient("az://b", StoreSettings())
    assert "account" in caught.value.hint
