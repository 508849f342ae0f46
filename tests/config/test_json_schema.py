"""The JSON schema of job files, as an editor reads it: valid itself, and true of our examples."""

from __future__ import annotations

import tomllib

import pytest
import yaml
from jsonschema import Draft202012Validator

from geobatch_tui.config.paths import presets
from geobatch_tui.config.schema import json_schema

ENDS = '[source]\ninputs = ["a.tif"]\n[output]\ndir = "out"\n'


@pytest.fixture(scope="module")
def validator():
    schema = json_schema("raster.pipeline")
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def errors(validator, text):
    """Paths of what is wrong in a job file."""
    return [list(error.absolute_path)[:1] for error in validator.iter_errors(tomllib.loads(text))]


@pytest.fixture(scope="module")
def whole():
    """Validator of jobs of all operations."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", presets(), ids=lambda path: path.name)
def test_examples_fit_the_schema(whole, path):
    """TOML and YAML, of all operations and of chains."""
    text = path.read_text()
    values = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    whole.validate(values)


@pytest.mark.parametrize(
    "text",
    [
        '[[step]]\nname = "select"\nband = 1\n[[step]]\nname = "edit"\nmetadata = { a = "b" }\n'
        + ENDS,
        '[[step]]\nname = "set-type"\noutput_data_type = "UInt16"\n' + ENDS,
        '[[step]]\nname = "neighbors"\nkernel = "equal"\nmethod = "median"\n' + ENDS,
        '[[step]]\nname = "neighbors"\nkernel = [[0, 1, 0], [1, 4, 1], [0, 1, 0]]\n' + ENDS,
        '[[step]]\nname = "neighbors"\nkernel = ["u", [[1]]]\nmethod = ["sum", "mean"]\n' + ENDS,
        '[[step]]\nname = "nodata-to-alpha"\nnodata = 0\n[[step]]\nname = "edit"\nscale = 2\n'
        + ENDS,
        '[[step]]\nname = "proximity"\ntarget_values = 1\nmax_distance = 5\n' + ENDS,
        'pipeline = "read a.tif ! select 1 ! write out"\n',
        'pipeline = { gdalg = "a.gdalg.json" }\n[output]\ndir = "out"\n',
        'pipeline = "select 1"\n[source]\nallow_vrt = true\n',
        '[op]\nname = "raster.pipeline"\nsteps = [{ name = "select", band = [1, 2] }]\n' + ENDS,
    ],
)
def test_jobs_of_chains_fit(validator, text):
    """Steps as tables, in op, and in GDAL's words, which may say what is read and written."""
    assert errors(validator, text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[[step]]\nname = "selekt"\n' + ENDS, ["step"]),
        ('[[step]]\nname = "select"\n' + ENDS, ["step"]),
        ('[[step]]\nname = "select"\nband = 1\nx = 1\n' + ENDS, ["step"]),
        ("pipeline = 5\n" + ENDS, ["pipeline"]),
        ('pipeline = { gdalg = "a", x = 1 }\n' + ENDS, ["pipeline"]),
        ('pipeline = "a"\n[[step]]\nname = "select"\nband = 1\n' + ENDS, []),
        ('[[step]]\nname = "select"\nband = 1\n', []),
        ('[[step]]\nname = "select"\nband = 1\n[source]\n[output]\ndir = "o"\n', ["source"]),
        (ENDS, []),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found(validator, text, place):
    """A step or key that is not there, two of op, step and pipeline, or nothing to read."""
    assert place in errors(validator, text)
