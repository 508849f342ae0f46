from __future__ import annotations

import csv
import json
import os
from itertools import pairwise

import pytest

from geobatch_tui.errors import ConfigError, OutputGoneError
from geobatch_tui.orchestration.state.letter_export import feature, outline, write_letters

LETTER = {
    "item": "a.tif",
    "chunk": "a.tif@0,1",
    "error_class": "CorruptSourceError",
    "error_message": "block 3 cannot be read, nor 4",
    "stage": "read",
    "attempts": 1,
    "window": [256, 0, 256, 256],
    "bounds_lonlat": [-82.0, -20.0, -58.0, 2.0],
    "reproduce": "gdal_translate -srcwin 256 0 256 256 a.tif /dev/null",
    "suggestion": "fetch it again",
}


def test_dead_letter_is_a_feature():
    """A dead letter becomes a GeoJSON feature: its window's outline, counter-clockwise."""
    found = feature(LETTER)
    (ring,) = found["geometry"]["coordinates"]
    assert ring[0] == ring[-1] == [-82.0, -20.0]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2
    assert area == pytest.approx(24 * 22)
    assert found["properties"]["chunk"] == "a.tif@0,1"


def test_outline_is_cut_at_the_antimeridian():
    """A window from 170 E to 170 W is two polygons of 10 degrees, not one of 340."""
    found = outline([170, -5, -170, 5])
    assert found["type"] == "MultiPolygon"
    spans = [(part[0][0][0], part[0][1][0]) for part in found["coordinates"]]
    assert spans == [(170, 180), (-180, -170)]


def test_item_without_a_place_has_no_geometry():
    """A letter without bounds keeps its properties and has a null geometry (RFC 7946, 3.2)."""
    assert feature({**LETTER, "bounds_lonlat": None})["geometry"] is None


def test_table_has_a_row_a_letter(tmp_path):
    """CSV keeps commas and quotes, has the window and bounds in columns, and blanks for what an
    item has not."""
    odd = {**LETTER, "chunk": None, "window": None, "bounds_lonlat": None, "item": 'a"b, c.tif'}
    write_letters([LETTER, odd], tmp_path / "dead.csv")
    with (tmp_path / "dead.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["error_message"] == LETTER["error_message"]
    assert (first["col_off"], first["height"], first["west"]) == ("256", "256", "-82.0")
    assert (second["item"], second["chunk"], second["north"]) == ('a"b, c.tif', "", "")


def test_cells_are_no_formulas(tmp_path):
    """A file name that a spreadsheet would run is led by an apostrophe."""
    write_letters([{**LETTER, "item": "=HYPERLINK(1).tif"}], tmp_path / "dead.csv")
    assert "'=HYPERLINK" in (tmp_path / "dead.csv").read_text()


def test_format_follows_the_name(tmp_path):
    """The ending chooses the format; another one is refused before anything is written."""
    write_letters([LETTER], tmp_path / "dead.GEOJSON")
    assert len(json.loads((tmp_path / "dead.GEOJSON").read_text())["features"]) == 1
    with pytest.raises(ConfigError, match="no format"):
        write_letters([LETTER], tmp_path / "dead.xlsx")
    with pytest.raises(OutputGoneError, match="cannot write"):
        write_letters([LETTER], tmp_path / "none" / "dead.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["dead.GEOJSON"]


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    """In a directory that others may write to: what lies at the name of the unfinished file."""
    (tmp_path / "victim").write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "f")
    for name in (f".d.geojson.{os.getpid()}.part", ".d.geojson.f.part"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(OutputGoneError, match="exists"):
        write_letters([], tmp_path / "d.geojson")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "d.geojson").exists()
    monkeypatch.undo()
    write_letters([], tmp_path / "d.geojson")
    assert (tmp_path / "victim").read_text() == "mine"
    assert json.loads((tmp_path / "d.geojson").read_text())["features"] == []
