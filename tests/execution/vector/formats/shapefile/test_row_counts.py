"""A Shapefile whose table does not go with its shapes is refused: OGR leaves out the rest, unsaid."""

from __future__ import annotations

import zipfile

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError


@pytest.fixture
def source(tmp_path):
    (tmp_path / "s").mkdir()
    return vectordata.write(vectordata.layer(6)[["whole", "geometry"]], tmp_path / "s" / "s.shp")


def _fewer(source):
    table = source.with_suffix(".dbf")
    raw = bytearray(table.read_bytes())
    raw[4] = 3
    table.write_bytes(raw)


def _cut(source):
    table = source.with_suffix(".dbf")
    table.write_bytes(table.read_bytes()[:-10])


def _index(source):
    index = source.with_suffix(".shx")
    raw = bytearray(index.read_bytes()[:-16])
    raw[24:28] = (len(raw) // 2).to_bytes(4, "big")
    index.write_bytes(raw)


def _index_says_fewer(source):
    index = source.with_suffix(".shx")
    raw = bytearray(index.read_bytes())
    raw[27] -= 8
    index.write_bytes(raw)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("where", ["", "whole > 0"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_fewer, "6 shapes, but 3"),
        (_cut, "6 shapes, but 5"),
        (_index, "4 shapes, but 6"),
        (_index_says_fewer, "4 shapes, but has 6"),
    ],
)
def test_rows_and_shapes_of_other_numbers(damage, said, where, packed, source, tmp_path):
    """Whatever is asked of it."""
    damage(source)
    if packed:
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for each in source.parent.iterdir():
                archive.write(each, each.name.upper())
        source = tmp_path / "s.zip"
    with pytest.raises(CorruptSourceError, match=said):
        vectorjobs.probe("vector.convert", source, params={"where": where})


@pytest.mark.parametrize(
    ("suffix", "rest", "said"),
    [
        (".shp", bytes(200), ".shp file goes on for 200 bytes after its last shape"),
        (".dbf", bytes(100), "rows, of which its head tells 6"),
    ],
)
def test_a_file_that_goes_on_is_told(suffix, rest, said, source, tmp_path):
    """It has six features, as its index and the head of its table say."""
    assert not vectorjobs.probe("vector.convert", source).warnings
    path = source.with_suffix(suffix)
    path.write_bytes(path.read_bytes() + rest)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert done.receipt.facts["features_out"] == 6
    assert any(said in line for line in done.plan.warnings)


def test_a_mask_with_fewer_rows_is_refused(source, tmp_path):
    _fewer(source)
    layer = vectordata.write(vectordata.layer(5), tmp_path / "l.gpkg")
    params = {"mask": str(source), "predicate": "intersects"}
    with pytest.raises(CorruptSourceError, match="6 shapes, but 3"):
        vectorjobs.run("vector.filter", layer, tmp_path / "out", params=params)


def test_a_shapefile_without_a_table_has_shapes(source, tmp_path):
    source.with_suffix(".dbf").unlink()
    assert (
        vectorjobs.run("vector.convert", source, tmp_path / "out").receipt.facts["features_out"]
        == 6
    )
