"""The demo, the sample jobs, and the exit codes of real rasters."""

from __future__ import annotations

import json
from types import SimpleNamespace

import corpus
import pytest

from geobatch_tui.cli.commands import demo
from geobatch_tui.config.layers import load_job
from geobatch_tui.config.paths import sample_dir


def test_demo(geobatch, tmp_path):
    """The demo publishes three rasters, puts the broken one in the dead letters, says what to type
    next, and ends with 0; with --strict it ends with the run's 12."""
    done = geobatch("demo", "--dir", tmp_path / "demo", "--json", check=0)
    result = json.loads(done.stdout)
    assert (result["state"], result["exit_code"]) == ("partial", 12)
    assert result["items"] == {"total": 4, "published": 3, "held": 0, "dead": 1}
    assert [letter["item"] for letter in result["dead_letters"]] == ["broken.tif"]
    assert "cut off on purpose" in done.stderr
    assert "geobatch dead-letters" in done.stderr
    published = sorted(path.name for path in (tmp_path / "demo" / "out").glob("*.tif"))
    assert published == ["alps.tif", "hills.tif", "nile.tif"]

    again = geobatch("demo", "--dir", tmp_path / "demo", "--json", "--strict", check=12)
    assert json.loads(again.stdout)["counts"]["done"] == 0


@pytest.mark.parametrize(
    ("code", "items", "published", "expected"),
    [
        (12, ["broken.tif"], 3, True),
        (12, ["broken.tif", "alps.tif"], 2, False),
        (12, ["alps.tif"], 3, False),
        (0, [], 4, False),
        (17, ["broken.tif"], 0, False),
    ],
)
def test_only_the_broken_file_is_expected(code, items, published, expected):
    """The demo forgives exactly its broken file: anything else keeps the run's exit code."""
    result = SimpleNamespace(
        exit_code=code,
        dead_letters=[{"item": item} for item in items],
        items={"total": 4, "published": published},
    )
    assert demo.as_expected(result) is expected


def test_demo_data_is_small():
    """All that ships for the demo is at most 3 MB."""
    assert sum(path.stat().st_size for path in sample_dir().rglob("*.tif")) <= 3_000_000


@pytest.mark.parametrize("name", ["reproject.toml", "convert.toml", "demo.toml", "relief.yaml"])
def test_sample_jobs_are_right(name):
    """Each sample job loads, and its inputs are there."""
    loaded = load_job(sample_dir() / name, environ={})
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("make", "code", "error_class"),
    [(corpus.no_crs, 10, "CrsError"), (corpus.html_as_tif, 11, "UnsupportedFormatError")],
)
def test_everything_failed_for_one_cause(here, job_file, tmp_path, make, code, error_class):
    """Nothing succeeded and every failure is one of CRS, or of format: exit 10, or 11."""
    directory = tmp_path / "in"
    directory.mkdir()
    job = job_file(inputs=[str(make(directory))])
    done = here("run", job, "--json", check=code)
    assert {letter["error_class"] for letter in json.loads(done.stdout)["dead_letters"]} == {
        error_class
    }


def test_same_bytes_for_other_chunks_and_workers(geobatch, here, job_file, tmp_path):
    """The command gives the same file in one chunk and in many, in threads and in processes."""
    job = job_file(inputs=["hills.tif"])
    here("run", job, "--output", tmp_path / "a", "--set", "engine.chunk_cols=512", check=0)
    words = ("--set", "engine.max_workers=2", "--set", "engine.executor=process")
    geobatch("run", job, "--output", tmp_path / "b", *words, check=0)
    outputs = {(tmp_path / name / "hills.tif").read_bytes() for name in "ab"}
    assert len(outputs) == 1
