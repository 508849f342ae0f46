"""A feature of FlatGeobuf that OGR cannot read, at which it ends, is set aside alone."""

from __future__ import annotations

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf
from geobatch_tui.execution.vector.ogr import stream


@pytest.fixture(params=["YES", "NO"])
def source(request, tmp_path):
    """A file with an index, or without; some of its texts are longer than there is room for."""
    frame = vectordata.layer(60)[["name", "whole", "geometry"]]
    return vectordata.write(frame, tmp_path / "s.fgb", SPATIAL_INDEX=request.param)


def damage(source, *names, size=b"\xff\xff\xff\x7f"):
    raw = bytearray(source.read_bytes())
    for name in names:
        at = raw.index(name.encode() + b"\x01")  # its last byte is behind it
        raw[at - 4 : at] = size
    source.write_bytes(raw)


def names_in_order(source):
    return vectordata.read(source).name.tolist()


@pytest.mark.parametrize("features", [7, 100])
def test_the_others_are_published(source, features, tmp_path, monkeypatch):
    """In their order, with the ids that they have; also where two of them are side by side, and at
    both ends of what is copied at a time."""
    monkeypatch.setattr(flatgeobuf, "MOST_FEATURES", 10)
    given = names_in_order(source)
    broken = [given[n] for n in (3, 13, 14, 59)]
    damage(source, *broken)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=features)
    assert [letter.position for letter in done.letters] == [3, 13, 14, 59]
    assert [letter.fid for letter in done.letters] == [3, 13, 14, 59]
    assert {letter.reason for letter in done.letters} == {flatgeobuf.UNREADABLE}
    assert names_in_order(done.path) == [one for one in given if one not in broken]
    assert not list((tmp_path / "out").rglob("rest-*"))


@pytest.mark.parametrize("general", ["YES", None])
def test_with_a_condition_it_is_refused(general, source, tmp_path):
    """Which features it leaves is not known behind that one. In whatever way OGR reads it."""
    stream.pyogrio.set_gdal_config_options({stream._GENERAL: general})
    damage(source, names_in_order(source)[31])
    with pytest.raises(CorruptSourceError):
        vectorjobs.run("vector.convert", source, tmp_path / "out", params={"where": "whole > 0"})


def test_a_file_that_is_cut_off_is_refused(source, tmp_path):
    source.write_bytes(source.read_bytes()[:-30])
    with pytest.raises(CorruptSourceError):
        vectorjobs.run("vector.convert", source, tmp_path / "out")
