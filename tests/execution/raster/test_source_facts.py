"""What a probe found out of a source serves the chunks: GDAL is asked once."""

from __future__ import annotations

import json
from dataclasses import replace

import corpus
import numpy as np
import pytest
import rasterio
from planning import item_of, read_whole

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.source_facts import Facts

SOURCES = [
    corpus.good,
    corpus.alpha,
    corpus.dataset_mask,
    corpus.nan_nodata,
    corpus.band_nodata,
    corpus.int8,
    corpus.float64,
    corpus.rotated,
]


@pytest.fixture
def without_gdal(monkeypatch):
    """Call it, and no source can be opened by GDAL any more."""

    def refuse(*_):
        raise OperationError("GDAL was asked to open a source")

    def forbid():
        opened_source.release()
        monkeypatch.setattr(opened_source, "open_by", refuse)

    yield forbid
    opened_source.release()


@pytest.mark.parametrize("make", SOURCES)
def test_facts_come_back_from_json(tmp_path, make):
    """JSON has no word for some of their numbers."""
    with rasterio.open(make(tmp_path)) as dataset:
        facts = Facts.of(dataset)
        assert facts.nodatavals == tuple(dataset.nodatavals) or np.isnan(facts.nodatavals[0])
    notes = json.loads(json.dumps(facts.to_notes(), allow_nan=False))
    again = Facts.from_notes(notes)
    # NaN is no number's equal, itself included.
    assert repr(again) == repr(facts)
    assert again.nodata_differs == (make is corpus.band_nodata)


def test_the_nodata_of_many_bands_is_noted_once(tmp_path):
    """Two hundred bands need not say two hundred times that they have none."""
    path = corpus.write(tmp_path / "many.tif", corpus.picture(20), nodata=7)
    with rasterio.open(path) as dataset:
        facts = Facts.of(dataset)
    assert facts.to_notes()["source_nodata"] == [7.0]
    assert Facts.from_notes(facts.to_notes()) == facts


@pytest.mark.parametrize("make", [corpus.good, corpus.alpha, corpus.nan_nodata])
@pytest.mark.parametrize("op", ["raster.reproject", "raster.convert"])
def test_a_plain_source_is_opened_once(tmp_path, without_gdal, make, op):
    """Its chunks come without GDAL, with the pixels that they have with it."""
    params = {"dst_crs": "EPSG:3857"} if op == "raster.reproject" else {}
    item = item_of(make(tmp_path), params, op=op)
    early = replace(item, plan=replace(item.plan, notes={"driver": "GTiff"}))
    assert Facts.from_notes(early.plan.notes) is None
    pixels, valid = read_whole(early)
    without_gdal()
    again, good = read_whole(item)
    np.testing.assert_array_equal(pixels, again)
    np.testing.assert_array_equal(valid, good)


def test_what_is_not_plain_is_opened_when_it_is_read(tmp_path, without_gdal):
    """GDAL opens a source with a codec that only GDAL decodes."""
    path = corpus.write(tmp_path / "a.tif", compress="jpeg", predictor=1)
    item = item_of(path, {"dst_crs": "EPSG:3857"})
    read_whole(item)
    without_gdal()
    with pytest.raises(OperationError, match="asked to open"):
        read_whole(item)
