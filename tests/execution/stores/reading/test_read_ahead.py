"""Blocks on their way: which requests are made of what is wanted, and when bytes are dropped."""

import pytest
from object_server import served

from geobatch_tui.execution.stores import store_client
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.reading import foreseen, kept_heads
from geobatch_tui.execution.stores.reading.object_file import ObjectFile

SIDE, BLOCK = 16, 5000
DATA = b"".join(number.to_bytes(4) for number in range(SIDE * SIDE * BLOCK // 4 + 10_000))
FIRST = len(DATA) - SIDE * SIDE * BLOCK  # behind the head


@pytest.fixture(scope="module")
def server():
    with served(a=DATA, small=DATA[:60_000]) as objects:
        yield objects


def column(number):
    """The places of a column of four rows of blocks, as a chunk of a raster needs them."""
    places = [FIRST + (row * SIDE + number) * BLOCK for row in range(4)]
    return lambda: [(place, place + BLOCK) for place in places]


def take(file, places):
    for start, end in places:
        assert file.pread(end - start, start) == DATA[start:end]


def test_the_blocks_of_chunks_beside_each_other_are_one_stretch(server):
    """Apart they would be four requests for each, one a row of blocks."""
    with ObjectFile.open(server.url("a")) as file:
        server.seen.clear()
        for now in range(SIDE):
            file.turn_to({each: column(each) for each in range(now, SIDE)}, 10**9)
            take(file, column(now)())
        spans = [span for _, _, span in server.seen]
        assert spans == [f"bytes={FIRST}-{FIRST + 4 * SIDE * BLOCK - 1}"]


def test_what_is_read_ahead_has_room(server, monkeypatch):
    """As many chunks as fit are fetched together, then as many again once they are used."""
    monkeypatch.setattr(store_client, "GAP", 0)
    with ObjectFile.open(server.url("a")) as file:
        server.seen.clear()
        for now in range(SIDE):
            file.turn_to({each: column(each) for each in range(now, SIDE)}, 16 * BLOCK)
            held = sum(end - start for start, end in file._ahead._spans.values())
            assert held <= 2 * 16 * BLOCK
            take(file, column(now)())
        assert 4 <= len(server.seen) <= 32
        assert not file._ahead._spans


def test_what_is_not_wanted_any_more_is_dropped(server):
    """A chunk that another worker took, and blocks that were not used."""
    with ObjectFile.open(server.url("a")) as file:
        file.turn_to({0: column(0), 1: column(1), 2: column(2)}, 10**9)
        take(file, column(0)()[:2])
        file.turn_to({2: column(2)}, 10**9)
        assert set(file._ahead._by) == set(column(2)())
        file.turn_to({}, 10**9)
        assert not file._ahead._spans
        assert not file._ahead._reads


def test_a_block_that_two_chunks_want_is_fetched_once(server):
    """Taken by the first it stays for the second, and goes with it."""
    with ObjectFile.open(server.url("a")) as file:
        server.seen.clear()
        file.turn_to({0: column(0), 1: column(0)}, 10**9)
        take(file, column(0)())
        file.turn_to({1: column(0)}, 10**9)
        take(file, column(0)())
        assert len(server.seen) == 4
        assert not file._ahead._spans


def test_a_head_is_asked_for_once_a_process(server):
    """Whoever opens the same version; that of any version is asked for, as it may be another."""
    url = server.url("a")
    with ObjectFile.open(url) as file:
        version = file.version
    server.seen.clear()
    for _ in range(3):
        ObjectFile.open(url, version).close()
    assert server.seen == []
    ObjectFile.open(url).close()
    assert len(server.seen) == 1


def test_a_small_object_is_its_head(server):
    """Its blocks cost no request."""
    url = server.url("small")
    with ObjectFile.open(url) as file:
        version = file.version
    kept_heads._kept.clear()
    server.seen.clear()
    with ObjectFile.open(url, version) as file:
        assert file.pread(1000, 50_000) == DATA[50_000:51_000]
    assert [span for _, _, span in server.seen] == ["bytes=0-59999"]


def test_what_was_foreseen_is_not_asked_for_again(server):
    """By whoever opens the object; an answer that went wrong is asked for anew."""
    url = ObjectUrl.of(server.url("a"))
    server.seen.clear()
    kept_heads.foresee(url, None)
    kept_heads.foresee(url, None)
    ObjectFile.open(str(url)).close()
    assert len(server.seen) == 1
    server.fault = lambda method, path, number: "404" if number == 1 else ""
    kept_heads.foresee(url, None)
    answer = foreseen._answers[url, None][1]
    answer.exception()
    ObjectFile.open(str(url)).close()
    assert [method for method, _, _ in server.seen] == ["GET"] * 3
    server.fault = lambda *_: ""
