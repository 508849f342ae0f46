"""Vector files inside of zip archives."""

from __future__ import annotations

import zipfile

import pyogrio
import pytest
import vectordata
import vectorjobs
from geopandas.testing import assert_geodataframe_equal

from geobatch_tui.errors import (
    CorruptSourceError,
    SchemaError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.sources import files
from geobatch_tui.execution.vector import archive


def pack(path, **files):
    """An archive of files or texts, by their names in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(
                name, content.read_bytes() if hasattr(content, "read_bytes") else content
            )
    return path


@pytest.mark.parametrize("suffix", ["shp", "gpkg", "fgb", "geojson"])
def test_a_packed_file_is_read_as_the_file(suffix, tmp_path):
    """In a folder of the archive, with all that belongs to it; nothing is unpacked."""
    frame = vectordata.layer(300).drop(columns="day")
    (tmp_path / "plain").mkdir()
    source = vectordata.write(frame, tmp_path / "plain" / f"s.{suffix}")
    members = {f"data/{each.name}": each for each in source.parent.iterdir()}
    packed = pack(tmp_path / "s.zip", **members, **{"readme.txt": "", "__MACOSX/s.shp": ""})
    plain = vectorjobs.run(
        "vector.reproject", source, tmp_path / "a", params={"dst_crs": "EPSG:3035"}
    )
    done = vectorjobs.run(
        "vector.reproject", packed, tmp_path / "b", params={"dst_crs": "EPSG:3035"}, features=70
    )
    assert len(done.chunks) == 5
    assert done.plan.notes["access"] == "drain"
    assert done.path.read_bytes() == plain.path.read_bytes()
    assert f"/vsizip/{{{packed}}}/data/s.{suffix}" in done.plan.detail["place"]


def test_what_is_refused(tmp_path, monkeypatch):
    """No vector file, several, one that leads elsewhere, a bomb, and what is no archive."""
    monkeypatch.setattr(archive, "_LARGE", 2**20)
    empty = b'{"type": "FeatureCollection", "features": []}'

    def refused(error, match, **files):
        source = pack(tmp_path / "s.zip", **files)
        with pytest.raises(error, match=match):
            vectorjobs.probe("vector.convert", source)

    refused(UnsupportedFormatError, "no vector file", **{"readme.txt": ""})
    refused(SchemaError, "2 vector files", **{"a.geojson": empty, "b.geojson": empty})
    refused(UnsafeInputError, "leads out", **{"../a.geojson": empty})
    refused(UnsafeInputError, "unpacks to", **{"a.geojson": b" " * 2**22})
    source = pack(tmp_path / "s.zip", **{"a.geojson": empty})
    source.write_bytes(source.read_bytes()[:60])
    with pytest.raises(CorruptSourceError):
        vectorjobs.probe("vector.convert", source)


def test_a_packed_geodatabase(tmp_path):
    """A directory in the archive is one source, whatever its files are called."""
    source = vectordata.write(vectordata.layer(300), tmp_path / "s.gdb")
    packed = pack(tmp_path / "s.gdb.zip", **{f"a/s.gdb/{one.name}": one for one in files(source)})
    plain = vectorjobs.run("vector.convert", source, tmp_path / "x")
    done = vectorjobs.run("vector.convert", packed, tmp_path / "y", features=70)
    assert done.path.read_bytes() == plain.path.read_bytes()


def test_a_geopackage_comes_out_whole(tmp_path):
    """From one archive into another format, features and all."""
    frame = vectordata.layer(200).drop(columns="day")
    source = vectordata.write(frame, tmp_path / "s.fgb")
    packed = pack(tmp_path / "p.zip", **{"s.fgb": source})
    done = vectorjobs.run("vector.convert", packed, tmp_path / "out", form="GPKG")
    found = pyogrio.read_dataframe(done.path).sort_values("whole").reset_index(drop=True)
    assert_geodataframe_equal(found, frame, check_dtype=False)
