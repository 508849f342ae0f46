"""The section [storage]: read, checked, written, and kept without secrets."""

import json

import pytest

from geobatch_tui.config.layers import from_plan_json, load_job, make_job
from geobatch_tui.config.schema import dump_job, json_schema
from geobatch_tui.config.writing.toml_writer import job_toml
from geobatch_tui.errors import ConfigError

JOB = """
[source]
inputs = ["s3://bucket/a.tif"]
[op]
name = "raster.convert"
[output]
dir = "out"
[storage."s3://bucket"]
endpoint = "https://minio.example:9000"
region = "eu-central-1"
access_key = "env:MY_KEY"
secret_key = "env:MY_SECRET"
timeout = "20s"
[storage."https://data.example.org"]
anonymous = true
"""


def loaded(tmp_path, text=JOB):
    path = tmp_path / "job.toml"
    path.write_text(text)
    return load_job(path)


def test_tables_of_stores_are_read(tmp_path):
    """By bucket or host, dots and all."""
    stores = loaded(tmp_path).job.storage.stores
    assert stores["s3://bucket"].region == "eu-central-1"
    assert stores["s3://bucket"].timeout == 20
    assert stores["https://data.example.org"].anonymous


def test_a_job_is_written_as_it_was_read(tmp_path):
    """[storage."s3://bucket"] again, which loads as the same job."""
    job = loaded(tmp_path).job
    text = job_toml(job)
    assert '[storage."s3://bucket"]' in text
    assert loaded(tmp_path, text).job == job
    assert make_job(dump_job(job)).job == job


def test_references_are_kept_with_a_run(tmp_path):
    """They are no secrets: a kept job can be run again without giving them anew."""
    first = loaded(tmp_path)
    kept = json.loads(json.dumps(first.to_json()))
    assert kept["redacted"] == []
    assert from_plan_json(kept).job == first.job


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('secret_key = "hunter2"', "must name a variable"),
        ('endpoint = "ftp://x"', "must be a URL"),
        ("regoin = 1", "regoin"),
        ('timeout = "0s"', "timeout"),
        ("anonymous = 3", "anonymous"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(tmp_path, line, said):
    """With the store, and without the value, which may be the secret."""
    text = JOB.partition("[storage")[0] + f'[storage."s3://bucket"]\n{line}\n'
    with pytest.raises(ConfigError, match=said) as caught:
        loaded(tmp_path, text)
    assert "s3://bucket" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_table_is_for_a_bucket_or_a_host(tmp_path):
    """Not for an object, nor for a scheme that is not read."""
    for root in ("bucket", "s3://bucket/key", "ftp://host"):
        text = JOB.partition("[storage")[0] + f'[storage."{root}"]\nanonymous = true\n'
        with pytest.raises(ConfigError, match="is no store"):
            loaded(tmp_path, text)


def test_the_schema_knows_the_tables():
    """As they stand in a job file."""
    schema = json_schema("raster.convert")
    store = schema["properties"]["storage"]["additionalProperties"]["$ref"].rpartition("/")[2]
    assert "endpoint" in schema["$defs"][store]["properties"]
