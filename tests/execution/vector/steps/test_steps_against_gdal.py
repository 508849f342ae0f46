"""Steps against GDAL 3.13's `gdal vector pipeline`: the same features, with the same vertices."""

from __future__ import annotations

from pathlib import Path

import gdal_pipeline
import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
import vectorjobs

from geobatch_tui.execution.params.chain_params import VECTOR_STEP_PARAMS

DATA = Path(__file__).resolve().parents[4] / "sample_configs" / "data"
TRIANGLE = "POLYGON((0 0,40 10,30 50,0 0))"
#: Parameters of steps, in GDAL's words and ours.
CASES = {
    "buffer": ("0.5", {"distance": 0.5}),
    "buffer in": ("--distance=-0.3 --join-style mitre", {"distance": -0.3, "join_style": "mitre"}),
    "buffer rough": (
        "0.7 --quadrant-segments 3 --join-style bevel",
        {"distance": 0.7, "quadrant_segments": 3, "join_style": "bevel"},
    ),
    "clip": ("--bbox 5,40,30,60", {"bbox": [5, 40, 30, 60]}),
    "clip geometry": (f"--geometry '{TRIANGLE}'", {"geometry": TRIANGLE}),
    "convex-hull": ("", {}),
    "explode-collections": ("", {}),
    "filter": ("--bbox 5,40,30,60", {"bbox": [5, 40, 30, 60]}),
    "filter where": (
        "--where \"pop_est > 50000000 AND continent <> 'Asia'\"",
        {"where": "pop_est > 50000000 AND continent <> 'Asia'"},
    ),
    "make-valid": ("", {}),
    "make-valid structure": ("--method structure", {"method": "structure"}),
    "make-valid all": ("--keep-lower-dim", {"keep_lower_dim": True}),
    "reproject": ("--output-crs EPSG:6933", {"output_crs": "EPSG:6933"}),
    "segmentize": ("0.3", {"max_length": 0.3}),
    "select": ("name,_ogr_geometry_", {"fields": ["name", "_ogr_geometry_"]}),
    "select exclude": ("name --exclude", {"fields": ["name"], "exclude": True}),
    "set-field-type": (
        "--field-name pop_est --field-type String",
        {"field_name": "pop_est", "field_type": "String"},
    ),
    "set-geom-type": ("--dim XYZ", {"dim": "XYZ"}),
    "simplify": ("0.5", {"tolerance": 0.5}),
    "swap-xy": ("", {}),
}
#: Features that are set aside here, of the file whose rounded outlines cross themselves: GDAL goes
#: on, and says nothing of what it loses of them.
ASIDE = {"buffer": 52, "buffer in": 52, "buffer rough": 52}


