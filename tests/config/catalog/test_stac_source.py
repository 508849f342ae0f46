"""Entries of source.inputs that name a STAC catalogue."""

from __future__ import annotations

import pytest

from geobatch_tui.config.catalog.stac_source import StacSource
from geobatch_tui.config.layers import load_job, make_job
from geobatch_tui.config.schema import Job, dump_job
from geobatch_tui.config.writing.toml_writer import job_toml
from geobatch_tui.errors import ConfigError

SEARCH = {
    "stac": "https://api.example/v1",
    "collections": ["sentinel-2-l2a"],
    "bbox": [7, 46, 8.5, 47],
    "datetime": "2024-01-01/2024-06-30",
    "query": {"eo:cloud_cover": {"lt": 20}},
    "assets": ["B04", "B08"],
}


def job(*inputs: object) -> Job:
    return make_job(
        {
            "source": {"inputs": list(inputs)},
            "op": {"name": "raster.convert"},
            "output": {"dir": "/out"},
        }
    ).job


def test_an_entry_comes_back_from_every_form() -> None:
    """Beside files, as it was written and without what is the default."""
    made = job("/a.tif", SEARCH, {"stac": "/b/items.json", "assets": "B04"})
    dumped = dump_job(made)
    assert dumped["source"]["inputs"][1] == SEARCH
    assert dumped["source"]["inputs"][2] == {"stac": "/b/items.json", "assets": ["B04"]}
    assert Job.model_validate(dumped) == made
    assert made.source.inputs[1].is_search
    assert not made.source.inputs[2].is_search


def test_a_file_and_a_directory_are_relative_to_the_job_file(tmp_path) -> None:
    """An API is not; and the job that is written again means the same."""
    path = tmp_path / "job.toml"
    path.write_text(
        'source.inputs = { stac = "items.json", within = "tiles" }\n'
        'op.name = "raster.convert"\noutput.dir = "out"\n'
    )
    (entry,) = load_job(path, environ={}).job.source.inputs
    assert entry == StacSource(stac=str(tmp_path / "items.json"), within=str(tmp_path / "tiles"))
    path.write_text(job_toml(job(SEARCH)))
    assert load_job(path, environ={}).job.source.inputs == job(SEARCH).source.inputs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stac": "https://u:canary@api.example/v1"}, "no user"),
        ({"stac": "https://api.example/v1?token=canary"}, "no user, query"),
        ({"stac": "items.json"}, "is of a search"),
        ({"bbox": [7, 46, 8]}, "west, south, east, north"),
        ({"bbox": [7, 47, 8, 46]}, "above its north"),
        ({"bbox": [7, 46, float("nan"), 47]}, "west, south, east, north"),
        ({"datetime": "yesterday"}, "datetime is"),
        ({"datetime": "2024T10:00:00Z"}, "datetime is"),
        ({"name": "{item.id"}, "braces"),
        ({"name": "../{item.id}"}, "begins with a dot"),
        ({"name": "/{item.id}"}, "empty"),
        ({"query": {"a": "x" * 20_000}}, "longer than"),
        ({"limit": -1}, "0 or more"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_is_wrong_is_said(change, reason) -> None:
    """With its key, and without a secret."""
    with pytest.raises(ConfigError, match=reason) as caught:
        job({**SEARCH, **change})
    assert "source.inputs" in caught.value.message
    assert "canary" not in caught.value.message
