"""Groups of inputs: which files become one output, and a run of them from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.params import frozen
from geobatch_tui.execution.raster.steps.step_table import STEPS
from geobatch_tui.execution.sources.source_list import members_of
from geobatch_tui.orchestration.plan.groups import combined, inputs_of


def tile(path, value, left=0):
    """Write a raster of one value."""
    path.parent.mkdir(exist_ok=True)
    profile = {
        "driver": "GTiff", "width": 20, "height": 20, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32633", "transform": from_origin(500_000 + 10 * left, 5_000_000, 10, 10),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(np.full((1, 20, 20), value, "uint8"))
    return path


def job(tmp_path, by=""):
    return make_job({
        "job": {"name": "all"},
        "source": {"inputs": [str(tmp_path / "in")]},
        "op": {"name": "raster.pipeline", "steps": [{"name": "mosaic", "by": by}]},
        "output": {"dir": str(tmp_path / "out")},
    }).job  # fmt: skip


def test_groups_are_named_by_what_the_pattern_matches(tmp_path):
    """By its parentheses, or by all of it; files keep the order of the inputs."""
    for name in ("a_20240102", "b_20240101", "c_20240102"):
        tile(tmp_path / "in" / f"{name}.tif", 1)
    for by, expected in (
        ("", {"all.tif": "abc"}),
        (r"_(\d{8})", {"20240102.tif": "ac", "20240101.tif": "b"}),
        (r"(\d{4})\d\d(\d\d)", {"2024_02.tif": "ac", "2024_01.tif": "b"}),
        (r"^.", {"a.tif": "a", "b.tif": "b", "c.tif": "c"}),
    ):
        own = job(tmp_path, by)
        groups = combined(own, inputs_of(own), tmp_path / "lists")
        found = {
            entry.key: "".join(path.rpartition("/")[2][0] for path in members_of(entry.path))
            for entry in groups
        }
        assert found == expected


def test_an_input_without_a_group_is_named(tmp_path):
    """Rather than left out without a word."""
    tile(tmp_path / "in" / "a_20240102.tif", 1)
    tile(tmp_path / "in" / "b.tif", 1)
    own = job(tmp_path, r"_(\d{8})")
    with pytest.raises(PreflightError, match=r"matches nothing in the names of 1 input:\n.*b\.tif"):
        combined(own, inputs_of(own), tmp_path / "lists")


def test_a_mosaic_runs_and_runs_again(tmp_path, here):
    """One output of two files; nothing is redone, until a file changes; a plan leaves no trace."""
    tile(tmp_path / "in" / "a.tif", 3)
    tile(tmp_path / "in" / "b.tif", 5, left=20)
    tile(tmp_path / "in" / "deep.tif", 7, left=40)
    path = tmp_path / "job.toml"
    path.write_text('[source]\ninputs = ["in"]\n[[step]]\nname = "mosaic"\n[output]\ndir = "out"\n')
    plan = json.loads(here("plan", path, "--json", check=0).stdout)
    assert plan["items"] == 1
    assert not (tmp_path / "out").exists()
    here("run", path, "--headless", check=0)
    with rasterio.open(tmp_path / "out" / "job.tif") as out:
        assert out.read(1)[0, ::20].tolist() == [3, 5, 7]
    again = json.loads(here("run", path, "--headless", "--json", check=0).stdout)
    assert again["counts"]["current"] == 1
    tile(tmp_path / "in" / "b.tif", 9, left=20)
    report = json.loads(here("plan", path, "--json", check=0).stdout)
    assert report["reasons"] == {"source_changed": 1}
    here("run", tmp_path / "out", "--headless", check=0)
    with rasterio.open(tmp_path / "out" / "job.tif") as out:
        assert out.read(1)[0, ::20].tolist() == [3, 9, 7]
    here("verify", tmp_path / "out", check=0)


def test_only_chunks_of_a_changed_file_are_made_anew(tmp_path, here):
    """The tiles of the others are copied from the published output, and the file is the one that a
    fresh run makes."""
    path = tmp_path / "job.toml"
    text = (
        '[source]\ninputs = ["in"]\n[[step]]\nname = "mosaic"\n[[step]]\nname = "set-type"\n'
        'output_data_type = "float32"\n[output]\ndir = "{}"\ncreation = {{blocksize = 16}}\n'
        "[engine]\nchunk_cols = 16\nchunk_rows = 16\n"
    )
    path.write_text(text.format("out"))
    for number, name in enumerate("abcd"):
        tile(tmp_path / "in" / f"{name}.tif", number + 1, left=20 * number)
    here("run", path, "--headless", check=0)
    tile(tmp_path / "in" / "c.tif", 99, left=40)
    report = json.loads(here("plan", path, "--json", check=0).stdout)
    assert report["reasons"] == {"source_changed": 10}
    (said,) = report["warnings"]
    assert "6 of 10 chunks are copied from the published output" in said
    here("run", path, "--headless", check=0)
    path.write_text(text.format("fresh"))
    here("run", path, "--headless", check=0)
    files = [(tmp_path / name / "job.tif").read_bytes() for name in ("out", "fresh")]
    assert files[0] == files[1]


def test_lists_of_sources_are_no_input(tmp_path, here):
    """They are the engine's own: a file of somebody else names no files to read."""
    (tmp_path / "x.sources").write_text('geobatch sources 1\n"/etc/passwd"')
    path = tmp_path / "job.toml"
    path.write_text(
        '[source]\ninputs = ["x.sources"]\n[[step]]\nname = "mosaic"\n[output]\ndir = "out"\n'
    )
    said = here("plan", path, check=2)
    assert "lists of sources are the engine's own" in said.stderr


def test_what_changed_in_a_chain_is_named_by_its_step(tmp_path, here, monkeypatch):
    """A parameter by its step and name; another version of a step, as other code of that step."""
    tile(tmp_path / "in" / "a.tif", 3)
    path = tmp_path / "job.toml"
    path.write_text(
        '[source]\ninputs = ["in"]\n[[step]]\nname = "edit"\nmetadata = {a = "b"}\n[[step]]\n'
        'name = "set-type"\noutput_data_type = "int16"\n[output]\ndir = "out"\n'
    )
    here("run", path, "--headless", check=0)
    set_ = ("--set", "step[2].output_data_type=float32")
    told = json.loads(here("plan", path, "--explain", "--json", *set_, check=0).stdout)
    assert told["reasons"] == {"param_changed": 1}
    assert "step[2].output_data_type" in json.dumps(told)
    monkeypatch.setattr(frozen, "STEP_VERSIONS", {"set-type": 2})
    told = json.loads(here("plan", path, "--explain", "--json", check=0).stdout)
    assert told["reasons"] == {"code_changed": 1}
    assert '"step[2]"' in json.dumps(told)


def test_versions_of_steps_are_those_of_the_table():
    """The engine, which loads no step, knows them from the table."""
    for name, step in STEPS.items():
        assert step.version == frozen.step_version(name)
