from __future__ import annotations

import json
import math

import pytest
from pydantic import BaseModel, ValidationError

from geobatch_tui.config.fields import leaves
from geobatch_tui.config.schema import Job, dump_job, json_schema
from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.ops.registry import get_operation, operation_names

VALUES = {
    "source": {"inputs": ["/d/a.tif"]},
    "op": {"name": "fake.reproject", "dst_crs": "EPSG:6933"},
    "output": {"dir": "/d/out"},
}


def job(**sections) -> Job:
    """A small job with some sections replaced."""
    return Job.model_validate({**VALUES, **sections})


@pytest.mark.parametrize("name", [None, *operation_names(), "fake.reproject"])
def test_every_key_says_what_it_is(name):
    """Every leaf of the schema and of every operation has help, a unit, and a kind."""
    if name is not None:
        try:
            get_operation(name)
        except ModuleNotFoundError:
            pytest.skip(f"{name} is declared but not there")
    for leaf in leaves(name).values():
        assert leaf.kind in {"semantic", "operational"}, leaf.key
        assert leaf.help, leaf.key


def test_a_key_without_a_kind_would_be_found():
    """The walk that the rule stands on does see a field that says nothing."""

    class Silent(BaseModel):
        field: int = 0

    from geobatch_tui.config.fields import _model_leaves

    assert _model_leaves("s", Silent)["s.field"].kind == ""


def test_defaults_are_written_as_they_are_dumped():
    """The default of each leaf is what a dump of an untouched job says."""
    values = dump_job(job())
    for leaf in leaves("fake.reproject").values():
        section, name = leaf.key.split(".")
        if not leaf.required:
            assert values[section][name] == leaf.default, leaf.key


def test_the_contract_of_the_job_file():
    """The keys of the documented job file are all there."""
    documented = """
        job.name source.inputs source.layer source.src_crs source.override_crs source.require_crs op.name
        output.dir output.format output.creation output.on_dead_chunk output.if_exists engine.executor
        engine.max_workers engine.max_open_files engine.memory_budget engine.chunk_cols
        engine.chunk_rows engine.chunk_features engine.chunk_timeout retry.max_attempts
        retry.backoff_base retry.backoff_cap failures.max_failures log.format log.level log.file
        dask.cluster dask.workers dask.processes dask.lease dask.options dask.security
    """
    assert set(documented.split()) <= set(leaves())


def test_a_dumped_job_loads_as_the_same():
    """Dump, JSON, and load give an equal job, whatever its values."""
    first = job(
        engine={"chunk_timeout": "90s", "memory_budget": "3GiB", "max_duration": 21600},
        failures={"max_failures": "5%"},
        output={"dir": "/o", "creation": {"COMPRESS": "zstd", "level": 9, "tiled": True}},
        retry={"backoff_base": 1, "backoff_cap": "2m"},
    )
    again = Job.model_validate(json.loads(json.dumps(dump_job(first))))
    assert again == first
    assert again.engine.chunk_timeout == 90.0
    assert again.engine.memory_budget == 3 << 30
    assert again.op.params.dst_crs == "EPSG:6933"


def test_a_parameter_of_nan_is_not_nothing():
    """NaN survives dumps and tells a fingerprint from one without the parameter."""
    nan = job(op={**VALUES["op"], "resolution": float("nan")})
    assert nan.semantic() != job().semantic()
    again = Job.model_validate(json.loads(json.dumps(dump_job(nan), allow_nan=False)))
    assert math.isnan(again.op.params.resolution)
    assert again.semantic() == nan.semantic()


def test_the_crs_is_overridden_once():
    """source.override_crs and the operation's src_crs would replace each other."""
    for given in ({"op": "EPSG:32632"}, {"source": "EPSG:32632"}, {"fills": "EPSG:32632"}):
        job(
            source={
                "inputs": ["/x"],
                "src_crs": given.get("fills", ""),
                "override_crs": given.get("source", ""),
            },
            op={"name": "raster.convert", "src_crs": given.get("op", "")},
        )
    with pytest.raises(ValidationError, match=r"source\.override_crs: op\.src_crs too replaces"):
        job(
            source={"inputs": ["/x"], "override_crs": "EPSG:32632"},
            op={"name": "raster.convert", "src_crs": "EPSG:32632"},
        )


def test_jobs_are_frozen():
    """A job cannot be changed after it was checked."""
    with pytest.raises(ValidationError):
        job().engine.max_workers = 3


