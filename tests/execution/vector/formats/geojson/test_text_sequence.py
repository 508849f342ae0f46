"""No record of a GeoJSON text sequence gets lost in silence."""

from __future__ import annotations

import shlex
import subprocess

import geopandas as gpd
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.vector.formats.geojson import text_sequence
from geobatch_tui.execution.vector.formats.geojson.text_sequence import records


@pytest.fixture
def lines(tmp_path):
    source = vectordata.write(vectordata.layer(10), tmp_path / "s.geojsonl")
    return source.read_text().splitlines()


def _broken(lines, tmp_path):
    lines[4] = lines[4][:60]
    lines[7] = '{"type": "Nothing"}'
    source = tmp_path / "broken.geojsonl"
    source.write_text("\n".join(lines) + "\n")
    return source


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize("params", [{}, {"bounds": [-180, -90, 180, 90]}])
def test_a_broken_record_is_set_aside(params, features, lines, tmp_path):
    """Case 53: OGR would leave it out; here the others are published, and it has a letter."""
    source = _broken(lines, tmp_path)
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", params=params, features=features
    )
    assert "2 records set aside for being no features: 5, 8" in done.plan.warnings
    made = vectordata.read(done.path)
    assert made.whole.tolist() == [2**40 + n for n in range(10) if n not in (4, 7)]
    facts = done.receipt.facts
    assert (facts["features_in"], facts["features_quarantined"]) == (10, 2)
    first, second = done.letters
    assert first.reason.startswith("record 5 is no JSON (")
    assert 'begins with \'{ "type": "Feature"' in first.reason
    assert second.reason.startswith("record 8 is no feature, but of type 'Nothing'")
    assert [(one.fid, one.position) for one in done.letters] == [(None, 8), (None, 9)]
    assert gpd.read_file(facts["quarantine"]).geobatch_error.tolist() == ["CorruptSourceError"] * 2


