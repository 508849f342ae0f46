"""A run in a notebook: its dead letters and outputs with their places."""

from __future__ import annotations

import subprocess
import sys

import geopandas as gpd
import pytest
import shapely

import geobatch_tui
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema.updates import (
    ChunkDone,
    DeadLetter,
    ItemPlanned,
    ItemRow,
)
from geobatch_tui.ledger.write.writer import Ledger

GRID = {"width": 200, "height": 100, "chunk_width": 100, "chunk_height": 100}
RASTER = {
    "crs": "EPSG:3035", "transform": [10.0, 0.0, 4_000_000.0, 0.0, -10.0, 3_000_000.0],
    "width": 200, "height": 100, "count": 1,
}  # fmt: skip
POINT = shapely.Point(13.4, 52.5)


def item(root, item_id, key, first, *, detail, op="raster.convert", facts=None):
    return ItemRow(
        item_id=item_id, key=key, source=f"/data/{key}", src_size=1, src_mtime_ns=1, src_digest="a",
        params_digest="b", code_digest="c", fingerprint="d", params={"op": {"name": op}},
        plan={"grid": GRID, "detail": detail}, out_path=str(root / key), first_chunk=first,
        n_chunks=2, out_size=7, out_digest="e" * 64, facts=facts or {},
    )  # fmt: skip


def letter(item_id, chunk_id, error_class, **record):
    record = {"item": str(item_id), "error_message": "no", "attempts": 3} | record
    return DeadLetter(item_id, chunk_id, 3, 0, error_class, {"error_class": error_class} | record)


