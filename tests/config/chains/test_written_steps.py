"""A job of steps, written to a job file: it loads as the same job, from wherever it came."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from geobatch_tui.config import paths
from geobatch_tui.config.chains import step_kinds, written_steps
from geobatch_tui.config.layers import load_job
from geobatch_tui.config.schema import dump_job
from geobatch_tui.config.writing.toml_writer import job_toml, write_job

BASE = '[source]\ninputs = ["a.tif"]\n[output]\ndir = "out"\n'
FUNCTION = '''
def twice(block, *, size: int = 5, how: str = "mean", limit):
    """Double it.

    More of it.
    """
    return block
'''


@pytest.fixture
def load(tmp_path):
    """Loads a job file of steps in a directory with a function and a table of colours."""
    (tmp_path / "steps.py").write_text(FUNCTION)
    (tmp_path / "map.txt").write_text("0 black\n255 white\n")

    def load(text, name="job.toml"):
        path = tmp_path / name
        path.write_text(BASE + text)
        return load_job(path, environ={})

    return load


CHAINS = {
    "raster": """
[[step]]
name = "reproject"
output_crs = "EPSG:3035"
warp_option = { SAMPLE_GRID = "YES" }
output_nodata = nan
[[step]]
name = "color-map"
color_map = "map.txt"
[[step]]
name = "edit"
metadata = { a = "b" }
""",
    "both": '[[step]]\nname = "reproject"\noutput_crs = "EPSG:3035"\n',
    "own": '[[step]]\nuse = "steps.py:twice"\nlimit = 3\nsize = 7\n',
    "words": "",
    "linear": '[[step]]\nname = "set-geom-type"\nlinear = true\n',
    "op": """
[op]
name = "vector.pipeline"
where = "a > 1"
[[op.steps]]
name = "explode-collections"
""",
    "none": '[op]\nname = "vector.pipeline"\nsteps = []\n',
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("defaults", [False, True])
def test_a_chain_loads_as_the_same(load, tmp_path, name, defaults):
    """In the order of its steps, without what was found when the job was read."""
    text = CHAINS[name]
    job = load(text).job if text else _of_words(tmp_path).job
    path = tmp_path / "again.toml"
    write_job(job, path, defaults=defaults)
    assert dump_job(load_job(path, environ={}).job) == dump_job(job)  # nan is no nan
    steps = "[[op.steps]]" if "op" in tomllib.loads(path.read_text()) else "[[step]]"
    assert path.read_text().count(steps) == len(job.op.params.steps)
    assert defaults or (name in {"op", "none"}) is ("[op]" in path.read_text())
    assert not {"colors", "function", "like_state"} & set(path.read_text().split())


def _of_words(folder: Path):
    """A pipeline in GDAL's words, in a job file of geobatch."""
    path = folder / "words.toml"
    path.write_text('[job]\nname = "w"\n[output]\ndir = "out"\n')
    words = 'pipeline = "read a.tif ! select 1 ! slope --unit percent"\n'
    path.write_text(words + path.read_text())
    return load_job(path, environ={})


def test_a_pipeline_of_gdal_is_written_as_steps(tmp_path):
    """With GDAL's defaults, which the file did not name."""
    command = "gdal raster pipeline read --input a.tif ! calc --calc X+1"
    found = {"type": "gdal_streamed_alg", "command_line": command}
    path = tmp_path / "x.gdalg.json"
    path.write_text(json.dumps(found))
    job = load_job(path, overrides=["output.dir=out"], environ={}).job
    said = tomllib.loads(job_toml(job))
    assert said["step"] == [{"name": "calc", "calc": ["X+1"], "propagate_nodata": False}]
    assert said["output"]["creation"] == {"compress": "LZW"}
    write_job(job, tmp_path / "x.toml")
    assert load_job(tmp_path / "x.toml", environ={}).job == job


def test_the_examples_are_written_as_the_same(tmp_path):
    """Each of those that come along, but that of a function, which has another path elsewhere."""
    for path in paths.presets():
        job = load_job(path, environ={}).job
        if path.name == "own.toml":
            continue
        write_job(job, tmp_path / "again.toml")
        assert load_job(tmp_path / "again.toml", environ={}).job == job


def test_a_function_beside_the_job_file_may_be_run(load, tmp_path):
    """Its path is relative to it; elsewhere it is absolute, and has to be allowed."""
    job = load(CHAINS["own"]).job
    assert tomllib.loads(job_toml(job, tmp_path))["step"][0]["use"] == "steps.py:twice"
    elsewhere = tomllib.loads(job_toml(job, tmp_path / "other"))["step"][0]
    assert elsewhere == {"use": f"{tmp_path / 'steps.py'}:twice", "size": 7, "limit": 3}


def test_parameters_of_a_function_are_keys(load):
    """As those of a step: types and defaults, by its signature."""
    (step,) = written_steps.written(load(CHAINS["own"]).job)
    known = step_kinds.RASTER.steps
    leaves = {leaf.key: leaf for leaf in written_steps.leaves_of(step, 2, known)}
    assert list(leaves) == ["step[2].use", "step[2].size", "step[2].how", "step[2].limit"]
    assert leaves["step[2].size"].default == 5
    assert leaves["step[2].how"].text
    assert leaves["step[2].limit"].required
    assert "int, line 2 of steps.py" in leaves["step[2].size"].help
    assert written_steps.summary_of(step, known) == "Double it."
    assert written_steps.name_of(step) == "steps.py:twice"


def test_a_function_that_is_gone_keeps_its_values(load, tmp_path):
    """They are shown, and can be mended."""
    (step,) = written_steps.written(load(CHAINS["own"]).job)
    (tmp_path / "steps.py").unlink()
    known = step_kinds.RASTER.steps
    keys = [leaf.key for leaf in written_steps.leaves_of(step, 1, known)]
    assert keys == ["step[1].use", "step[1].size", "step[1].limit"]
    assert written_steps.summary_of(step, known) == ""
