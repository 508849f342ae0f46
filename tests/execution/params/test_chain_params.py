"""The steps of chains by their names, and when their models are imported."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from pydantic import ValidationError

from geobatch_tui.execution.params.chain_params import (
    STEP_PARAMS,
    VECTOR_STEP_PARAMS,
    RasterChain,
    StepModels,
)

_ONE = """
import sys
from geobatch_tui.execution.params.chain_params import RasterChain
RasterChain.model_validate({"steps": [{"name": "resize", "size": ["50%", "50%"]}]})
print(*(name for name in sys.modules if name.startswith("geobatch_tui.execution.params.")))
"""


@pytest.mark.parametrize("models", [STEP_PARAMS, VECTOR_STEP_PARAMS])
def test_each_step_stands_under_its_own_name(models: StepModels) -> None:
    for name, model in models.items():
        assert get_args(model.model_fields["name"].annotation) == (name,)


def test_a_chain_imports_the_models_of_its_own_steps_alone() -> None:
    told = subprocess.run([sys.executable, "-c", _ONE], check=True, capture_output=True, text=True)
    loaded = {name.rpartition(".")[2] for name in told.stdout.split()}
    assert "image_params" in loaded
    assert loaded.isdisjoint({"terrain_params", "value_params", "calc_params", "group_params"})


def test_what_is_wrong_is_said_by_number_name_and_key() -> None:
    steps = [{"name": "materialize"}, {"name": "slope", "unit": "rod", "height": 1}]
    with pytest.raises(ValidationError) as caught:
        RasterChain.model_validate({"steps": steps})
    found = {detail["loc"]: detail["type"] for detail in caught.value.errors()}
    assert found == {
        ("steps", 1, "slope", "unit"): "literal_error",
        ("steps", 1, "slope", "height"): "extra_forbidden",
    }


def test_a_chain_is_written_with_all_parameters() -> None:
    chain = RasterChain.model_validate({"steps": [{"name": "select", "band": 2}]})
    assert chain.model_dump(mode="json") == {
        "steps": [{"name": "select", "band": [2], "exclude": False}]
    }
