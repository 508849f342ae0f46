"""What a probe refuses, and what it plans."""

from __future__ import annotations

import json
import warnings

import corpus
import pytest
import rasterio
from planning import probe
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as rio_copy

from geobatch_tui import errors
from geobatch_tui.errors import CrsError, PreflightError, SchemaError
from geobatch_tui.execution.raster.plan import RasterPlan

TO_3857 = {"dst_crs": "EPSG:3857", "resampling": "bilinear"}
REFUSED_AT_PROBE = {
    name: case for name, case in corpus.CASES.items() if case.errors and name != "corrupt_tile"
}


@pytest.mark.parametrize("name", REFUSED_AT_PROBE)
def test_bad_sources_are_refused_before_any_pixel(tmp_path, name):
    """Each bad file of the corpus ends in the class that the catalogue names."""
    case = corpus.CASES[name]
    (tmp_path / "in").mkdir()
    path = case.make(tmp_path / "in")
    with pytest.raises(tuple(getattr(errors, kind) for kind in case.errors)):
        probe(path, TO_3857)


@pytest.mark.parametrize("name", [name for name, case in corpus.CASES.items() if not case.errors])
@pytest.mark.parametrize("op", ["raster.reproject", "raster.convert"])
def test_sound_sources_are_planned(tmp_path, name, op):
    """Every sound file gets a plan that survives JSON, the same each time."""
    path = corpus.CASES[name].make(tmp_path)
    params = TO_3857 if op == "raster.reproject" else {}
    first, second = probe(path, params, op=op), probe(path, params, op=op)
    assert first == second
    plan = RasterPlan.from_json(json.loads(json.dumps(first.detail)))
    assert json.dumps(plan.to_json()) == json.dumps(first.detail)
    assert first.chunk_bytes > plan.width * plan.height * plan.count
    west, south, east, north = first.bounds_lonlat
    assert 1 < west < east < 25
    assert 33 < south < north < 60


def test_a_missing_crs_can_be_given(tmp_path):
    """src_crs of the source fills the gap; the operation's, and override_crs, do so too."""
    path = corpus.no_crs(tmp_path)
    told = probe(path, {**TO_3857, "src_crs": "EPSG:4326"})
    filled = probe(path, TO_3857, src_crs="EPSG:4326")
    replaced = probe(path, TO_3857, src_crs="EPSG:32632", override_crs="EPSG:4326")
    assert told.detail == filled.detail == replaced.detail
    assert filled.notes["crs_source"] == "src_crs"
    assert told.notes["crs_source"] == replaced.notes["crs_source"] == "override"
    assert not filled.warnings
    assert not replaced.warnings
    with pytest.raises(CrsError, match="has no CRS") as caught:
        probe(path, TO_3857)
    assert "source.src_crs" in caught.value.hint
    assert "crs_source" not in caught.value.evidence


@pytest.mark.parametrize("op", ["raster.reproject", "raster.convert"])
def test_the_crs_of_a_file_stands(tmp_path, op):
    """src_crs does not touch a file that has a CRS, and the plan says so; override_crs replaces
    it, and the plan says that."""
    path = corpus.good(tmp_path)
    params = TO_3857 if op == "raster.reproject" else {}
    alone = probe(path, params, op=op)
    given = probe(path, params, op=op, src_crs="EPSG:32632")
    assert given.detail == alone.detail
    assert given.notes["crs_source"] == alone.notes["crs_source"] == "file"
    assert any("'WGS 84' (EPSG:4326), which stands" in text for text in given.warnings)
    assert not probe(path, params, op=op, src_crs="OGC:CRS84").warnings

    changed = probe(path, params, op=op, override_crs="EPSG:4258")
    assert changed.notes["crs_source"] == "override"
    assert any(
        "source.override_crs replaces the CRS of the source, 'WGS 84' (EPSG:4326), by "
        "'ETRS89' (EPSG:4258)" in text
        for text in changed.warnings
    )


