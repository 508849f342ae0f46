"""Names that pyogrio would change, on their way in and out."""

from __future__ import annotations

import os
import shutil

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import UnsupportedFormatError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.looking import InspectTask

NAMES = [
    "a [red]x[",
    "wow!",
    "semi;colon",
    "new\nline",
    "x'\"`$(id)",
    "per%20cent?a=b#c",
    "{x}",
    "gpkg_a",
    "-x",
    os.fsdecode(b"lat\xe9"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return {
        suffix: vectordata.write(vectordata.layer(12), folder / f"s.{suffix}")
        for suffix in ("gpkg", "fgb", "parquet", "geojson")
    }


#: Every name for the formats of which OGR names a layer after the file, and each for some others.
READ = [
    *((name, suffix) for suffix in ("gpkg", "geojson") for name in NAMES),
    *((name, "fgb") for name in NAMES[::2]),
    *((name, "parquet") for name in NAMES[1::2]),
]
WRITTEN = [
    *((name, form) for form in ("GPKG", "Shapefile") for name in NAMES),
    *((name, form) for form in ("FlatGeobuf", "GeoJSONSeq") for name in NAMES[::2]),
    *((name, form) for form in ("GeoParquet", "GeoJSON") for name in NAMES[1::2]),
]


@pytest.mark.parametrize(("name", "suffix"), READ, ids=ascii)
def test_sources_are_read_by_their_names(name, suffix, sources, tmp_path):
    """Every one of them, in a folder that is no better."""
    source = tmp_path / "fol!der;" / f"{name}.{suffix}"
    source.parent.mkdir()
    shutil.copy(sources[suffix], source)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=5)
    assert done.receipt.facts["features_out"] == 12


@pytest.mark.parametrize("suffix", ["geojsonl", "shp"])
def test_layers_of_names_that_are_not_utf8(suffix, tmp_path):
    """Where OGR names the layer after the file, it is refused, and the reason is the name."""
    source = vectordata.write(vectordata.layer(12), tmp_path / f"s.{suffix}")
    for each in [*tmp_path.iterdir()]:
        each.rename(tmp_path / os.fsdecode(b"lat\xe9" + each.suffix.encode()))
    source = tmp_path / os.fsdecode(b"lat\xe9." + suffix.encode())
    with pytest.raises(UnsupportedFormatError, match="which is not UTF-8") as e:
        vectorjobs.probe("vector.convert", source)
    assert "another name" in e.value.hint


@pytest.mark.parametrize(("name", "form"), WRITTEN, ids=ascii)
def test_outputs_are_written_under_their_names(name, form, sources, tmp_path):
    """And nothing beside them; they are ours when they are read again."""
    source = tmp_path / f"{name}.gpkg"
    shutil.copy(sources["gpkg"], source)
    out = tmp_path / "o!u;t\n"
    out.mkdir()
    done = vectorjobs.run("vector.convert", source, out, form=form)
    assert {path.name for path in out.iterdir()} == {".geobatch", done.path.name}
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name}
    task = InspectTask(0, "vector.convert", str(done.path))
    found = get_operation("vector.convert").inspect(task, vectorjobs.stage)
    assert found.fingerprint == ("" if form == "GeoJSONSeq" else vectorjobs.FINGERPRINT)


def test_another_file_is_not_read_in_place_of_the_one_named(sources, tmp_path):
    """What stands behind a ``!`` is no path of its own."""
    other = tmp_path / "other.gpkg"
    vectordata.write(vectordata.layer(3), other)
    source = tmp_path / f"x!{other}"
    source.parent.mkdir(parents=True)
    shutil.copy(sources["gpkg"], source)
    done = vectorjobs.run("vector.convert", source, tmp_path / "out")
    assert done.receipt.facts["features_in"] == 12
