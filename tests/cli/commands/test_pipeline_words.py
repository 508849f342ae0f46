"""Pipelines of GDAL's through the command line: run, resumed, checked, shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import rasterio

from geobatch_tui.cli.commands.run import _words

DATA = Path(__file__).resolve().parents[3] / "sample_configs" / "data"
CHAIN = "read scenes/*.tif ! select 1 ! clip --window=0,0,64,32 ! write out --co BLOCKSIZE=128"


@pytest.fixture
def scenes(tmp_path):
    """A directory of two small rasters."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name in ("hills.tif", "nile.tif"):
        shutil.copy(DATA / name, folder / name)
    return folder


def test_a_pipeline_runs_and_is_resumed(here, scenes, tmp_path):
    """Outputs keep the names of their sources; the directory stands for the job afterwards."""
    result = json.loads(here("run", CHAIN, "--json", check=0).stdout)
    assert result["items"]["published"] == 2
    for name in ("hills.tif", "nile.tif"):
        with rasterio.open(tmp_path / "out" / name) as output:
            assert (output.width, output.height, output.count) == (64, 32, 1)
            assert output.profile["blockxsize"] == 128
    again = json.loads(here("run", tmp_path / "out", "--json", check=0).stdout)
    assert again["counts"]["current"] == 2
    other = here("plan", CHAIN.replace("0,0,64,32", "0,0,64,64"), "--explain", check=0).stdout
    assert "param_changed" in other


def test_a_file_of_gdals_runs_where_the_caller_says(here, scenes, tmp_path):
    """And the plan says what is as GDAL has it, and not as here."""
    command = "gdal raster pipeline read --input hills.tif ! select --band 1"
    path = scenes / "one.gdalg.json"
    path.write_text(json.dumps({"type": "gdal_streamed_alg", "command_line": command}))
    assert "output.dir is missing" in here("plan", path, check=2).stderr
    assert "GDAL's default" in " ".join(here("plan", path, "--output", "o", check=0).stdout.split())
    here("run", path, "--output", "o", check=0)
    with rasterio.open(tmp_path / "o" / "hills.tif") as output:
        assert output.profile["compress"].upper() == "LZW"


def test_a_pipeline_is_checked_and_shown(here, scenes):
    """By the commands that check and show a job file."""
    assert here("config", "check", CHAIN, check=0).stdout.endswith(": right\n")
    rows = {
        row["key"]: row
        for row in json.loads(here("config", "show", CHAIN, "--json", check=0).stdout)
    }
    assert rows["op.steps"]["where"] == "pipeline"
    assert rows["source.inputs"]["layer"] == "flag"
    said = here("config", "check", CHAIN.replace("select", "selekt"), check=2).stderr
    assert "pipeline: column 21: step 1: there is no step 'selekt'; did you mean 'select'?" in said
    assert "geobatch ops" in said
    there = here("run", "read scenes/hills.tif ! select 1 ! write out.tif", check=2).stderr
    assert "names a file: outputs go to a directory" in there


def test_what_runs_in_the_background_is_the_same():
    """A pipeline is handed on as it is; a path would lose what looks like one in it."""
    text = "read https://host//a.tif ! select 1 ! write ./out"
    assert _words(text, {"output.dir": "o"}, []) == ["run", text, "--headless", "--output", "o"]
    assert _words("job.toml", {}, ["a=b"])[1] == str(Path("job.toml").absolute())
