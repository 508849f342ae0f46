"""Widths of text fields are kept where the output format holds them, as ogr2ogr keeps them."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import vectorjobs

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = b"GDAL:OGR:width"
#: Longer than the field is wide: no format of a source that is read forbids that.
LONG = "nine and more: éàü" * 3


def layer(path: Path) -> Path:
    """A GeoPackage with a text of eight characters, a text of any number, and one too long."""
    shapes = pa.array(shapely.to_wkb(shapely.points([[1, 2], [3, 4], [5, 6]])), pa.binary())
    columns = {"short": ["a", "b", None], "any": ["b", LONG, None], "n": [1, 2, 3], "g": shapes}
    table = pa.table(columns)
    wide = table.schema.field("short").with_metadata({WIDTH: b"8"})
    table = table.cast(table.schema.set(0, wide))
    pyogrio.write_arrow(
        table, path, driver="GPKG", layer="s", geometry_name="g", geometry_type="Point",
        crs="EPSG:4326", layer_options={"SPATIAL_INDEX": "NO"},
    )  # fmt: skip
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE s SET short = any WHERE n = 2")
    return path


def widths(path: str) -> dict[str, int]:
    with pyogrio.open_arrow(path, use_pyarrow=True) as (_, reader):
        found = {each.name: (each.metadata or {}).get(WIDTH) for each in reader.schema}
    return {name: int(width) for name, width in found.items() if width}


@pytest.mark.parametrize("form", ["GPKG", "FlatGeobuf", "Shapefile"])
def test_the_width_of_a_text_field_is_kept(form: str, tmp_path: Path) -> None:
    source = layer(tmp_path / "s.gpkg")
    done = [
        vectorjobs.run(
            "vector.convert", source, tmp_path / f"out{features}", form=form, features=features
        )
        for features in (1, 3)
    ]
    assert done[0].path.read_bytes() == done[1].path.read_bytes()
    assert not done[0].letters
    found = widths(str(done[0].path))
    # A Shapefile has one for every field, wide enough for what is there.
    wanted = {"short": len(LONG.encode()), "any": 80} if form == "Shapefile" else {"short": 8}
    assert found == wanted
    _, rows = pyogrio.read_arrow(str(done[0].path), read_geometry=False)
    rows = rows.sort_by("n").to_pydict()
    assert rows["short"] == ["a", LONG, None]
    assert rows["any"] == ["b", LONG, None]


def test_a_geopackage_says_the_width_in_its_table(tmp_path: Path) -> None:
    done = vectorjobs.run(
        "vector.convert", layer(tmp_path / "s.gpkg"), tmp_path / "out", form="GPKG"
    )
    with contextlib.closing(sqlite3.connect(done.path)) as db:
        (name,) = db.execute("SELECT table_name FROM gpkg_contents").fetchone()
        kinds = {one[1]: one[2] for one in db.execute(f'PRAGMA table_info("{name}")')}
    assert (kinds["short"], kinds["any"]) == ("TEXT(8)", "TEXT")


def test_a_format_without_widths_says_nothing_of_them(tmp_path: Path) -> None:
    source = layer(tmp_path / "s.gpkg")
    kept = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert pq.read_schema(kept.path).field("short").metadata is None