@pytest.mark.filterwarnings("ignore:OGRGeoJSON")
@pytest.mark.parametrize(
    "odd",
    ["{}", "5", "null", "[1]", '{"type": "Topology"}', '{"type": "Point", "coordinates": ["a"]}'],
)
def test_records_that_are_no_features(odd, lines, tmp_path):
    """Each kind is told from a bare geometry, and from JSON that something follows: OGR reads these."""
    lines[3], lines[5] = '{"type": "Point", "coordinates": [5, 5]}', lines[5] + " x"
    lines.insert(8, odd)
    source = tmp_path / "s.geojsonl"
    source.write_text("\n".join(lines) + "\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert len(vectordata.read(done.path)) == 10
    assert [one.reason.split()[1] for one in done.letters] == ["9"]


def test_the_text_of_a_broken_record_is_found(lines, tmp_path):
    """Its letter has a command that prints it."""
    source = _broken(lines, tmp_path)
    plan = vectorjobs.probe("vector.convert", source)
    item = vectorjobs.context("vector.convert", source, tmp_path, plan, None, "GeoParquet")
    command = get_operation("vector.convert").reproduce(item, Window(8, 0, 1, 1))
    said = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    assert said.stdout == lines[4] + "\n"


def test_a_where_counts_broken_records_too(lines, tmp_path):
    """What cannot be read may satisfy it."""
    params = {"where": f"whole < {2**40 + 3}"}
    done = vectorjobs.run(
        "vector.convert", _broken(lines, tmp_path), tmp_path / "out", params=params, features=2
    )
    assert [len(vectordata.read(done.path)), len(done.letters)] == [3, 2]


def test_records_that_ogr_leaves_out_unsaid(lines, tmp_path, monkeypatch):
    """Where it cannot be told which they are, or most are none, the source is refused."""
    source = _broken(lines, tmp_path)
    monkeypatch.setattr(text_sequence, "MOST_SET_ASIDE", 1)
    match = r"10 records, of which OGR reads 8 as features; broken: 5, 8$"
    with pytest.raises(CorruptSourceError, match=match) as e:
        vectorjobs.probe("vector.convert", source)
    assert e.value.evidence == {"records": (5, 8), "records_total": 2}


def test_blank_lines_and_separators_are_no_records(lines, tmp_path):
    """Lines may be blank; with record separators, a record may span lines."""
    spaced = tmp_path / "spaced.geojsonl"
    spaced.write_text("\n\n".join(lines) + "\n\n")
    assert vectorjobs.probe("vector.convert", spaced).grid.width == 10
    separated = tmp_path / "separated.geojsonl"
    separated.write_text("".join(f"\x1e{line.replace(', ', ',' + chr(10))}\n" for line in lines))
    assert len(list(records(str(separated)))) == 10
    assert vectorjobs.probe("vector.convert", separated).grid.width == 10


@pytest.mark.parametrize("suffix", ["geojson", "geojsonl"])
@pytest.mark.parametrize("odd", ["xyz", "[1]", "null"])
def test_a_second_record_that_is_no_object(odd, suffix, lines, tmp_path):
    """OGR takes such a sequence for GeoJSON of one feature, and says nothing of the others."""
    lines.insert(1, odd)
    source = tmp_path / f"a [b].{suffix}"
    source.write_text("\n".join(lines) + "\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=4)
    assert vectordata.read(done.path).whole.tolist() == [2**40 + n for n in range(10)]
    assert [one.reason.split()[1] for one in done.letters] == ["2"]


def test_features_with_commas_between_are_all_read(lines, tmp_path):
    """The same where each line but the last ends in a comma."""
    source = tmp_path / "s.geojson"
    source.write_text(",\n".join(lines))
    assert len(vectordata.read(vectorjobs.run("vector.convert", source, tmp_path / "o").path)) == 10


def test_features_without_lines_of_their_own(lines, tmp_path):
    """Nobody could say where they end for OGR: the source is refused, not cut."""
    source = tmp_path / "s.geojson"
    for text in (lines[0] + " " + lines[1], lines[0].replace(",", ",\n") + ",\n" + lines[1]):
        source.write_text(text)
        with pytest.raises(CorruptSourceError, match="goes on after its first feature"):
            vectorjobs.probe("vector.convert", source)
    source.write_text(lines[0].replace(",", ",\n") + "\n\n")
    assert vectorjobs.probe("vector.convert", source).grid.width == 1


def test_a_record_nested_too_deep(lines, tmp_path):
    """It is no error of the program's, and no reason to give up the others."""
    deep = "[" * 200_000 + "]" * 200_000
    lines[3] = lines[3].replace('"name": ', f'"odd": {deep}, "name": ')
    source = tmp_path / "s.geojsonl"
    source.write_text("\n".join(lines) + "\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert len(vectordata.read(done.path)) == 9
    assert done.letters[0].reason.startswith("record 4 is no JSON (its values are nested too deep)")


def test_a_byte_order_mark_costs_the_first_record_alone(lines, tmp_path):
    """OGR leaves it out; the others are published."""
    source = tmp_path / "s.geojsonl"
    source.write_text("\ufeff" + "\n".join(lines) + "\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=4)
    assert len(vectordata.read(done.path)) == 9
    assert done.letters[0].reason.startswith("record 1 begins with a byte order mark")


def _together(lines):
    """Features that share a line with the one before: after a blank, a comma, nothing, a separator,
    other text; the last is cut off."""
    shared = [
        f"{lines[1]} {lines[2]}",
        f"{lines[4]}, {lines[5]}",
        f"{lines[6]}{lines[7]}{lines[8]}",
    ]
    odd = [f"{lines[9]}\x1e{lines[9]}", f"{lines[9]}] x {lines[9]}", lines[9] + lines[9][:40]]
    return [lines[0], shared[0], lines[3], *shared[1:], *odd, lines[9]]


@pytest.mark.parametrize(
    ("params", "separator", "features"),
    [
        ({}, "", 0),
        ({}, "\x1e", 3),
        ({"bounds": [-180, -90, 180, 90]}, "", 3),
        ({"bounds": [-180, -90, 180, 90]}, "\x1e", 0),
        ({"where": "whole > 0"}, "", 0),
        ({"where": "whole > 0"}, "\x1e", 3),
    ],
)
def test_features_that_share_a_record(params, separator, features, lines, tmp_path):
    """Case 53: OGR reads the first of them; what follows has a letter, and is not lost in silence."""
    text = "".join(f"{separator}{line}\n" for line in _together(lines))
    source = tmp_path / "s.geojsonl"
    if separator:  # between records it is one; a record may hold several lines
        text = text.replace("\x1e{", "\n{").replace("\n\n{", f"\n{separator}{{")
        text = separator + text.lstrip()
    source.write_text(text)
    done = vectorjobs.run(
        "vector.convert", source, tmp_path / "out", params=params, features=features
    )
    numbers = vectordata.read(done.path).whole - 2**40
    assert numbers.tolist() == [0, 1, 3, 4, 6, 9, 9, 9, 9]
    assert [one.reason.split()[1] for one in done.letters] == ["2", "4", "5", "6", "7", "8"]
    assert {one.reason.split("; ")[0].split(" ", 2)[2] for one in done.letters} == {
        "goes on after its first feature, which is all that OGR reads"
    }
    assert any("the rest is set aside: 2, 4, 5, 6, 7, 8" in told for told in done.plan.warnings)
    facts = done.receipt.facts
    assert (facts["features_in"], facts["features_out"]) == (15, 9)


def test_braces_in_values_are_no_features(lines, tmp_path):
    """In text, and in lists of objects; a collection of geometries has these."""
    lines[2] = lines[2].replace("näme 2", "} {a}, {b} ] {")
    lines[3] = lines[3].replace('"name": ', '"odd": [{"a": 1}, {"b": [{}]}], "name": ')
    both = (
        '{"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}, '
    )
    both += '{"type": "Point", "coordinates": [1, 2]}]}'
    source = tmp_path / "s.geojsonl"
    source.write_text("\n".join([*lines, both]) + "\n")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert done.receipt.facts["features_out"] == 11
    assert not done.letters


def test_the_text_of_a_shared_record_is_found(lines, tmp_path):
    """Its letter has a command that prints it, behind those of records that are none."""
    source = tmp_path / "s.geojsonl"
    source.write_text("\n".join([lines[0], lines[1] + lines[2], "xyz", lines[3]]) + "\n")
    plan = vectorjobs.probe("vector.convert", source)
    item = vectorjobs.context("vector.convert", source, tmp_path, plan, None, "GeoParquet")
    said = [
        subprocess.run(
            shlex.split(get_operation("vector.convert").reproduce(item, Window(n, 0, 1, 1))),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in (3, 4)
    ]
    assert said == ["xyz\n", lines[1] + lines[2] + "\n"]
