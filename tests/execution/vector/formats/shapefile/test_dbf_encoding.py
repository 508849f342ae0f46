"""Case 41: text of a Shapefile of which no file says the encoding."""

from __future__ import annotations

import zipfile

import geopandas as gpd
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.execution.vector.formats.shapefile.dbf_table import UTF8, WINDOWS
from geobatch_tui.execution.vector.gdal_commands import ogr2ogr

NAMES = ["Doña Ana", "plain", "Coaña", None, "", "€ ü"]


def write(path, names, encoding, *, field="name", cpg=""):
    """A Shapefile of points, each with one of the texts ``names`` (or bytes) in this encoding."""
    shapes = [shapely.Point(n, 1) for n in range(len(names))]
    path.parent.mkdir(exist_ok=True)
    frame = gpd.GeoDataFrame({field: names}, geometry=shapes, crs=4326)
    vectordata.write(frame, path, encoding=encoding)
    path.with_suffix(".cpg").unlink(missing_ok=True)
    if cpg:
        path.with_suffix(".cpg").write_text(cpg)
    table = path.with_suffix(".dbf")
    raw = bytearray(table.read_bytes())
    raw[29] = 0  # nor does the table itself
    table.write_bytes(raw)
    return path


def convert(source, tmp_path, encoding="auto", **more):
    params = {"encoding": encoding}
    return vectorjobs.run("vector.convert", source, tmp_path / "out", params=params, **more)


def told(done):
    return [line for line in done.plan.warnings if "encoding" in line]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("given", "found", "said"),
    [("UTF-8", UTF8, "all of it is UTF-8"), ("CP1252", WINDOWS, "it is read as Windows-1252")],
)
def test_text_is_read_as_all_of_it_can_be(given, found, said, packed, tmp_path):
    """The same for the whole file, and for names of its fields; and it is said which."""
    source = write(tmp_path / "s" / "s.shp", NAMES, given, field="größe")
    if packed:
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            for each in source.parent.iterdir():
                archive.write(each, each.name.upper())
        source = tmp_path / "s.zip"
    done = convert(source, tmp_path, features=2)
    assert not done.letters
    assert vectordata.read(done.path)["größe"].fillna("").tolist() == [one or "" for one in NAMES]
    (line,) = told(done)
    assert said in line
    assert done.receipt.facts["encoding"] == done.plan.notes["encoding"] == found
    assert f"-oo ENCODING={found}" in ogr2ogr(done.item)


def test_nothing_is_said_of_plain_text(tmp_path):
    done = convert(write(tmp_path / "s.shp", ["a", "b", None], "UTF-8"), tmp_path)
    assert (told(done), done.receipt.facts.get("encoding")) == ([], None)
    named = write(tmp_path / "n" / "s.shp", NAMES, "UTF-8", cpg="UTF-8")
    assert not told(convert(named, tmp_path / "n"))
    bare = write(tmp_path / "b" / "s.shp", NAMES, "CP1252")
    done = vectorjobs.run("vector.convert", bare, tmp_path / "o", params={"columns": []})
    assert not told(done)


def test_strict_takes_nothing_for_another(tmp_path):
    """What is not UTF-8 is set aside, and the plan says what it is taken for."""
    done = convert(write(tmp_path / "s.shp", NAMES, "CP1252"), tmp_path, "strict")
    assert [letter.position for letter in done.letters] == [0, 2, 5]
    assert "taken for UTF-8" in told(done)[0]
    assert (
        vectorjobs.probe("vector.convert", tmp_path / "s.shp", params={"encoding": ""}).notes[
            "encoding"
        ]
        == WINDOWS
    ), "as jobs had it that left it empty"


def test_text_that_is_neither(tmp_path):
    """One byte is nothing in Windows-1252."""
    source = write(tmp_path / "s.shp", ["K€", "ü", "b"], "CP1252")
    table = source.with_suffix(".dbf")
    table.write_bytes(table.read_bytes().replace(b"K\x80", b"K\x9d"))
    done = convert(source, tmp_path)
    assert [letter.position for letter in done.letters] == [0, 1]
    assert "neither UTF-8 nor Windows-1252" in told(done)[0]
    assert "encoding" not in done.receipt.facts


def test_a_text_that_is_cut_amid_a_character_is_utf8(tmp_path):
    """Its field has no room for the rest: it alone is set aside."""
    source = write(tmp_path / "s.shp", ["ü" * 3, "ää", "xü"], "UTF-8")
    table = source.with_suffix(".dbf")
    raw = table.read_bytes()
    assert raw.count("üüü".encode()) == 1
    at = raw.index("üüü".encode())
    width = raw[32 + 16]
    assert width >= 6
    text = (b"x" * (width - 1)) + "ü".encode()[:1]
    table.write_bytes(raw[:at] + text + raw[at + width :])
    done = convert(source, tmp_path)
    assert [letter.position for letter in done.letters] == [0]
    assert vectordata.read(done.path).name.tolist() == ["ää", "xü"]
