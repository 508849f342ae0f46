"""Keys of steps: by number or name, by any name of a parameter, and paths of files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from geobatch_tui.config.chains import step_keys, step_paths
from geobatch_tui.config.sources import Given, Origin
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.params.param_fields import operational, semantic
from geobatch_tui.execution.params.step_params import StepParams


class FileStep(StepParams):
    """A step that reads files."""

    name: Literal["files"]
    other_names: ClassVar[dict[str, str]] = {"m": "mapping"}
    like: str = operational("", "a file", path=True)
    mapping: str = operational("", "text, or @ and a file", path="@")
    text: str = semantic("", "no file")


def given(key, value):
    return Given(key, value, Origin("flag", "--set"), raw=True)


def test_a_parameter_has_one_value_by_whatever_name():
    """--set replaces what the file gave by an older name."""
    steps = [{"name": "reproject", "t_srs": "EPSG:1", "r": "cubic"}]
    changed = step_keys.with_value(steps, given("reproject.output-crs", "EPSG:2"), STEP_PARAMS)
    assert changed == [{"name": "reproject", "output_crs": "EPSG:2", "r": "cubic"}]
    changed = step_keys.with_value(changed, given("step[1].resampling", "mode"), STEP_PARAMS)
    assert changed == [{"name": "reproject", "output_crs": "EPSG:2", "resampling": "mode"}]


def test_files_of_steps_are_relative_to_who_names_them():
    """By any name of the parameter; of text that may be a file, behind @ alone."""
    steps = [{"name": "files", "like": "a.tif", "m": "@b.txt", "text": "c"}, {"name": "select"}, 5]
    assert step_paths.with_paths(steps, Path("/base"), {"files": FileStep}) == [
        {"name": "files", "like": "/base/a.tif", "m": "@/base/b.txt", "text": "c"},
        {"name": "select"},
        5,
    ]
    [step] = step_paths.with_paths(
        [{"name": "files", "mapping": "1=2; 3=4"}], Path("/base"), {"files": FileStep}
    )
    assert step["mapping"] == "1=2; 3=4"


def test_a_file_of_a_step_counts_by_its_content(tmp_path, load):
    """Its name decides no byte: moved, it makes nothing stale; changed, it does."""
    text = """\
[source]
inputs = ["a.tif"]
[[step]]
name = "color-map"
color_map = "NAME"
[output]
dir = "out"
"""
    known = []
    for name, colours in (("a.txt", "0 red"), ("b.txt", "0 red"), ("a.txt", "0 blue")):
        (tmp_path / name).write_text(colours)
        job = load(text.replace("NAME", name)).job
        assert job.op.params.steps[0].color_map == str(tmp_path / name)
        known.append(job.semantic())
    assert known[0] == known[1] != known[2]
    assert "color_map" not in known[0]["op"]["steps"][0]