def test_a_crs_beside_the_file_is_told_apart(tmp_path):
    """The CRS of a GeoTIFF may lie in its .aux.xml, as that of a PNG does."""
    path = corpus.no_crs(tmp_path)
    beside = path.with_name(path.name + ".aux.xml")
    beside.write_text("<PAMDataset><SRS>EPSG:4326</SRS></PAMDataset>")
    assert probe(path, TO_3857, src_crs="EPSG:32632").notes["crs_source"] == "sidecar"
    good = corpus.good(tmp_path)
    beside.rename(good.with_name(good.name + ".aux.xml"))
    assert probe(good, TO_3857).notes["crs_source"] == "file"
    with rasterio.open(good) as dataset:
        rio_copy(dataset, tmp_path / "a.png", driver="PNG", worldfile="YES")
    assert probe(tmp_path / "a.png", TO_3857).notes["crs_source"] == "sidecar"


def test_where_the_crs_is_from_goes_with_a_refusal(tmp_path):
    """A letter of what is refused for its CRS says where that comes from, and its code."""
    path = corpus.good(tmp_path)
    with pytest.raises(
        CrsError, match=r"'WGS 84' \(EPSG:4326\), require_crs .* \(EPSG:32632\)"
    ) as caught:
        probe(path, TO_3857, require_crs="EPSG:32632")
    assert caught.value.evidence["crs_source"] == "file"


def test_required_crs(tmp_path):
    """What is not in require_crs is refused; axis order and spelling do not matter."""
    path = corpus.good(tmp_path)
    assert probe(path, TO_3857, require_crs="OGC:CRS84")
    with pytest.raises(CrsError, match="require_crs"):
        probe(path, TO_3857, require_crs="EPSG:32632")


def test_unknown_crs_texts(tmp_path):
    """A destination that PROJ does not know is refused by configuration, a source's as a CRS."""
    path = corpus.good(tmp_path)
    with pytest.raises(PreflightError, match="dst_crs"):
        probe(path, {"dst_crs": "EPSG:999999"})
    with pytest.raises(CrsError, match="src_crs"):
        probe(path, {**TO_3857, "src_crs": "EPSG:999999"})


def test_ground_control_points_alone_are_named(tmp_path):
    """Case 8: the message counts them and says what to do."""
    path = tmp_path / "gcps.tif"
    points = [GroundControlPoint(r, c, 8 + c / 99, 50 - r / 99) for r in (0, 99) for c in (0, 99)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", width=99, height=99, count=1, dtype="uint8",
            gcps=points, crs="EPSG:4326",
        ) as dst:  # fmt: skip
            dst.write(corpus.picture(1, side=99))
    with pytest.raises(CrsError, match="4 ground control points"):
        probe(path, TO_3857)


def test_local_crs(tmp_path):
    """A LOCAL_CS is not on the Earth."""
    path = corpus.write(tmp_path / "local.tif", crs='LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(CrsError, match=r"local CRS|no CRS"):
        probe(path, TO_3857)
    assert probe(path, TO_3857, src_crs="EPSG:4326").notes["crs_source"] == "src_crs"


def test_point_pixels_are_kept_and_told(tmp_path):
    """AREA_OR_POINT=Point stays, with the pixels where GDAL puts them."""
    path = corpus.good(tmp_path)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(AREA_OR_POINT="Point")
    plan = probe(path, {}, op="raster.convert")
    assert RasterPlan.from_json(plan.detail).area_or_point == "Point"
    assert any("AREA_OR_POINT" in text for text in plan.warnings)
    with rasterio.open(path) as src:
        assert RasterPlan.from_json(plan.detail).transform == tuple(src.transform)[:6]


def test_heights_are_told(tmp_path):
    """Case 37: a compound CRS loses its vertical part, with a warning."""
    path = corpus.write(tmp_path / "v.tif", crs="EPSG:4326+5773")
    plan = probe(path, TO_3857)
    assert any("heights are not transformed" in text for text in plan.warnings)


def test_bands_of_different_types(tmp_path):
    """A GeoTIFF has one type: refused, with the types."""
    import numpy as np

    one = corpus.write(tmp_path / "one.tif", corpus.picture(1))
    two = corpus.write(tmp_path / "two.tif", corpus.picture(1).astype(np.uint16))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource>'
        f"<SourceFilename>{path}</SourceFilename></SimpleSource></VRTRasterBand>"
        for band, (path, kind) in enumerate([(one, "Byte"), (two, "UInt16")], 1)
    )
    vrt = tmp_path / "mixed.vrt"
    vrt.write_text(corpus._vrt(bands))
    with pytest.raises(SchemaError, match="uint16, uint8"):
        probe(vrt, TO_3857, allow_vrt=True)


