"""Chains of steps on rasters: neither chunks nor workers may be seen in what they give."""

from __future__ import annotations

from itertools import product

import chaos_jobs
import equal
import pytest

SHAPE = "POLYGON((-10 36,35 38,30 60,12 47,-8 61,-10 36))"
BILINEAR = {"name": "reproject", "output_crs": "EPSG:3035", "resampling": "bilinear"}
CHAINS = {
    "index": [
        {"name": "calc", "calc": ["(b1 - b2) / (b1 + b2)"], "output_data_type": "float32"}
    ],
    "warp and hillshade": [BILINEAR, {"name": "hillshade", "zfactor": 3000}],
    "half and slope": [
        {"name": "resize", "size": ["50%", "50%"], "resampling": "average"}, {"name": "slope"},
    ],
    "shape and medians": [
        {"name": "clip", "geometry": SHAPE, "add_alpha": True},
        {"name": "neighbors", "kernel": "equal", "method": "median", "size": 5},
    ],
    "stored on the way": [BILINEAR, {"name": "materialize"}, {"name": "tri"}],
}  # fmt: skip
#: Side of a chunk, workers, and whether they are threads.
CUTS = [*product((256, 512, 1024, 4096), (1, 2), (False, True))]


@pytest.mark.slow
@pytest.mark.parametrize("steps", CHAINS.values(), ids=CHAINS)
def test_chains_cut_otherwise(tmp_path, steps):
    """Chunks of four sizes, one worker or two, processes or threads: the same bytes."""
    fixture = chaos_jobs.raster(tmp_path, op={"name": "raster.pipeline", "steps": steps})
    verdict = equal.rasters_cut_otherwise(fixture, CUTS)
    assert verdict.faults == [], verdict


@pytest.mark.slow
def test_a_mosaic_cut_otherwise(tmp_path):
    """The same, of 80 files that overlap."""
    verdict = equal.rasters_cut_otherwise(chaos_jobs.mosaic(tmp_path), CUTS)
    assert verdict.faults == [], verdict
