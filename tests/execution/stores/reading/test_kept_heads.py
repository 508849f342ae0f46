"""The heads of objects: asked for once by a run, whoever reads them."""

from dataclasses import replace

import pytest
from object_server import served

from geobatch_tui.errors import SourceChangedError
from geobatch_tui.execution.sources.file_identity import EDGE
from geobatch_tui.execution.sources.object_sources import identify_object, version_in
from geobatch_tui.execution.stores import local_copy, store_settings
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.reading import kept_heads
from geobatch_tui.execution.stores.reading.object_file import ObjectFile
from geobatch_tui.execution.stores.store_client import Version

SMALL, LARGE = bytes(range(256)) * 20, bytes(range(256)) * 4096


@pytest.fixture
def server(tmp_path):
    """A server, and a run with a directory for copies."""
    before = store_settings.current()
    store_settings.use(replace(before, scratch=str(tmp_path / "objects")))
    with served(small=SMALL, large=LARGE) as objects:
        yield objects
    store_settings.use(before)


def left(server, name):
    """Identify an object as the engine does; return its URL and version as a worker gets them."""
    identity = identify_object(server.url(name), EDGE, leave=True)
    return ObjectUrl.of(server.url(name)), version_in(identity)


def test_workers_do_not_ask_for_what_the_engine_has_read(server):
    """A small object, whole, and the directories of a large one."""
    for name, data in {"small": SMALL, "large": LARGE}.items():
        _, version = left(server, name)
        asked = len(server.seen)
        with ObjectFile.open(server.url(name), version) as file:
            assert file.read(kept_heads.HEAD) == data[: kept_heads.HEAD]
            assert len(server.seen) == asked
            assert file.read() == data[kept_heads.HEAD :]


def test_what_is_left_is_of_one_version(server):
    """An object that was replaced is another, also where the old one is still known."""
    url, old = left(server, "small")
    server.data["small"] = SMALL[::-1]
    _, new = left(server, "small")
    assert kept_heads.head_of(url, old).parts == [(0, SMALL)]
    assert kept_heads.head_of(url, new).parts == [(0, SMALL[::-1])]
    local_copy.drop(url, old)
    local_copy.drop(url, new)
    kept_heads._kept.clear()
    with pytest.raises(SourceChangedError):
        kept_heads.head_of(url, old)


def test_no_more_is_left_than_there_is_room_for(server, monkeypatch):
    """A plan of a hundred thousand objects does not copy them all."""
    monkeypatch.setattr(kept_heads, "LEFT", kept_heads._left_bytes + len(SMALL))
    url, version = left(server, "small")
    assert local_copy.head_path(url, version).read_bytes() == SMALL
    url, version = left(server, "large")
    assert not local_copy.head_path(url, version).exists()


def test_heads_that_were_used_longest_ago_go_first(monkeypatch):
    """What readers add counts when a head is used again; the newest is kept however large it is."""
    monkeypatch.setattr(kept_heads, "KEPT", 100)
    kept, url = kept_heads.KeptHeads(), ObjectUrl.of("https://h.example/a.tif")

    def head(name, size):
        return kept_heads.ObjectHead(Version(1000, 0, name), [(0, bytes(size))])

    first, second, third, large = (
        head(n, s) for n, s in [("a", 40), ("b", 40), ("c", 15), ("d", 999)]
    )
    for one in (first, second, third):
        kept.put(url, one)
    first.parts.append((40, bytes(30)))
    assert kept.get(url, first.version) is first
    assert kept.get(url, second.version) is None
    assert kept.get(url, third.version) is third
    kept.put(url, head("a", 10))  # in place of the first
    kept.put(url, head("e", 70))
    assert kept.get(url, third.version) is third
    kept.put(url, large)
    assert kept.get(url, large.version) is large
    assert kept.get(url, third.version) is None