def test_semantic_values_are_those_that_make_bytes():
    """Fingerprints see the operation, formats and assigned CRS, and nothing operational."""
    said = job(source={"inputs": ["/x"], "src_crs": "epsg:4326"}).semantic()
    assert said["source"] == {"layer": "", "src_crs": "EPSG:4326", "override_crs": ""}
    assert said["op"]["name"] == "fake.reproject"
    assert "api_token" not in said["op"]
    assert set(said["output"]) == {"format", "creation"}
    assert set(said) == {"source", "op", "output"}
    json.dumps(said)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": {"max_workers": 7, "chunk_cols": 512}},
        {"retry": {"max_attempts": 1}},
        {"log": {"level": "debug"}},
        {"failures": {"max_failures": "1%"}},
        {"job": {"name": "other"}},
        {"output": {"dir": "/other", "if_exists": "overwrite"}},
        {"op": {**VALUES["op"], "api_token": "t"}},
    ],
)
def test_operational_changes_make_nothing_stale(change):
    """An operational value never changes what a fingerprint is made of."""
    assert job(**change).semantic() == job().semantic()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"COMPRESS": "DEFLATE"}, {"compress": "deflate"}),
        ({"tiled": "YES"}, {"tiled": True}),
        ({"level": "9"}, {"level": 9}),
        ({"level": 9, "compress": "zstd"}, {"compress": "zstd", "level": 9}),
    ],
)
def test_spellings_of_one_creation_option_are_one(one, other):
    """Creation options that mean the same give the same fingerprint."""
    first, second = (job(output={"dir": "/o", "creation": each}) for each in (one, other))
    assert json.dumps(first.semantic()) == json.dumps(second.semantic())


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("output", {"dir": "/o", "creation": {"compres": "zstd"}}),
        ("output", {"dir": "/o", "creation": {"TILED": True, "tiled": False}}),
        ("output", {"dir": "/o", "format": "GPKG"}),
        ("output", {"dir": ""}),
        ("engine", {"executor": "spark"}),
        ("dask", {"cluster": "somewhere"}),
        ("dask", {"workers": -1}),
        ("engine", {"max_workers": "8"}),
        ("engine", {"max_workers": True}),
        ("engine", {"max_workers": 1.5}),
        ("engine", {"chunk_timeout": "0s"}),
        ("engine", {"memory_budget": 0}),
        ("engine", {"nope": 1}),
        ("retry", {"max_attempts": 0}),
        ("retry", {"backoff_base": "2m", "backoff_cap": "1m"}),
        ("source", {"inputs": []}),
        ("source", {"inputs": [""]}),
        ("source", {"inputs": ["a"], "src_crs": "EPSG:1"}),
        ("op", {"name": "fake.reproject", "dst_crs": "EPSG:69333"}),
        ("op", {"name": "fake.reproject"}),
    ],
)
def test_wrong_values_are_refused(section, values):
    """What the schema does not allow never becomes a job."""
    with pytest.raises(ValidationError):
        job(**{section: values})


def test_an_unknown_operation_is_refused():
    """The error of an unknown operation names the nearest one."""
    with pytest.raises(ConfigError, match=r"did you mean 'fake\.reproject'"):
        job(op={"name": "fake.reprojec"})


def test_effective_values_hide_credentials():
    """Credentials in URLs and under telling names are masked; the job itself keeps them."""
    loaded = job(
        source={"inputs": ["https://me:pw@host/a.tif?sig=abc"]},
        op={**VALUES["op"], "api_token": "canary"},
    )
    text = json.dumps(loaded.effective())
    assert "pw@" not in text
    assert "abc" not in text
    assert "canary" not in text
    assert loaded.effective(redacted=False)["op"].get("api_token") == "canary"


def test_the_json_schema_knows_each_operation():
    """An operation's parameters stand beside its name, and its references resolve."""
    schema = json_schema("fake.reproject")
    (op,) = schema["properties"]["op"]["oneOf"]
    assert op["properties"]["name"] == {"const": "fake.reproject"}
    assert op["required"] == ["name", "dst_crs"]
    assert op["properties"]["dst_crs"]["kind"] == "semantic"
    engine = schema["$defs"]["EngineSection"]["properties"]
    assert engine["memory_budget"]["default"] == "auto"
    text = json.dumps(schema)
    for name in set(text.split('"#/$defs/')[1:]):
        assert name.split('"')[0] in schema["$defs"]
