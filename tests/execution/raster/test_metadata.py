"""What a source says beside its pixels comes over, or the plan names it."""

from __future__ import annotations

import base64

import corpus
import pytest
import rasterio
from planning import OPERATIONS, item_of, no_stage, probe

from geobatch_tui.execution.messages import ChunkTask
from geobatch_tui.execution.raster.plan import RasterPlan

TO_3857 = {"dst_crs": "EPSG:3857"}
RPC = {
    **{f"{axis}_{what}": "1" for axis in ("LAT", "LONG", "HEIGHT", "LINE", "SAMP") for what in ("OFF", "SCALE")},
    **{f"{axis}_{what}_COEFF": " ".join(["1"] * 20) for axis in ("LINE", "SAMP") for what in ("NUM", "DEN")},
}  # fmt: skip
XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
#: 128 bytes are the least that is taken for a profile.
ICC = base64.b64encode(bytes([0, 0, 0, 128]) + bytes(124)).decode()


@pytest.fixture(name="rich")
def _rich(tmp_path):
    """A raster with metadata of many kinds."""
    path = corpus.write(tmp_path / "a.tif", SOURCE_ICC_PROFILE=ICC)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="RPC", **RPC)
        dataset.update_tags(ns="IMAGERY", CLOUDCOVER="12", SATELLITEID="x")
        dataset.update_tags(ns="xml:XMP", **{"xml:XMP": XMP})
        dataset.update_tags(ns="CUSTOM", A="1")
        dataset.update_tags(1, WAVELENGTH="450", STATISTICS_MEAN="3")
    return path


def published(path, params, op, **how):
    """The output of an item of one chunk, open."""
    item = item_of(path, params, op=op, **how)
    receipt = OPERATIONS[op].run(ChunkTask(1, item, 0, 1, 1, whole=True), no_stage)
    return rasterio.open(receipt.item.part_path)


@pytest.mark.parametrize("form", ["COG", "GTiff"])
def test_convert_keeps_what_a_geotiff_holds(rich, form):
    """As gdal_translate: RPCs, the colour profile, XMP, metadata of bands; and of the image."""
    with (
        rasterio.open(rich) as source,
        published(rich, {}, "raster.convert", output={"format": form}) as made,
    ):
        for domain in ("RPC", "IMAGERY", "xml:XMP", "COLOR_PROFILE"):
            assert made.tags(ns=domain) == source.tags(ns=domain), domain
            assert made.tags(ns=domain), domain
        assert [made.tags(band) for band in (1, 2)] == [{"WAVELENGTH": "450"}, {}]
        assert "CUSTOM" not in made.tag_namespaces()
    told = probe(rich, {}, op="raster.convert").warnings
    assert "metadata of these domains is left out: CUSTOM" in told


def test_a_warp_keeps_what_stays_true(rich):
    """RPCs are of pixels that have moved."""
    with published(rich, {**TO_3857, "add_alpha": True}, "raster.reproject") as made:
        assert made.tags(ns="IMAGERY") == {"CLOUDCOVER": "12", "SATELLITEID": "x"}
        assert made.tags(ns="COLOR_PROFILE") == {"SOURCE_ICC_PROFILE": ICC}
        assert [made.tags(band) for band in made.indexes] == [{"WAVELENGTH": "450"}, {}, {}, {}]
        assert not {"RPC", "xml:XMP"} & set(made.tag_namespaces())
    told = probe(rich, TO_3857).warnings
    assert "metadata of these domains is left out: CUSTOM, RPC, xml:XMP" in told


def test_plans_without_metadata_are_as_before(tmp_path):
    """Nothing is said of the file's structure, nor where there is nothing."""
    made = probe(corpus.good(tmp_path), {}, op="raster.convert")
    assert not made.warnings
    plan = RasterPlan.from_json(made.detail)
    assert (plan.domains, plan.band_tags) == ({}, ())


def test_few_bits_are_told(tmp_path):
    """A mask of 1 bit becomes bytes."""
    path = corpus.write(tmp_path / "a.tif", corpus.picture(1) % 2, nbits=1)
    told = probe(path, {}, op="raster.convert").warnings
    assert told == ("pixels of 1 bit are written as uint8",)
