"""What a source says beside its pixels comes over, or the plan names it."""

from __future__ import annotations

import base64

import corpus
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from planning import OPERATIONS, item_of, no_stage, probe
from rasterio.enums import ColorInterp

from geobatch_tui.execution.protocol.messages import ChunkTask
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


def coloured(path, colours):
    """A GeoTIFF whose bands have these colours, made as GDAL makes copies."""
    plain = corpus.write(path.with_name("b.tif"), np.full((len(colours), 40, 50), 7, "u1"))
    rasterio.shutil.copy(plain, virtual := path.with_suffix(".vrt"), driver="VRT")
    with rasterio.open(virtual, "r+") as dataset:
        dataset.colorinterp = [ColorInterp[name] for name in colours]
    rasterio.shutil.copy(virtual, path, driver="GTiff")
    path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)
    with rasterio.open(path) as dataset:
        assert [kind.name for kind in dataset.colorinterp] == list(colours)
    return path


@pytest.mark.parametrize(
    ("colours", "compress"),
    [
        pytest.param(("undefined",) * 4, "DEFLATE", id="four"),
        pytest.param(("undefined", "gray", "gray", "alpha"), "DEFLATE", id="alpha"),
        *(
            pytest.param(colours, compress, id=f"{colours[0]} {compress}")
            for compress in ("DEFLATE", "JPEG")
            for colours in (
                ("undefined",) * 3,
                ("gray",) * 3,
                ("blue", "green", "red"),
                ("red", "green", "blue"),
            )
        ),
    ],
)
def test_bands_keep_their_colours(tmp_path, colours, compress):
    """As by gdal_translate. They came out as grey and undefined, or in JPEG as red, green, blue."""
    path = coloured(tmp_path / "a.tif", colours)
    output = {"creation": {"COMPRESS": compress}}
    with published(path, {}, "raster.convert", output=output) as made:
        assert [kind.name for kind in made.colorinterp] == list(colours)
        assert made.compression.name == compress.lower()
        assert made.tags()["GEOBATCH_FP"]
