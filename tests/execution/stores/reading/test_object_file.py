"""An object as a file: its head, and its blocks in whatever order they are asked for."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_server import served

from geobatch_tui.errors import CorruptSourceError, SourceChangedError
from geobatch_tui.execution.stores.reading import kept_heads
from geobatch_tui.execution.stores.reading.object_file import ObjectFile

DATA = b"".join(number.to_bytes(4) for number in range(50_000))


@pytest.fixture(scope="module")
def server():
    with served(a=DATA, small=DATA[:20_000], empty=b"") as objects:
        yield objects


def test_the_head_is_one_request_and_what_follows_few(server):
    """Each further request asks for twice as much."""
    before = len(server.seen)
    with ObjectFile.open(server.url("a")) as file:
        assert file.read(1000) == DATA[:1000]
        file.seek(kept_heads.HEAD - 8)
        assert len(server.seen) == before + 1
        assert b"".join(iter(lambda: file.read(5000), b"")) == DATA[kept_heads.HEAD - 8 :]
        assert file.size == file.tell() == len(DATA)
    assert len(server.seen) <= before + 4


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_blocks_come_in_any_order(server, data):
    """Expected in one order and read in another, some twice, some never, some unexpected."""
    blocks = [(at, at + size) for at, size in data.draw(_BLOCKS)]
    room = data.draw(st.sampled_from([0, 100_000, 2**25]))
    order = data.draw(st.lists(st.sampled_from(blocks), max_size=12)) if blocks else []
    with ObjectFile.open(server.url("a")) as file:
        file.turn_to({0: lambda: blocks[: len(blocks) // 2], 1: lambda: blocks[1:]}, room)
        file.expect(blocks)
        for start, end in order:
            assert file.pread(end - start, start) == DATA[start:end]


_BLOCKS = st.lists(
    st.tuples(st.integers(0, len(DATA) - 70_000), st.integers(1, 70_000)), max_size=9
)


def test_of_a_small_object_nothing_is_fetched_ahead(server):
    """Its head is all of it, so nobody finds out what the next windows need."""
    before = len(server.seen)
    with ObjectFile.open(server.url("small")) as file:
        file.turn_to({0: lambda: pytest.fail("nothing is missing")}, 2**25)
        assert file.pread(9000, 11_000) == DATA[11_000:20_000]
        assert len(server.seen) == before + 1
        with pytest.raises(CorruptSourceError, match="cut off"):
            file.pread(9000, 11_001)
    assert len(server.seen) == before + 1


def test_blocks_beyond_the_end_are_no_pixels(server):
    """As of a file that was cut off."""
    with (
        ObjectFile.open(server.url("a")) as file,
        pytest.raises(CorruptSourceError, match="cut off"),
    ):
        file.expect([(len(DATA) - 5, len(DATA) + 1)])


def test_an_object_that_is_replaced_is_not_read_on(server):
    """Blocks of two versions never meet."""
    server.data["b"] = DATA
    with ObjectFile.open(server.url("b")) as file:
        server.data["b"] = DATA[::-1]
        with pytest.raises(SourceChangedError, match="replaced"):
            file.pread(10, 100_000)


def test_an_empty_object_has_no_head(server):
    """No byte of it can be asked for, and none is missing."""
    with ObjectFile.open(server.url("empty")) as file:
        assert file.size == 0
        assert file.read() == b""
