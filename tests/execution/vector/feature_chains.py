"""Features and steps of every kind, for the laws of chains."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import vectorjobs
from pyproj import CRS

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.params.features.vector_step_params import VectorChain
from geobatch_tui.execution.vector import chunk
from geobatch_tui.execution.vector.operations import Context
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.plan import FID, VectorPlan
from geobatch_tui.execution.vector.read import chunk_reader
from geobatch_tui.execution.vector.steps import feature_chain
from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning, FirstFeatures

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.plan import LayerPlan

OWN_FEATURES = Path(__file__).with_name("own_features.py")
#: An example of each step, and of each way that it works.
EXAMPLES: dict[str, dict[str, Any]] = {
    "buffer": {"name": "buffer", "distance": 0.05},
    "buffer-in": {"name": "buffer", "distance": -0.2, "join_style": "mitre"},
    "buffer-left": {"name": "buffer", "distance": 0.05, "side": "left", "endcap_style": "flat"},
    "clip-bbox": {"name": "clip", "bbox": [9.5, 44, 13, 48]},
    "clip-geometry": {"name": "clip", "geometry": "POLYGON((8 43, 14 44, 12 50, 8 43))"},
    "convex-hull": {"name": "convex-hull"},
    "explode-collections": {"name": "explode-collections"},
    "filter-bbox": {"name": "filter", "bbox": [9.5, 44, 13, 48]},
    "filter-where": {"name": "filter", "where": '"whole" % 3 <> 0 AND name IS NOT NULL'},
    "function-fewer": {"name": "function", "use": f"{OWN_FEATURES}:shrunk"},
    "function-frame": {"name": "function", "use": f"{OWN_FEATURES}:measured", "factor": 2.0},
    "function-more": {"name": "function", "use": f"{OWN_FEATURES}:parts"},
    "function-table": {"name": "function", "use": f"{OWN_FEATURES}:named", "text": "none"},
    "function-table-more": {"name": "function", "use": f"{OWN_FEATURES}:twice"},
    "make-point": {"name": "make-point", "x": "lon", "y": "lat", "output_crs": "EPSG:4326"},
    "make-point-z": {"name": "make-point", "x": "text", "y": "lat", "z": "whole"},
    "make-valid": {"name": "make-valid"},
    "make-valid-all": {"name": "make-valid", "method": "structure", "keep_lower_dim": True},
    "reproject": {"name": "reproject", "output_crs": "EPSG:3035"},
    "reproject-as": {
        "name": "reproject", "input_crs": "EPSG:4258", "output_crs": "EPSG:32632",
    },
    "segmentize": {"name": "segmentize", "max_length": 0.4},
    "select": {"name": "select", "fields": ["LAT", "lon", "whole", "text", "_ogr_geometry_"]},
    "select-table": {"name": "select", "fields": ["name", "text", "lon", "lat", "whole"]},
    "select-exclude": {"name": "select", "fields": ["day"], "exclude": True},
    "set-field-type": {"name": "set-field-type", "field_name": "text", "field_type": "Real"},
    "set-field-types": {
        "name": "set-field-type", "input_field_type": "Real", "field_type": "String",
    },
    "set-geom-type-multi": {"name": "set-geom-type", "multi": True, "dim": "XYZ"},
    "set-geom-type-single": {"name": "set-geom-type", "single": True, "dim": "XY"},
    "set-geom-type-skip": {"name": "set-geom-type", "single": True, "skip": True},
    "simplify": {"name": "simplify", "tolerance": 0.1},
    "swap-xy": {"name": "swap-xy"},
}  # fmt: skip
#: Those that follow others in the law of pairs: of a user's functions one of each way.
SECONDS = [name for name in EXAMPLES if name not in {"function-more", "function-table"}]


def shapes(count: int = 39, seed: int = 3) -> list[shapely.Geometry | None]:
    """Geometries of every type near 11 E, 46 N: some null, some empty, some invalid, some deep."""
    rng = np.random.default_rng(seed)
    made: list[shapely.Geometry | None] = []
    for n in range(count):
        x, y = rng.uniform(8, 14), rng.uniform(43, 49)
        near = rng.uniform(-0.5, 0.5, (6, 2)) + np.array([x, y])
        disc = shapely.Point(x, y).buffer(rng.uniform(0.1, 1), quad_segs=6)
        far = shapely.box(x + 1.5, y, x + 2, y + 0.5)
        made.append(
            [
                shapely.Point(x, y),
                shapely.LineString(near),
                disc,
                shapely.Polygon(near),  # crosses itself, mostly
                shapely.MultiPoint(near),
                shapely.MultiLineString([near[:3], near[3:]]),
                shapely.MultiPolygon([disc, far]),
                shapely.GeometryCollection([disc, shapely.MultiPoint(near[:2])]),
                shapely.MultiPolygon([disc]),
                shapely.Polygon(),
                None,
                shapely.force_3d(disc, 7.0),
                shapely.box(x, y, x + 1, y + 1) - shapely.box(x + 0.2, y + 0.2, x + 0.5, y + 0.4),
            ][n % 13]
        )
    return made


def layer(path: Path, count: int = 39, **columns: Any) -> Path:
    """Write features with fields of several types to GeoParquet, as it is without a loss."""
    made = shapes(count)
    geometry = [None if one is None else shapely.to_wkb(one, flavor="iso") for one in made]
    n = np.arange(count)
    fields = {
        "whole": pa.array(n, pa.int32()),
        "lon": pa.array(8 + n / 10),
        "lat": pa.array([None if k % 11 == 4 else 43 + k / 12 for k in n.tolist()]),
        "text": pa.array([f"{k}.5" if k % 7 else "none" for k in n.tolist()]),
        "name": pa.array([f"näme {k}" if k % 5 else None for k in n.tolist()]),
        "day": pa.array([dt.date(2020, 1, 1 + k % 28) for k in n.tolist()]),
        **columns,
    }
    column = {"encoding": "WKB", "geometry_types": [], "crs": CRS(4326).to_json_dict()}
    geo = {"version": "1.1.0", "primary_column": "g", "columns": {"g": column}}
    table = pa.table({**fields, "g": pa.array(geometry, pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path, row_group_size=10)
    return path


def stage(name: str):
    """A stage that nobody measures."""
    return vectorjobs.stage(name)


@dataclass(frozen=True)
class Opened:
    """A source as a chain sees it: its layer, and all of its features in one batch."""

    item: ItemContext
    plan: VectorPlan
    batch: pa.RecordBatch

    @classmethod
    def of(cls, path: Path, form: str = "GeoParquet") -> Opened:
        params = {"steps": [{"name": "filter", "where": "1"}]}
        planned = vectorjobs.probe("vector.pipeline", path, params=params, form=form)
        item = vectorjobs.context("vector.pipeline", path, path.parent, planned, params, form)
        plan = VectorPlan.from_json(planned.detail)
        read = list(chunk_reader.read_chunk(item, plan.reading, 0))
        batch = pa.Table.from_batches(read).combine_chunks().to_batches()[0]
        return cls(item, plan, batch)

    @property
    def path(self) -> Path:
        return Path(self.item.source)

    def chain(self, steps: list[dict[str, Any]]) -> tuple[LayerPlan, ...]:
        """Plan steps; raises as the chain's planning does."""
        checked = VectorChain.model_validate({"steps": steps}).model_dump(mode="json")
        planning = ChainPlanning(OUTPUT_FORMATS[self.plan.format], first=self._first)
        return feature_chain.plan_chain(self.plan.chain[0], checked["steps"], planning)

    def _first(self) -> FirstFeatures:
        return FirstFeatures(self.plan, self.item.params, self.read(), is_all=True)

    def read(self) -> Features:
        """Return its features, as they go into a chain."""
        reader = chunk._Chunk(self.item, self.plan, 0, None)
        return reader.readable(self.batch, self.item.params)

    def run(self, chain: tuple[LayerPlan, ...], given: Features | None = None) -> Features:
        """Take features through a chain: all of the source, or those that are given."""
        context = Context(replace(self.plan, chain=chain), self.item.params, stage, None, None)
        # Steps use arrays again, and change them: what is given stays.
        given = self.read() if given is None else given.picked(np.arange(len(given.owners)))
        made = feature_chain.run(context, given)
        made = made.picked(np.arange(len(made.owners)))
        count = len(given.owners) + len(given.lost) + given.gone - given.extra
        assert len(made.owners) + len(made.lost) + made.gone - made.extra == count
        return made


def table_of(features: Features) -> pa.Table:
    """Return the fields and WKB of features, without their ids."""
    table = pa.Table.from_batches([features.attributes]).drop_columns([FID])
    return table.append_column("wkb", features.shapes.column)


def fitting(first: str, second: str) -> list[dict[str, Any]]:
    """Return two steps, the second with lengths in metres where the first makes metres."""
    step = dict(EXAMPLES[second])
    if first.startswith(("reproject", "function-fewer")):
        lengths = step.keys() & {"distance", "tolerance", "max_length"}
        step |= {name: 1e5 * step[name] for name in lengths}
    return [EXAMPLES[first], step]


def planned(
    opened: Opened, steps: list[dict[str, Any]]
) -> tuple[LayerPlan, ...] | type[GeobatchError]:
    """Return the chain of these steps, or the error that planning them ends with."""
    try:
        return opened.chain(steps)
    except GeobatchError as error:
        return type(error)
