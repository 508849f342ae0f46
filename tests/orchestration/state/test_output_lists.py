"""Lists of outputs, as a STAC collection: valid by pystac's own validator, and of no other's file."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation import stac_validator
from rasterio.transform import from_origin
from stac_server import collection, item

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.orchestration.state import stac_items

NUMBER, TEXT, WHOLE = {"type": "number"}, {"type": "string"}, {"type": "integer"}
NULLABLE = {"type": ["string", "null"]}
#: The fields of the extensions that are written, by their pages; no network is asked for schemas.
FIELDS = {
    stac_items.PROJ: {
        "proj:code": NULLABLE, "proj:wkt2": NULLABLE,
        "proj:bbox": {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
        "proj:shape": {"type": "array", "items": WHOLE, "minItems": 2, "maxItems": 2},
        "proj:transform": {"type": "array", "items": NUMBER, "minItems": 6, "maxItems": 6},
    },
    stac_items.RASTER: {
        "raster:scale": NUMBER, "raster:offset": NUMBER,
        "raster:sampling": {"enum": ["area", "point"]},
    },
    stac_items.FILE: {
        "file:size": {"type": "integer", "minimum": 0},
        "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
    },
}  # fmt: skip


def schema(uri: str) -> dict:
    """What an extension says of the fields with its prefix, wherever they are."""
    prefix = next(iter(FIELDS[uri])).partition(":")[0]
    fields = {
        "type": "object",
        "properties": FIELDS[uri],
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }
    asset = {"allOf": [fields, {"properties": {"bands": {"items": fields}}}]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": uri,
        "properties": {"properties": fields, "assets": {"additionalProperties": asset}},
    }


@pytest.fixture
def validator():
    """Pystac's own, with the core schemas that it brings."""
    own = stac_validator.JsonSchemaSTACValidator()
    own.schema_cache |= {uri: schema(uri) for uri in FIELDS}
    return own


def job(inputs, out, op="raster.reproject", **output):
    params = {"dst_crs": "EPSG:3857"} if op == "raster.reproject" else {}
    return make_job({
        "job": {"name": "relief"},
        "source": {"inputs": inputs},
        "op": {"name": op, **params},
        "output": {"dir": str(out), "stac": True, **output},
        "engine": {"max_workers": 1, "executor": "thread"},
    })  # fmt: skip


def tile(path, **more):
    profile = {
        "driver": "GTiff", "width": 40, "height": 30, "count": 2, "dtype": "float32",
        "nodata": float("nan"), "crs": "EPSG:4326", "transform": from_origin(7, 47, 0.01, 0.01),
    } | more  # fmt: skip
    path.parent.mkdir(exist_ok=True, parents=True)
    with rasterio.open(path, "w", **profile) as out:
        out.write(np.ones((profile["count"], 30, 40), profile["dtype"]))
        out.scales = [0.1] * profile["count"]
        out.descriptions = ["red"] * profile["count"]


async def test_items_and_collection_are_valid(tmp_path, validator):
    """Of rasters in directories, and of names that a URL encodes; the checksum is that of the file, and nothing is written twice."""
    tile(tmp_path / "in" / "b c.tif")
    tile(tmp_path / "in" / "sub" / "f#?.tif", transform=from_origin(-9, 47, 0.01, 0.01))
    out = tmp_path / "out"
    result = await geobatch_tui.run(job([str(tmp_path / "in")], out))
    assert (result.exit_code, result.warnings) == (0, ())
    whole = pystac.Collection.from_file(str(out / "collection.json"))
    links = [link.href for link in whole.links if link.rel == "item"]
    assert links == ["./b c.tif.json", "./sub/f%23%3F.tif.json"]
    items = [
        pystac.Item.from_dict(json.loads(path.read_text())) for path in out.rglob("*.tif.json")
    ]
    items = {one.id: one for one in items}
    assert sorted(items) == ["b c", "sub.f#?"]
    assert next(whole.get_items()).id == "b c"
    for one in items.values():
        one.validate(validator=validator)
    whole.validate(validator=validator)
    own = items["sub.f#?"]
    assert own.assets["data"].href == "./f%23%3F.tif"
    data = (out / "sub" / "f#?.tif").read_bytes()
    fields = own.assets["data"].extra_fields
    assert fields["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    assert fields["file:size"] == len(data)
    with rasterio.open(out / "sub" / "f#?.tif") as made:
        assert own.properties["proj:shape"] == [made.height, made.width]
        assert own.properties["proj:transform"] == list(made.transform)[:6]
    assert own.properties["proj:code"] == "EPSG:3857"
    assert fields["bands"][0] == {
        "name": "b1", "data_type": "float32", "description": "red", "nodata": "nan",
        "raster:scale": 0.1, "raster:sampling": "area",
    }  # fmt: skip
    (link,) = own.get_links("derived_from")
    assert link.target == "../../in/sub/f%23%3F.tif"
    west, _, east, _ = whole.extent.spatial.bboxes[0]
    assert (round(west, 2), round(east, 2)) == (-9, 7.4)
    before = {
        path: path.stat().st_mtime_ns
        for path in out.rglob("*.json")
        if path.parent.name != ".geobatch"
    }
    await geobatch_tui.run(job([str(tmp_path / "in")], out))
    assert {
        path: path.stat().st_mtime_ns
        for path in out.rglob("*.json")
        if path.parent.name != ".geobatch"
    } == before


async def test_an_item_of_a_catalogue_hands_on_its_time(tmp_path, validator):
    """And its place, as what the output is derived from; whatever else it says stays behind."""
    tile(tmp_path / "a.tif")
    value = item("S2A", data="a.tif")
    value["links"] = [{"rel": "self", "href": "https://h.example/S2A?token=canary"}]
    value["properties"]["constellation"] = 7
    (tmp_path / "items.json").write_text(collection([value]))
    out = tmp_path / "out"
    await geobatch_tui.run(job([{"stac": str(tmp_path / "items.json")}], out, "raster.convert"))
    made = pystac.Item.from_file(str(out / "S2A.tif.json"))
    made.validate(validator=validator)
    assert made.datetime.isoformat() == "2024-05-06T10:20:30+00:00"
    assert made.properties["platform"] == "sentinel-2b"
    assert "constellation" not in made.properties
    assert made.get_links("derived_from")[0].target.startswith("https://h.example/S2A")
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"canary" in path.read_bytes()
    ]


async def test_a_file_of_somebody_else_stays(tmp_path):
    """It is a warning: the outputs are whole without it."""
    tile(tmp_path / "a.tif")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.tif.json").write_text('{"mine": true}')
    result = await geobatch_tui.run(job([str(tmp_path / "a.tif")], out))
    assert result.exit_code == 0
    assert "not written by geobatch" in result.warnings[-1]
    assert json.loads((out / "a.tif.json").read_text()) == {"mine": True}


async def test_features_are_an_item_too(tmp_path, validator):
    """Without bands; their box and CRS are those of the layer."""
    features = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [7, 46]}}
    ]}  # fmt: skip
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    out = tmp_path / "out"
    await geobatch_tui.run(
        job([str(tmp_path / "a.geojson")], out, "vector.convert", format="FlatGeobuf")
    )
    made = pystac.Item.from_file(str(out / "a.fgb.json"))
    made.validate(validator=validator)
    assert made.assets["data"].media_type == "application/vnd.flatgeobuf"
    assert made.properties["proj:code"] in {"EPSG:4326", "OGC:CRS84"}
