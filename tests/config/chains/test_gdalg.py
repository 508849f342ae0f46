"""Files of GDAL's as jobs: what they give, with GDAL's defaults, and what they may not say."""

from __future__ import annotations

import json

import pytest

from geobatch_tui.config.chains.gdalg import read_gdalg
from geobatch_tui.config.layers import load_job
from geobatch_tui.errors import ConfigError

COMMAND = "gdal raster pipeline read --input a.tif ! select --band 1"


def write(path, command=COMMAND, **more):
    """A file of GDAL's; keywords replace or add keys."""
    values = {"type": "gdal_streamed_alg", "command_line": command, "gdal_version": "3130300"}
    path.write_text(json.dumps(values | more))
    return path


def test_a_file_is_a_job(tmp_path, monkeypatch):
    """Its input is relative to it; its name is the job's; outputs go where the caller says."""
    folder = tmp_path / "there"
    folder.mkdir()
    path = write(folder / "shade.gdalg.json")
    monkeypatch.chdir(tmp_path)
    loaded = load_job(path, flags={"output.dir": "out"}, environ={})
    assert loaded.job.op.name == "raster.pipeline"
    assert loaded.job.source.inputs == (f"{folder}/a.tif",)
    assert loaded.job.output.dir == f"{tmp_path}/out"
    assert loaded.job.job.name == "shade"
    assert loaded.job.output.creation == {"compress": "LZW"}
    assert loaded.warnings == (f'{path}: output.creation.compress = "LZW", GDAL\'s default',)
    write(path, relative_paths_relative_to_this_file=False)
    loaded = load_job(path, flags={"output.dir": "out"}, environ={})
    assert loaded.job.source.inputs == (f"{tmp_path}/a.tif",)


def test_it_does_not_say_where_to_write(tmp_path):
    """Nor that what is there may be replaced: a file on disk chooses neither."""
    command = f"{COMMAND} ! write --overwrite --of GTiff --co TILED=YES {tmp_path}/home.tif"
    path = write(tmp_path / "a.gdalg.json", command)
    with pytest.raises(ConfigError, match=r"output\.dir is missing"):
        load_job(path, environ={})
    loaded = load_job(path, flags={"output.dir": "out"}, environ={})
    assert loaded.job.output.if_exists == "skip"
    assert loaded.job.output.format == "GTiff"
    assert loaded.job.output.creation == {"TILED".lower(): "YES", "compress": "NONE"}
    assert any("where it would write is not used" in text for text in loaded.warnings)


@pytest.mark.parametrize(
    "command",
    [
        f"{COMMAND} ! write --output-format=stream streamed_dataset",
        "gdal raster select --input a.tif --band 1 --output-format stream --output streamed_dataset",
        "gdal raster pipeline ! read a.tif ! select 1 ! write --of stream streamed_dataset",
    ],
)
def test_a_stream_is_no_place(tmp_path, command):
    """What GDAL writes there for streams is left out without a word."""
    path = write(tmp_path / "a.gdalg.json", command)
    loaded = load_job(path, flags={"output.dir": "out"}, environ={})
    assert loaded.job.output.format == "COG"
    assert [step.band for step in loaded.job.op.params.steps] == [(1,)]
    assert len(loaded.warnings) == 1  # of the compression


def test_a_job_file_names_one(tmp_path):
    """And sets what it likes above it."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.gdalg.json")
    path = tmp_path / "job.toml"
    path.write_text(
        'pipeline = { gdalg = "in/a.gdalg.json" }\n'
        '[output]\ndir = "out"\ncreation = { compress = "ZSTD" }\n'
    )
    loaded = load_job(path, environ={})
    assert loaded.job.source.inputs == (f"{tmp_path}/in/a.tif",)
    assert loaded.job.output.creation == {"compress": "ZSTD"}


def test_newer_words_are_taken_with_a_warning(tmp_path):
    """Of a version that is not known, of a key that is not, of a version that is none."""
    path = write(tmp_path / "a.gdalg.json", gdal_version="3140000", future=1)
    warnings = "\n".join(read_gdalg(path).complaints.warnings)
    assert "GDAL 3140000 is newer than 3.13" in warnings
    assert "'future' is not read" in warnings
    for version in ("3.13", "x" * 100, "9" * 30):
        write(path, gdal_version=version)
        assert "is no version of GDAL's" in read_gdalg(path).complaints.warnings[0]
    for version in ("3130300", 3110000, None):
        write(path, gdal_version=version)
        assert len(read_gdalg(path).complaints.warnings) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not valid JSON"),
        ("[1]", "holds no object"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"type": "x", "command_line": "read a"}', 'its "type" is "gdal_streamed_alg"'),
        ('{"type": "gdal_streamed_alg"}', 'it has a "command_line"'),
        ('{"type": "gdal_streamed_alg", "command_line": 5}', 'it has a "command_line"'),
        ('{"type": "a", "type": "gdal_streamed_alg"}', "a key is given twice"),
        ("x" * (2 << 20), "is over 1 MiB"),
        ("\udcff", "is not valid JSON"),
    ],
    ids=range(10),
)
def test_what_is_no_such_file_is_refused(tmp_path, text, said):
    """Too large, too deep, or something else: a sentence, and exit code 2."""
    path = tmp_path / "a.gdalg.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as raised:
        load_job(path, environ={})
    assert said in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_missing_file_is_said(tmp_path):
    """By its name."""
    with pytest.raises(ConfigError, match=r"cannot read .*none\.gdalg\.json: No such file"):
        load_job(tmp_path / "none.gdalg.json", environ={})


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("gdal raster pipeline read a.tif ! sieve", "gdal has the step 'sieve', geobatch has not"),
        ("gdal raster pipeline read --if MRF a.tif ! select 1", "--if is not taken"),
        ("gdal --config GDAL_DRIVER_PATH=/tmp raster select a.tif out 1", "--config is not taken"),
        ("gdal vector sort a.gpkg stream", "gdal has the step 'sort', geobatch has not"),
        ("rm -rf / ; gdal raster", "there is no step 'rm'"),
        ("gdal raster pipeline read a.tif ! $(touch x)", "there is no step '$(touch'"),
    ],
)
def test_nothing_in_it_chooses_a_driver_or_a_program(tmp_path, command, said):
    """What it may not say is refused by its name, with the file's."""
    path = write(tmp_path / "a.gdalg.json", command)
    with pytest.raises(ConfigError) as raised:
        load_job(path, flags={"output.dir": "out"}, environ={})
    assert said in str(raised.value)
    assert str(path) in str(raised.value)