#: Steps to which it is nothing that an outline crosses itself; at a rim, what does so is set aside,
#: and cut by GDAL as it will.
CLEAN = {"clip", "explode-collections", "filter", "select", "set-field-type", "set-geom-type"}
PAIRS = [
    (layer, case)
    for layer in ("countries", "rounded")
    for case in CASES
    if layer == "countries" or case.split(" ")[0] not in CLEAN
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The sample layers as GeoPackages, for this GDAL reads no FlatGeobuf; and what it makes of
    them by each case, all in one process."""
    folder = tmp_path_factory.mktemp("gdal")
    found, pipelines = {}, []
    for layer in ("countries", "rounded"):
        source = found[layer] = folder / f"{layer}.gpkg"
        pyogrio.write_dataframe(pyogrio.read_dataframe(DATA / f"{layer}.fgb"), source)
        for case in (case for name, case in PAIRS if name == layer):
            words, _ = CASES[case]
            target = found[layer, case] = folder / f"{layer}-{case.replace(' ', '-')}.gpkg"
            step = case.split(" ")[0]
            pipelines.append(f"read {source} ! {step} {words} ! write {target}")
    gdal_pipeline.all_by_gdal(pipelines, kind="vector")
    return found


def _multi(shapes):
    """Polygons as multipolygons: GDAL's layer is of these, where it was one of these."""
    return np.array(
        [shapely.MultiPolygon([one]) if one.geom_type == "Polygon" else one for one in shapes]
    )


@pytest.mark.parametrize(("layer", "case"), PAIRS)
def test_features_are_those_of_gdal(made, layer, case, tmp_path):
    """Fields, order and vertices are equal; only GEOS begins and orders rings that it cuts as it
    will, by the function that it is asked through."""
    step, source = case.split(" ")[0], made[layer]
    steps = {"steps": [{"name": step, **CASES[case][1]}]}
    done = vectorjobs.run("vector.pipeline", source, tmp_path / "out", params=steps)
    ours, theirs = gpd.read_parquet(done.path), pyogrio.read_dataframe(made[layer, case])
    aside = [letter.position for letter in done.letters]
    assert len(aside) == (ASIDE.get(case, 0) if layer == "rounded" else 0)
    theirs = theirs.drop(index=aside)
    if step in {"clip", "filter"}:  # an index gives GDAL's features in its order
        ours, theirs = ours.sort_values("name"), theirs.sort_values("name")
    assert len(ours) == len(theirs)
    for name in theirs.columns.drop("geometry"):
        assert ours[name].astype(str).tolist() == theirs[name].astype(str).tolist()
    one, two = _multi(ours.geometry), _multi(theirs.geometry)
    if step in {"clip", "make-valid"}:
        one, two = shapely.normalize(one), shapely.normalize(two)
    assert np.array_equal(shapely.to_wkb(one), shapely.to_wkb(two))


def test_points_are_those_of_gdal(tmp_path):
    """Coordinates come from numbers and from text, and may have a height."""
    source, theirs = tmp_path / "s.gpkg", tmp_path / "theirs.gpkg"
    frame = gpd.GeoDataFrame(
        {"a": [1.5, -2.25], "b": ["7", " 8.125 "], "c": np.array([3, 4], "int32")},
        geometry=[shapely.Point(0, 0)] * 2,
        crs=4326,
    )
    pyogrio.write_dataframe(frame, source)
    words = "--x a --y b --z c --output-crs EPSG:4326"
    gdal_pipeline.by_gdal(f"read {source} ! make-point {words} ! write {theirs}", kind="vector")
    step = {"name": "make-point", "x": "a", "y": "b", "z": "c", "output_crs": "EPSG:4326"}
    done = vectorjobs.run("vector.pipeline", source, tmp_path / "out", params={"steps": [step]})
    made = gpd.read_parquet(done.path).geometry
    assert shapely.to_wkt(made.values).tolist() == ["POINT Z (1.5 7 3)", "POINT Z (-2.25 8.125 4)"]
    expected = pyogrio.read_dataframe(theirs).geometry
    assert shapely.equals_identical(made.values, expected.values).all()


#: Arguments of GDAL's steps that a job gives otherwise, or that concern layers and columns of which
#: there is one here.
ELSEWHERE = {
    "active-layer", "active-geometry", "input", "output", "input-format", "open-option",
    "input-layer", "quiet", "output-format", "output-open-option", "creation-option",
    "layer-creation-option", "overwrite", "update", "overwrite-layer", "append", "upsert",
    "output-layer", "skip-errors",
}  # fmt: skip
#: Arguments that are refused by their names.
REFUSED = {
    "clip": {"like-sql", "like-where"},
    "explode-collections": {"geometry-type", "skip-on-type-mismatch"},
    "filter": {"update-extent"},
    "set-geom-type": {"layer-only", "feature-only", "geometry-type", "curve"},
}
#: Parameters that GDAL has not.
OURS = {"name", "wrapdateline", "like_digest"}


def test_parameters_are_those_of_gdal():
    """Each step has GDAL's arguments by their names, but for those that are refused."""
    usage = gdal_pipeline.usage("vector")
    for name, model in VECTOR_STEP_PARAMS.items():
        if name == "function":
            continue
        said = usage[name]
        arguments = [*said["input_arguments"], *said.get("input_output_arguments", [])]
        theirs = {one["name"] for one in arguments} - ELSEWHERE - REFUSED.get(name, set())
        ours = {field.replace("_", "-") for field in model.model_fields.keys() - OURS}
        assert ours == theirs, name
        for one in arguments:
            field = model.model_fields.get(one["name"].replace("-", "_"))
            if field is not None and one.get("default") is not None:
                assert field.default == one["default"], (name, one["name"])