def feature(position, shape, *, whole=True):
    wkb = shapely.to_wkb(shape, hex=True)
    evidence = {"wkb": wkb if whole else wkb[:10], "wkb_bytes": len(wkb) // 2}
    return position, "GeometryError", {"feature": position, "evidence": evidence}


@pytest.fixture
def ledger(tmp_path):
    state = StateDir.open(tmp_path, create=True)
    with Ledger.open(state.ledger, tmp_path) as ledger:
        ledger.begin_run("run-1", {}, {})
        yield ledger


def test_windows_of_dead_chunks_are_polygons_of_their_grid(ledger, tmp_path):
    """In the CRS of the grid, as all letters are of one; with the time, and all that is said."""
    window = [100, 0, 100, 100]
    ledger.apply(
        [
            ItemPlanned(item(tmp_path, 1, "a.tif", 1, detail=RASTER)),
            letter(1, 2, "CorruptSourceError", chunk="a.tif@0,1", window=window),
        ]
    )
    frame = geobatch_tui.dead_letters_frame(tmp_path)
    assert frame.crs == "EPSG:3035"
    (row,) = frame.itertuples()
    assert row.geometry.equals(shapely.box(4_001_000, 2_999_000, 4_002_000, 3_000_000))
    assert (row.chunk, row.error_class, row.attempts) == ("a.tif@0,1", "CorruptSourceError", 3)
    assert [row.col_off, row.row_off, row.width, row.height] == window
    assert row.time.tzinfo is not None


def test_features_have_their_own_geometry(ledger, tmp_path):
    """One whose geometry the ledger keeps in part has none, rather than a wrong one."""
    detail = {"src_crs": "EPSG:4326", "dst_crs": "EPSG:3857"}
    letters = (feature(4, POINT), feature(5, shapely.box(0, 0, 1, 1), whole=False))
    done = ChunkDone(1, 1, 1, "s", 0, 1, 0, 9, 1, 1, 0.1, 0.0, 1, letters)
    ledger.apply([ItemPlanned(item(tmp_path, 1, "a.gpkg", 1, detail=detail)), done])
    frame = geobatch_tui.dead_letters_frame(geobatch_tui.open_run(tmp_path))
    assert frame.crs == "EPSG:4326"
    assert list(frame.feature) == [4, 5]
    assert frame.geometry[0].equals(POINT)
    assert frame.geometry[1] is None


def test_letters_of_several_grids_come_in_degrees_or_as_asked(ledger, tmp_path):
    """One frame, one CRS; what has no place keeps its row."""
    there = {**RASTER, "crs": "EPSG:3857", "transform": [1.0, 0.0, 0.0, 0.0, -1.0, 0.0]}
    ledger.apply(
        [
            ItemPlanned(item(tmp_path, 1, "a.tif", 1, detail=RASTER)),
            ItemPlanned(item(tmp_path, 2, "b.tif", 3, detail=there)),
            letter(1, 1, "VerifyError", window=[0, 0, 100, 100]),
            letter(2, 3, "VerifyError", window=[0, 0, 100, 100]),
            letter(2, None, "CrsError"),
        ]
    )
    frame = geobatch_tui.dead_letters_frame(tmp_path)
    assert frame.crs == "EPSG:4326"
    assert list(frame.geometry.isna()) == [False, False, True]
    assert frame.geometry[1].bounds == pytest.approx((0, -0.000898, 0.000898, 0), abs=1e-6)
    asked = geobatch_tui.dead_letters_frame(tmp_path, "VerifyError", crs="EPSG:3035")
    assert (len(asked), asked.crs) == (2, "EPSG:3035")
    assert asked.geometry[0].area == pytest.approx(1000 * 1000)


def test_outputs_are_boxes_in_the_crs_that_they_share(ledger, tmp_path):
    """Pixels and features, each with what is known of it; a file on disk is not looked at."""
    facts = {"features_out": 5, "bounds": [4_000_000, 2_900_000, 4_100_000, 3_000_000]}
    vector = {"src_crs": "EPSG:4326", "dst_crs": "EPSG:3035"}
    ledger.apply(
        [
            ItemPlanned(item(tmp_path, 1, "a.tif", 1, detail=RASTER), adopted=True),
            ItemPlanned(
                item(tmp_path, 2, "b.gpkg", 3, detail=vector, op="vector.convert", facts=facts),
                adopted=True,
            ),
        ]
    )
    frame = geobatch_tui.outputs_frame(tmp_path)
    assert frame.crs == "EPSG:3035"
    assert list(frame.item) == ["a.tif", "b.gpkg"]
    assert [shape.bounds for shape in frame.geometry] == [
        (4_000_000, 2_999_000, 4_002_000, 3_000_000),
        tuple(facts["bounds"]),
    ]
    assert list(frame["crs"]) == ["EPSG:3035", "EPSG:3035"]
    assert (frame.width[0], frame.features[1]) == (200, 5)


def test_a_frame_is_written_by_geopandas(ledger, tmp_path):
    """No column holds what a format of vectors has no type for."""
    ledger.apply(
        [
            ItemPlanned(item(tmp_path, 1, "a.tif", 1, detail=RASTER)),
            letter(1, 1, "VerifyError", window=[0, 0, 100, 100]),
        ]
    )
    geobatch_tui.dead_letters_frame(tmp_path).to_file(tmp_path / "dead.gpkg")
    assert len(gpd.read_file(tmp_path / "dead.gpkg")) == 1


def test_a_run_without_letters_has_a_frame_without_rows(ledger, tmp_path):
    """With its columns: a notebook that groups by one goes on."""
    frame = geobatch_tui.dead_letters_frame(tmp_path)
    assert frame.empty
    assert "error_class" in frame
    assert geobatch_tui.outputs_frame(tmp_path).empty


def test_geopandas_is_loaded_for_frames_only():
    """Neither the package nor a run loads it; where it is missing only frames are."""
    code = (
        "import sys, geobatch_tui\n"
        "geobatch_tui.open_run, geobatch_tui.run\n"
        "print('geopandas' in sys.modules)\n"
        "sys.modules['geopandas'] = None\n"
        "try:\n    geobatch_tui.outputs_frame\n"
        "except ImportError as error:\n    print(error.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "geopandas"]
