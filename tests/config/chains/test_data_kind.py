"""Which operation runs a list of steps: by its names, its output, its sources."""

from __future__ import annotations

import pytest

from geobatch_tui.config.chains.data_kind import chosen
from geobatch_tui.config.chains.step_kinds import RASTER, VECTOR
from geobatch_tui.config.layers import load_job
from geobatch_tui.errors import ConfigError

BUFFER, REPROJECT, TYPE = {"name": "buffer"}, {"name": "reproject"}, {"name": "set-type"}


@pytest.mark.parametrize(
    ("steps", "form", "inputs", "chain"),
    [
        ([BUFFER], None, ["a.tif"], VECTOR),
        ([TYPE], "GPKG", ["a.gpkg"], RASTER),
        ([REPROJECT], "GPKG", ["a.tif"], VECTOR),
        ([REPROJECT], "COG", ["a.gpkg"], RASTER),
        ([REPROJECT], None, ["x/*.fgb"], VECTOR),
        ([REPROJECT], None, ["no-suffix", "a.TIF"], RASTER),
        ([REPROJECT], None, ["@list"], RASTER),
        ([REPROJECT], None, None, RASTER),
        ([BUFFER, TYPE], None, ["a.shp.zip"], VECTOR),
        (5, None, 5, RASTER),
    ],
)
def test_names_decide_then_the_format_then_the_sources(tmp_path, steps, form, inputs, chain):
    """A name that only one kind has settles it; a mix is left to the kind that then refuses it."""
    assert chosen(steps, form, inputs, tmp_path) == chain


def test_a_directory_is_of_the_kind_of_its_files(tmp_path):
    """What it holds is looked at, one level deep; what is not there says nothing."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "README").touch()
    (tmp_path / "in" / "b.gpkg").touch()
    assert chosen([REPROJECT], None, ["away", "in"], tmp_path) == VECTOR


JOB = """\
[source]
inputs = ["{inputs}"]
[[step]]
name = "reproject"
output_crs = "EPSG:3035"
[[step]]
name = "clip"
bbox = [0, 0, 1, 1]
{more}
[output]
dir = "out"
"""


def _loaded(tmp_path, inputs, more="", **how):
    job = tmp_path / "job.toml"
    job.write_text(JOB.format(inputs=inputs, more=more))
    return load_job(job, environ={}, **how)


def test_a_job_file_of_steps_is_of_its_kind(tmp_path):
    """A layer above the file decides, too; and ``--set`` reaches the steps of either kind."""
    assert _loaded(tmp_path, "a.tif").job.op.name == RASTER.chain
    loaded = _loaded(tmp_path, "a.fgb", overrides=["clip.bbox=[0, 0, 2, 2]"])
    assert loaded.job.op.name == VECTOR.chain
    assert loaded.job.output.format == "GeoParquet"
    assert loaded.job.op.params.steps[1].bbox == (0, 0, 2, 2)
    other = _loaded(tmp_path, "a.tif", overrides=["output.format=FlatGeobuf"])
    assert other.job.op.name == VECTOR.chain


def test_a_second_file_lies_beside_the_job(tmp_path):
    """``like`` is relative to the job file; its digest is found as the job is read."""
    (tmp_path / "rim.gpkg").write_bytes(b"rim")
    [_, step] = _loaded(
        tmp_path, "a.fgb", 'geometry = ""\n[[step]]\nname = "clip"\nlike = "rim.gpkg"'
    ).job.op.params.steps[1:]
    assert step.like == str(tmp_path / "rim.gpkg")
    assert len(step.like_digest) == 32


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[step]]\nname = "bufer"', "there is no step 'bufer'; did you mean 'buffer'?"),
        ('[[step]]\nname = "buffer"\nlength = 5', "buffer has no parameter 'length'"),
        ('[[step]]\nname = "buffer"\ndistance = nan', "must be a finite number"),
        ('[[step]]\nname = "filter"', "filter needs bbox or where"),
        ('[[step]]\nname = "clip"', "clip takes bbox, geometry or like, one of them"),
        (
            '[[step]]\nname = "clip"\ngeometry = "POINT (0 0)"\nbbox_crs = "EPSG:1"',
            "bbox_crs is about bbox",
        ),
        ('[[step]]\nname = "set-geom-type"\ncurve = true', "no output format here holds curves"),
        (
            '[[step]]\nname = "set-geom-type"\nmulti = true\nsingle = true',
            "multi or single, not both",
        ),
        ('[[step]]\nname = "set-field-type"\nfield_name = "a"\nfield_type = "UUID"', "'Boolean'"),
        ('[[step]]\nname = "select"\nfields = []', "fields is empty"),
        ('[[step]]\nname = "segmentize"\nmax_length = 0', "must be more than 0"),
    ],
)
def test_a_wrong_step_is_named_with_its_line(tmp_path, more, said):
    """Before anything is read: what is wrong, in which step."""
    with pytest.raises(ConfigError) as caught:
        _loaded(tmp_path, "a.fgb", more)
    assert said in str(caught.value)
    assert "step[3]" in str(caught.value)


def test_curves_are_read_as_lines_where_a_step_says_so(tmp_path):
    """They get to no step otherwise."""
    linear = '[[step]]\nname = "set-geom-type"\nlinear = true'
    assert _loaded(tmp_path, "a.fgb", linear).job.op.params.curves == "linear"
    assert _loaded(tmp_path, "a.fgb").job.op.params.curves == "quarantine"
