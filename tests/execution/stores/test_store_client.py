"""The client of stores against a server that misbehaves: each fault has a class, and no bytes."""

import pytest
from object_server import served

from geobatch_tui.errors import (
    InvalidInputError,
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
    monkeypatch.setattr(store_client, "RETRIES", 0)
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


def test_ranges_near_each_other_are_one_request():
    """Up to a length, beyond which a slow store would not end in time."""
    gap, most = store_client.GAP, store_client.LONGEST
    assert coalesced([(10, 20), (0, 10), (20 + gap, 30 + gap)]) == [(0, 30 + gap)]
    assert coalesced([(0, 10), (11 + gap, 20 + gap)]) == [(0, 10), (11 + gap, 20 + gap)]
    assert coalesced([(0, most), (most, most + 1)]) == [(0, most), (most, most + 1)]
