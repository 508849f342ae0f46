"""The CRS of a vector source: its own, one that fills a gap, one that replaces it."""

from __future__ import annotations

import shlex

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CrsError
from geobatch_tui.execution.ops.registry import get_operation

TO = {"dst_crs": "EPSG:3035"}
UTM = "EPSG:32632"


def test_the_crs_of_a_file_stands(tmp_path):
    """src_crs is for files that have none; the plan says that it is not taken."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "a.gpkg")
    alone = vectorjobs.probe("vector.reproject", source, params=TO)
    given = vectorjobs.probe("vector.reproject", source, params=TO, options={"src_crs": UTM})
    assert given.detail == alone.detail
    assert given.notes["crs_source"] == alone.notes["crs_source"] == "file"
    assert any("'WGS 84' (EPSG:4326), which stands" in text for text in given.warnings)


def test_a_crs_can_be_replaced(tmp_path):
    """override_crs is taken whatever the file says; the plan says what it replaces, GDAL's command
    takes it too."""
    frame = vectordata.layer(20).to_crs(UTM).set_crs(4326, allow_override=True)
    source = vectordata.write(frame, tmp_path / "a.gpkg")
    (tmp_path / "out").mkdir()
    done = vectorjobs.run(
        "vector.reproject", source, tmp_path / "out", params=TO, options={"override_crs": UTM}
    )
    assert done.plan.notes["crs_source"] == "override"
    assert any("replaces the CRS of the source" in text for text in done.plan.warnings)
    made = vectordata.read(done.path).geometry
    right = vectordata.layer(20).to_crs(UTM).to_crs(3035).geometry
    assert made.geom_equals_exact(right, 1e-6).all()
    words = shlex.split(get_operation("vector.reproject").gdal_command(done.item))
    assert words[words.index("-s_srs") + 1] == UTM


def test_a_gap_is_filled(tmp_path):
    """A Shapefile without .prj has no CRS; with one, it has that of the file beside it."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "a.shp")
    options = {"src_crs": "EPSG:4326"}
    assert vectorjobs.probe("vector.convert", source).notes["crs_source"] == "sidecar"
    source.with_suffix(".prj").unlink()
    filled = vectorjobs.probe("vector.convert", source, options=options)
    assert filled.notes["crs_source"] == "src_crs"
    assert "crs_source" not in vectorjobs.probe("vector.convert", source).notes
    with pytest.raises(CrsError, match="has no CRS") as caught:
        vectorjobs.probe("vector.reproject", source, params=TO)
    assert "source.src_crs" in caught.value.hint


def test_a_refusal_knows_where_the_crs_is_from(tmp_path):
    """require_crs names codes, and the evidence says where the CRS is from."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "a.gpkg")
    with pytest.raises(CrsError, match=r"\(EPSG:4326\), require_crs .* \(EPSG:32632\)") as caught:
        vectorjobs.probe("vector.convert", source, options={"require_crs": UTM})
    assert caught.value.evidence["crs_source"] == "file"