def test_complex_pixels(tmp_path):
    """Complex numbers are not supported, and say so."""
    pixels = (corpus.picture(1) * (1 + 1j)).astype("complex64")
    with pytest.raises(SchemaError, match="complex64"):
        probe(corpus.write(tmp_path / "c.tif", pixels), TO_3857)


@pytest.mark.parametrize("kernel", ["bilinear", "average", "cubic", "max"])
def test_palettes_are_not_blended(tmp_path, kernel):
    """Case 18: only nearest and mode leave class numbers alone."""
    path = corpus.palette(tmp_path)
    with pytest.raises(SchemaError, match="palette"):
        probe(path, {"dst_crs": "EPSG:3857", "resampling": kernel})
    plan = RasterPlan.from_json(probe(path, {"dst_crs": "EPSG:3857", "resampling": "mode"}).detail)
    assert plan.colorinterp == ("palette",)
    assert plan.colormap[3] == (90, 165, 128, 255)
    assert plan.encoding.overview_resampling == "nearest"


def test_what_a_plan_carries_over(tmp_path):
    """Descriptions, scales, offsets, units, tags and colours of the source."""
    path = corpus.good(tmp_path)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("red one", None, "blue one")
        dst.scales, dst.offsets = (0.1, 1, 1), (5, 0, 0)
        dst.units = ("m", "", "")
        dst.update_tags(MISSION="x", TIFFTAG_SOFTWARE="y")
    plan = RasterPlan.from_json(probe(path, {**TO_3857, "add_alpha": True}).detail)
    assert plan.descriptions == ("red one", "", "blue one", "")
    assert plan.scales == (0.1, 1, 1, 1)
    assert plan.offsets == (5, 0, 0, 0)
    assert plan.units == ("m", "", "", "")
    assert plan.tags == {"MISSION": "x"}
    assert plan.colorinterp[-1] == "alpha"


def test_rows_cost_reads_and_the_plan_says_so(tmp_path):
    """Case 19: a source in strips, of more than a cache, is read many times over when turned."""
    path = tmp_path / "strips.tif"
    profile = corpus.profile_of(corpus.picture(1), tiled=False, blockxsize=None, blockysize=1,
                                width=20_000, height=4_000, compress=None, sparse_ok=True)  # fmt: skip
    with rasterio.open(path, "w", **profile):
        pass
    plan = probe(path, {"dst_crs": "EPSG:3035", "bounds": [4e6, 0, 5e6, 1e6], "resolution": 100})
    assert plan.notes["read_amplification"] > 4
    assert any("20000x1" in text for text in plan.warnings)
    copied = probe(path, {}, op="raster.convert")
    assert copied.grid.columns == 1


def test_the_plan_does_not_depend_on_chunks(tmp_path):
    """What goes into the fingerprint is the same for any cut."""
    path = corpus.good(tmp_path)
    small = probe(path, TO_3857, cols=64, rows=64, output={"creation": {"blocksize": 64}})
    large = probe(path, TO_3857, output={"creation": {"blocksize": 64}})
    assert small.detail == large.detail
    assert len(small.grid) > len(large.grid)
