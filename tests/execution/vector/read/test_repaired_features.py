"""Repaired features are taken as they are meant, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CrsError, SchemaError
from geobatch_tui.execution.vector.plan import VectorPlan
from geobatch_tui.execution.vector.read import repaired_features


@pytest.fixture
def load(tmp_path):
    """Loads a frame as a file of repaired features of a source."""
    source = vectordata.write(vectordata.layer(9), tmp_path / "s.gpkg")
    plan = vectorjobs.probe("vector.convert", source)
    item = vectorjobs.context("vector.convert", source, tmp_path / "out", plan, None, "GeoParquet")
    folder = Path(item.work_dir).parents[1] / "replaced" / item.key
    folder.mkdir(parents=True)

    def loaded(frame):
        vectordata.write(frame, folder / "repaired.gpkg")
        return repaired_features.load(item, VectorPlan.from_json(plan.detail))

    return loaded


@pytest.mark.parametrize("kind", [int, float, str])
def test_ids_are_whole_numbers(kind, load):
    """Also where a program has made something else of them; without a geometry, none is meant."""
    frame = vectordata.layer(3)[["geometry"]].assign(geobatch_fid=[kind(n) for n in (4, 7, 8)])
    frame.loc[1, "geometry"] = None
    found = load(frame)
    assert found == {4: frame.geometry[0].wkb, 8: frame.geometry[2].wkb}


@pytest.mark.parametrize("ids", [["4", "x"], [4.5, 1.0]])
def test_what_is_no_id_is_refused(ids, load):
    frame = vectordata.layer(2)[["geometry"]].assign(geobatch_fid=ids)
    with pytest.raises(SchemaError, match="geobatch_fid is to be a whole number"):
        load(frame)


def test_two_features_for_one_are_refused(load):
    """One of them would be left out."""
    frame = vectordata.layer(2)[["geometry"]].assign(geobatch_fid=[4, 4])
    with pytest.raises(SchemaError, match="several features with geobatch_fid 4"):
        load(frame)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("crs", "match"), [(None, "has no CRS"), (3035, "in another CRS")])
def test_another_crs_is_refused(crs, match, load):
    frame = vectordata.layer(1)[["geometry"]].assign(geobatch_fid=4)
    with pytest.raises(CrsError, match=match):
        load(frame.set_crs(crs, allow_override=True))
