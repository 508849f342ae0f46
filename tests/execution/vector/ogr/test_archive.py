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
from geobatch_tui.execution.sources.source_files import files
from geobatch_tui.execution.vector.ogr import archive


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
    frame = vectordata.layer(100).drop(columns="day")
    (tmp_path / "plain").mkdir()
    source = vectordata.write(frame, tmp_path / "plain" / f"s.{suffix}")
    members = {f"data/{each.name}": each for each in source.parent.iterdir()}
    packed = pack(tmp_path / "s.zip", **members, **{"readme.txt": "", "__MACOSX/s.shp": ""})
    plain = vectorjobs.run(
        "vector.reproject", source, tmp_path / "a", params={"dst_crs": "EPSG:3035"}
    )
    done = vectorjobs.run(
        "vector.reproject", packed, tmp_path / "b", params={"dst_crs": "EPSG:3035"}, features=24
    )
    assert len(done.chunks) == 5
    assert done.plan.notes["access"] == "drain"
    assert done.path.read_bytes() == plain.path.read_bytes()
    assert f"/vsizip/{{{packed}}}/data/s.{suffix}" in done.plan.detail["place"]


def test_what_is_refused(tmp_path, monkeypatch):
    """No vector file, several, one that leads elsewhere, a bomb, and what is no archive."""
    monkeypatch.setattr(archive, "BOMB_BYTES", 2**20)
    empty = b'{"type": "FeatureCollection", "features": []}'

    def refused(error, match, **files):
        source = pack(tmp_path / "s.zip", **files)
        with pytest.raises(error, match=match):
            vectorjobs.probe("vector.convert", source)

    refused(UnsupportedFormatError, "no vector file", **{"readme.txt": ""})
    refused(SchemaError, "2 vector files", **{"a.geojson": empty, "b.geojson": empty})
    refused(UnsafeInputError, "leads out", **{"../a.geojson": empty})
    refused(UnsafeInputError, "has a backslash", **{"b\\a.geojson": empty})
    refused(UnsafeInputError, "unpacks to", **{"a.geojson": b" " * 2**22})
    source = pack(tmp_path / "s.zip", **{"a.geojson": empty})
    source.write_bytes(source.read_bytes()[:60])
    with pytest.raises(CorruptSourceError):
        vectorjobs.probe("vector.convert", source)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("suffix", ["fgb", "gpkg", "shp", "geojson"])
def test_other_bytes_than_were_packed_are_refused(suffix, packing, tmp_path):
    """GDAL would read what is not compressed as it is, and of the rest what it comes upon."""
    folder = tmp_path / "plain"
    folder.mkdir()
    vectordata.write(vectordata.layer(100), folder / f"s.{suffix}")
    source = tmp_path / "s.zip"
    with zipfile.ZipFile(source, "w", packing) as packed:
        for each in sorted(folder.iterdir()):
            packed.write(each, each.name)
        largest = max(packed.infolist(), key=lambda one: one.compress_size)
    raw = bytearray(source.read_bytes())
    raw[largest.header_offset + 100 + largest.compress_size // 2] ^= 1
    source.write_bytes(raw)
    with pytest.raises(CorruptSourceError, match="cannot be unpacked"):
        vectorjobs.probe("vector.convert", source)
    params = {"mask": str(source), "predicate": "intersects"}
    layer = vectordata.write(vectordata.layer(5), tmp_path / "l.gpkg")
    with pytest.raises(CorruptSourceError, match="cannot be unpacked"):
        vectorjobs.run("vector.filter", layer, tmp_path / "out", params=params)


def test_two_files_of_one_name_are_refused(tmp_path):
    """GDAL takes the first, other programs the last."""
    source = tmp_path / "s.zip"
    with zipfile.ZipFile(source, "w") as packed:
        packed.writestr("s.geojson", "{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("s.geojson", "{}")
    with pytest.raises(SchemaError, match=r"several files with the name 's\.geojson'"):
        vectorjobs.probe("vector.convert", source)


@pytest.mark.parametrize("name", ["a}b", "a{b", "}{", "a {b} [c]"])
def test_an_archive_with_braces_in_its_name(name, tmp_path):
    """GDAL takes braces round the name for its end."""
    source = pack(tmp_path / f"{name}.zip", **{"s.csv": 'WKT\n"POINT (1 2)"\njunk\n'})
    options = {"src_crs": "EPSG:4326"}
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", options=options)
    assert len(vectordata.read(done.path)) == 1
    assert len(done.letters) == 1


def test_a_packed_geodatabase(tmp_path):
    """A directory in the archive is one source, whatever its files are called."""
    source = vectordata.write(vectordata.layer(100), tmp_path / "s.gdb")
    packed = pack(tmp_path / "s.gdb.zip", **{f"a/s.gdb/{one.name}": one for one in files(source)})
    plain = vectorjobs.run("vector.convert", source, tmp_path / "x")
    done = vectorjobs.run("vector.convert", packed, tmp_path / "y", features=24)
    assert done.path.read_bytes() == plain.path.read_bytes()


def test_a_geopackage_comes_out_whole(tmp_path):
    """From one archive into another format, features and all."""
    frame = vectordata.layer(200).drop(columns="day")
    source = vectordata.write(frame, tmp_path / "s.fgb")
    packed = pack(tmp_path / "p.zip", **{"s.fgb": source})
    done = vectorjobs.run("vector.convert", packed, tmp_path / "out", form="GPKG")
    found = pyogrio.read_dataframe(done.path).sort_values("whole").reset_index(drop=True)
    assert_geodataframe_equal(found, frame, check_dtype=False)
