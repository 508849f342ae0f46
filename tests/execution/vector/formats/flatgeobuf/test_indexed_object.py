"""A FlatGeobuf in a store: header, index and features, and what they may say that is not so."""

from __future__ import annotations

import re

import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata
from object_server import served

from geobatch_tui.errors import CorruptSourceError, SourceChangedError
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout, indexed_object

COUNT = 900
BOUNDS = (0.0, 0.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Points in the order of an index, with texts of several lengths, and moments."""
    points = shapely.points(np.random.default_rng(7).random((COUNT, 2)) * 10)
    frame = gpd.GeoDataFrame(
        {"n": range(COUNT), "text": [f"{n}" * (n % 40) for n in range(COUNT)]},
        geometry=points,
        crs=4326,
    )
    frame["at"] = frame["later"] = np.datetime64("2026-05-01T10:00:00", "ms")
    return vectordata.write(frame, tmp_path_factory.mktemp("flat") / "a.fgb").read_bytes()


@pytest.fixture(scope="module")
def server():
    with served() as objects:
        yield objects


def opened(server, data):
    server.data["a.fgb"] = bytes(data)
    return indexed_object.indexed_object(server.url("a.fgb"), None)


def test_the_features_that_were_found_come_in_pieces(server, data, monkeypatch):
    """Each begins with its length; all are in some piece, in their order."""
    monkeypatch.setattr(indexed_object, "MOST_BYTES", 5000)
    with opened(server, data) as source:
        assert source.moments() == ["at", "later"]
        assert source.head == data[: flatgeobuf_layout.header_size(data)]
        found = source.index.found(source.read, BOUNDS, 0, COUNT)
        pieces = list(source.pieces(found))
    assert len(pieces) > 2
    assert [piece.at for piece in pieces] == np.cumsum(
        [0, *(len(piece.starts) - 1 for piece in pieces)]
    ).tolist()[:-1]
    assert max(len(piece.data) for piece in pieces) <= 5000
    ranges = zip(found.starts, found.ends, strict=True)
    assert b"".join(piece.data for piece in pieces) == b"".join(data[a:b] for a, b in ranges)


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        (0, b"fgb\x02", "does not begin as a FlatGeobuf"),
        (8, b"\xff\xff\xff\xff", "its header would take 4294967307 bytes"),
        (8, b"\x00\x00\xa0\x00", "its header would take 10485772 bytes"),
        (8, b"\x03\x00\x00\x00", "its header is damaged"),
        (12, b"\xf0\xff\xff\x7f", "its header is damaged"),
    ],
)
def test_a_header_that_lies_is_refused_with_its_url(server, data, at, value, told):
    """Before as much is read as it says."""
    damaged = bytearray(data)
    damaged[at : at + 4] = value
    before = len(server.seen)
    with (
        pytest.raises(CorruptSourceError, match=f"{re.escape(server.url('a.fgb'))}.*{told}"),
        opened(server, damaged),
    ):
        pass
    assert len(server.seen) <= before + 1


@pytest.mark.parametrize("count", [COUNT * 20, 2**63, 2**64 - 1])
def test_more_features_than_there_is_room_for_are_refused(server, data, count):
    damaged = bytearray(data)
    at = damaged.index(COUNT.to_bytes(8, "little"), 0, flatgeobuf_layout.header_size(data))
    damaged[at : at + 8] = count.to_bytes(8, "little")
    with (
        pytest.raises(CorruptSourceError, match=f"tells of {count} features"),
        opened(server, damaged),
    ):
        pass


@pytest.mark.parametrize("children", [1, 65535])
def test_an_odd_number_of_children_ends(server, data, children):
    """In an error, as the nodes of such an index are others."""
    head = flatgeobuf_layout.header(data, COUNT, 0)  # says that there are none
    place = flatgeobuf_layout.Table(head, 12 + int.from_bytes(head[12:16], "little")).place(9)
    head[place : place + 2] = children.to_bytes(2, "little")
    with pytest.raises(CorruptSourceError), opened(server, head + data[len(head) :]) as source:
        source.index.found(source.read, BOUNDS, 0, COUNT)


@pytest.mark.parametrize("most", [indexed_object.MOST_BYTES, 10])
def test_a_feature_of_another_length_than_the_index_has_it_is_refused(
    server, data, most, monkeypatch
):
    """A long one before it is fetched."""
    monkeypatch.setattr(indexed_object, "MOST_BYTES", most)
    with opened(server, data) as source:
        found = source.index.found(source.read, BOUNDS, 0, COUNT)
    number, start = int(found.numbers[3]), int(found.starts[3])
    damaged = bytearray(data)
    damaged[start] ^= 1
    told = f"feature {number}, at byte {start}, says"
    with opened(server, damaged) as source, pytest.raises(CorruptSourceError, match=told):
        list(source.pieces(source.index.found(source.read, BOUNDS, 0, COUNT)))


def test_features_of_another_version_are_not_read(server, data):
    with opened(server, data) as source:
        found = source.index.first(source.read, COUNT)
        server.data["a.fgb"] = data[:-1] + b"\1"
        with pytest.raises(SourceChangedError):
            list(source.pieces(found))
