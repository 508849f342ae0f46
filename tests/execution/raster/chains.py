"""Rasters and steps of every kind, for the laws of chains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from planning import item_of, no_stage
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.steps import chain
from geobatch_tui.execution.raster.steps.second import side_chain

#: Functions of a user.
OWN_STEPS = Path(__file__).with_name("own_steps.py")
#: An example of each step, and of each way that it works.
EXAMPLES = {
    "aspect": {"name": "aspect"},
    "calc-index": {
        "name": "calc", "calc": ["(b1 - b2) / (b1 + b2)"], "output_data_type": "Float32",
    },
    "calc-each-band": {
        "name": "calc", "calc": ["X > 120 ? sqrt(X) : log(X - 100)", "b1 ^ 3"],
        "output_data_type": "Float32",
    },
    "calc-whole": {
        "name": "calc", "calc": ["isnodata(b1) ? 7 : 90 * sqrt(b1 - 100)"],
        "output_data_type": "Int16", "propagate_nodata": False,
    },
    "calc-builtin": {
        "name": "calc", "calc": ["median", "max"], "dialect": "builtin", "flatten": True,
        "nodata": -7, "propagate_nodata": False, "output_data_type": "Float32",
    },
    "clip-window": {"name": "clip", "window": [3, 5, 30, 21]},
    "clip-bbox": {
        "name": "clip", "bbox": [10.5, 40.2, 12.0, 41.5], "bbox_crs": "EPSG:4326",
        "allow_bbox_outside_source": True,
    },
    "clip-geometry": {
        "name": "clip",
        "geometry": "POLYGON((10.2 41.9,11.9 41.6,11.2 40.6,10.9 41.3,10.3 40.5,10.2 41.9))",
    },
    "clip-geometry-crs": {
        "name": "clip", "geometry_crs": "EPSG:3857", "add_alpha": True,
        "geometry": "POLYGON((1150000 5100000,1330000 5060000,1200000 4960000,1150000 5100000))",
    },
    "color-map": {
        "name": "color-map",
        "colors": [["40.0", 0, 0, 255, 255], ["50.0%", 255, 255, 0, 200], ["150.0", 255, 0, 0, 90]],
    },
    "color-map-alpha": {
        "name": "color-map", "add_alpha": True, "color_selection": "nearest",
        "colors": [["40.0", 0, 0, 255, 255], ["nv", 9, 9, 9, 60], ["150.0", 255, 0, 0, 90]],
    },
    "edit": {"name": "edit", "metadata": {"a": "b"}},
    "edit-bands": {
        "name": "edit", "color_interpretation": ["1=red"], "scale": ["2=0.5"], "offset": [5],
    },
    "fill-nodata": {"name": "fill-nodata", "max_distance": 9, "smoothing_iterations": 2},
    "fill-nodata-nearest": {"name": "fill-nodata", "strategy": "nearest", "max_distance": 3},
    "function-mean": {"name": "function", "use": f"{OWN_STEPS}:local_mean", "size": 5},
    "function-sharpen": {"name": "function", "use": f"{OWN_STEPS}:sharpen"},
    "hillshade": {"name": "hillshade", "zfactor": 200},
    "materialize": {"name": "materialize"},
    "neighbors-mean": {"name": "neighbors", "kernel": "equal", "output_data_type": "Float32"},
    "neighbors-slopes": {"name": "neighbors", "kernel": ["u", "v"], "band": 1},
    "neighbors-median": {"name": "neighbors", "kernel": "equal", "method": "median"},
    "neighbors-mode": {
        "name": "neighbors", "kernel": "equal", "size": 5, "method": "mode", "nodata": 7,
        "output_data_type": "UInt8",
    },
    "neighbors-matrix": {
        "name": "neighbors", "kernel": [[0, 1, 0], [1, -4, 1], [0, 1, 0]], "method": "stddev",
        "nodata": "none",
    },
    "nodata-to-alpha": {"name": "nodata-to-alpha"},
    "proximity": {"name": "proximity", "target_values": [100, 120], "max_distance": 8},
    "proximity-far": {"name": "proximity", "target_values": 101, "fixed_value": 7},
    "proximity-geo": {
        "name": "proximity", "distance_units": "geo", "max_distance": 0.3, "band": 1,
        "target_values": 101, "output_data_type": "Float64",
    },
    "reclassify": {
        "name": "reclassify",
        "mapping": "[-inf,50)=1; [50,90]=PASS_THROUGH; (90,120)=250; 130=3; DEFAULT=9",
    },
    "reproject-near": {"name": "reproject", "output_crs": "EPSG:3035"},
    "reproject-bilinear": {
        "name": "reproject", "output_crs": "EPSG:3857", "resampling": "bilinear",
    },
    "reproject-cubic": {
        "name": "reproject", "output_crs": "EPSG:32632", "resampling": "cubic",
    },
    "resize-nearest": {"name": "resize", "size": ["50%", "50%"]},
    "resize-bilinear": {"name": "resize", "size": ["28", "55"], "resampling": "bilinear"},
    "resize-cubic": {"name": "resize", "size": ["150%", "0"], "resampling": "cubic"},
    "resize-cubicspline": {"name": "resize", "size": ["20", "13"], "resampling": "cubicspline"},
    "resize-lanczos": {"name": "resize", "size": ["37", "140%"], "resampling": "lanczos"},
    "resize-average": {"name": "resize", "size": ["40%", "120%"], "resampling": "average"},
    "resize-mode": {"name": "resize", "size": ["13", "15"], "resampling": "mode"},
    "roughness": {"name": "roughness"},
    "scale": {"name": "scale", "input_min": 40, "input_max": 150, "output_data_type": "UInt8"},
    "scale-by-power": {
        "name": "scale", "band": 1, "input_min": 40, "input_max": 150, "exponent": 1.7,
        "output_min": 1, "output_max": 200,
    },
    "scale-own-range": {"name": "scale", "output_data_type": "UInt16"},
    "select": {"name": "select", "band": [1]},
    "set-type-float": {"name": "set-type", "output_data_type": "Float32"},
    "set-type-byte": {"name": "set-type", "output_data_type": "UInt8"},
    "set-type-int16": {"name": "set-type", "output_data_type": "Int16"},
    "slope": {"name": "slope", "xscale": 100, "yscale": 100},
    "tpi": {"name": "tpi"},
    "tri": {"name": "tri", "no_edges": True},
    "unscale": {"name": "unscale"},
}  # fmt: skip

#: Steps that read a second raster: they have their laws in tests of their own.
BESIDE = frozenset({"blend"})

#: How rasters mark what is valid.
VALIDITIES = ("none", "nodata", "alpha", "mask")


def raster(path, *, seed=0, size=(47, 41), dtype="float32", validity="nodata", bands=2):
    """Write a raster near 11 E, 41 N, some of whose pixels are invalid as ``validity`` says."""
    width, height = size
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    pixels = np.stack([100 + 60 * np.sin(x * (b + 1)) * np.cos(y) for b in range(bands)])
    pixels += rng.normal(0, 4, pixels.shape)
    pixels = np.clip(pixels, 0, 250).astype(dtype)
    invalid = rng.random((height, width)) < 0.1
    invalid[5:12, 8:20] = True
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": dtype,
        "crs": "EPSG:4326", "transform": from_origin(10, 42, 0.05, 0.04), "tiled": True,
        "blockxsize": 16, "blockysize": 16, "compress": "deflate",
    }  # fmt: skip
    if validity == "nodata":
        profile["nodata"] = 0 if dtype.startswith("u") else -99
        pixels[:, invalid] = profile["nodata"]
    if validity == "alpha":
        alpha = np.where(invalid, 0, 255).astype(dtype)
        pixels = np.concatenate([pixels, alpha[np.newaxis]])
        profile["count"] = bands + 1
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(path, "w", **profile) as out:
        if validity == "alpha":
            out.colorinterp = [*[ColorInterp.undefined] * bands, ColorInterp.alpha]
        out.write(pixels)
        if validity == "mask":
            out.write_mask(~invalid)
    return path


def chain_item(path, steps, **how):
    """The item of a chain of ``steps`` on ``path``."""
    return item_of(path, {"steps": steps}, op="raster.pipeline", **how)


def window_of(item, window):
    """Pixels and mask of ``window`` of what the chain of ``item`` gives."""
    plan = side_chain.at_home(RasterPlan.from_json(item.plan.detail), item.params["steps"])
    with opened_source.source_of(item) as opened:
        block = chain.of(opened, plan.chain, no_stage).block(window)
    return block.pixels, block.mask


def whole_of(item):
    """The raster that a chain gives, its pixels and its mask."""
    plan = RasterPlan.from_json(item.plan.detail)
    return plan, *window_of(item, plan.whole)
