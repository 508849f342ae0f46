"""The list of operations and steps, and what each takes."""

from __future__ import annotations

import json

import pytest

from geobatch_tui.config.chains.step_kinds import KINDS
from geobatch_tui.execution.params.chain_params import STEP_PARAMS


def test_operations_and_steps_are_listed(here):
    """Each with its sentence; those of a chain by its operation."""
    said = here("ops", check=0).stdout
    assert "steps of raster.pipeline:" in said
    assert "Pick bands, in any order." in said
    listed = {entry["name"]: entry for entry in json.loads(here("ops", "--json", check=0).stdout)}
    assert [step["name"] for step in listed["raster.pipeline"]["steps"]] == sorted(STEP_PARAMS)
    assert "steps" not in listed["raster.convert"]
    assert "read IN ! STEP ... ! write OUT" in here("ops", "raster.pipeline", check=0).stdout


def test_a_step_shows_its_parameters(here):
    """With default, unit, and the names that GDAL has for them besides."""
    said = " ".join(here("ops", "reproject", check=0).stdout.split())
    assert "step reproject of raster.pipeline Warp into another CRS" in said
    assert "Also: d, t_srs, dst_crs." in said
    of_rasters = json.loads(here("ops", "select", "--json", check=0).stdout)[0]
    assert of_rasters["operation"] == "raster.pipeline"
    [band, exclude] = of_rasters["params"]
    assert (band["name"], band["required"], band["other_names"]) == ("band", True, ["b"])
    assert (exclude["default"], exclude["type"]) == (False, "boolean")
    assert "it has no parameters" in here("ops", "materialize", check=0).stdout
    assert here("ops", "selekt").returncode == 2


@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind in KINDS for step in kind.steps])
def test_each_step_says_what_it_does(kind, step):
    """In one sentence, and each parameter with its help, unit and kind."""
    model = kind.steps[step]
    assert model.summary().endswith("."), step
    assert 15 < len(model.summary()) < 120, step
    for name, field in model.model_fields.items():
        if name == "name":
            continue
        extra = field.json_schema_extra
        assert field.description, (step, name)
        assert extra["kind"] in {"semantic", "operational"}, (step, name)
        assert "unit" in extra, (step, name)
