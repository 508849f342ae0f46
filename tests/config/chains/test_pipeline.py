"""Pipelines in GDAL's words as jobs: what they give, and what is refused, with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.config.chains.pipeline import is_pipeline, read_pipeline
from geobatch_tui.config.chains.pipeline_words import Complaints, words_of
from geobatch_tui.config.layers import from_plan_json, load_job
from geobatch_tui.errors import ConfigError


def values(text, **how):
    """The values of a pipeline that is right."""
    pipeline = read_pipeline(text, "here", **how)
    assert pipeline.complaints.problems == []
    return pipeline.values


def refusal(text):
    """The one problem of a pipeline."""
    [problem] = read_pipeline(text, "here").complaints.problems
    return str(problem)


def steps(text):
    """The steps of a pipeline, from what is read to what is written."""
    return values(f"read a.tif ! {text} ! write out")["op.steps"]


def test_a_pipeline_is_a_job():
    """What it reads, the steps, where and how it writes: each is a value of a job."""
    text = "read scenes/*.tif ! reproject -d EPSG:6933 -r bilinear ! select 1 ! write out --of cog --co COMPRESS=ZSTD --co LEVEL=3 --overwrite"
    assert values(text) == {
        "op.name": "raster.pipeline",
        "op.steps": [
            {"name": "reproject", "output_crs": "EPSG:6933", "resampling": "bilinear"},
            {"name": "select", "band": ["1"]},
        ],
        "source.inputs": ["scenes/*.tif"],
        "output.dir": "out",
        "output.if_exists": "overwrite",
        "output.format": "COG",
        "output.creation": {"COMPRESS": "ZSTD", "LEVEL": "3"},
    }


@pytest.mark.parametrize(
    "text",
    [
        "! read a.tif ! select 2 ! write out !",
        "read a.tif | select 2 | write out",
        "gdal raster pipeline --quiet read a.tif ! select 2 ! write out",
        "gdal pipeline --progress ! read --input=a.tif ! select --band=2 ! write --output out",
        "read -i a.tif ! select -b 2 ! write -o out",
        "read a.tif\n  ! select 2\n  ! write out\n",
        "gdal raster select a.tif out 2",
        "gdal raster select -b 2 --input a.tif -o out",
        'read "a.tif" ! select "2" ! \'write\' out',
    ],
)
def test_all_spellings_mean_the_same(text):
    """Bars of both kinds, at both ends, short and long names, and commands of one step."""
    assert values(text) == {
        "op.name": "raster.pipeline",
        "op.steps": [{"name": "select", "band": ["2"]}],
        "source.inputs": ["a.tif"],
        "output.dir": "out",
    }


@pytest.mark.parametrize(
    "text",
    [
        "mosaic a.tif b.tif ! write out",
        "gdal raster pipeline mosaic -i a.tif --input=b.tif ! write out",
        "read a.tif b.tif ! mosaic ! write out",
        "gdal raster mosaic a.tif b.tif out",
        "gdal raster mosaic a.tif b.tif -o out",
    ],
)
def test_many_files_become_one(text):
    """Mosaic and stack read files themselves; the inputs are those of the job."""
    found = values(text)
    assert found["op.steps"] == [{"name": "mosaic"}]
    assert found["source.inputs"] == ["a.tif", "b.tif"]
    assert found["output.dir"] == "out"


def test_a_pipeline_of_no_step_copies():
    """To read and to write is what the operation convert does, of rasters or of features."""
    text = "read -l roads a.gpkg ! write out --of FlatGeobuf"
    assert values(text) == {
        "op.name": "vector.convert",
        "source.inputs": ["a.gpkg"],
        "source.layer": "roads",
        "output.dir": "out",
        "output.format": "FlatGeobuf",
    }
    assert values("gdal vector convert a.shp out")["op.name"] == "vector.convert"
    for text in ("read a.tif ! write out", "gdal raster convert a.tif out"):
        assert values(text)["op.name"] == "raster.convert"


def test_values_are_written_as_gdal_takes_them():
    """Lists between commas or one by one, tables, flags, words in any case, older names."""
    assert steps("clip --bbox=-1,2,3.5,4 --bbox-crs EPSG:4326 --allow-bbox-outside-source") == [
        {
            "name": "clip", "bbox": ["-1", "2", "3.5", "4"], "bbox_crs": "EPSG:4326",
            "allow_bbox_outside_source": True,
        }
    ]  # fmt: skip
    assert (
        steps("select 1,2") == steps("select -b 1 -b 2") == [{"name": "select", "band": ["1", "2"]}]
    )
    assert steps("reproject --t_srs EPSG:3035 -r NEAR --wo A=B --wo C=D,E --tap=true --dst-nodata -9") == [
        {
            "name": "reproject", "output_crs": "EPSG:3035", "resampling": "nearest",
            "warp_option": {"A": "B", "C": "D,E"}, "target_aligned_pixels": True,
            "output_nodata": "-9",
        }
    ]  # fmt: skip
    assert steps("reproject -d EPSG:3035 --resolution 10,20")[0]["resolution"] == ["10", "20"]
    assert steps("reproject -d EPSG:3035 --resolution 10")[0]["resolution"] == "10"
    assert steps('edit --metadata "a=b c, d" --nodata none')[0]["metadata"] == {"a": "b c, d"}
    assert steps("set-type --ot UInt16") == steps("astype --datatype UINT16")


def test_a_function_of_the_user_is_a_step(tmp_path, monkeypatch):
    """By file and name, with its parameters; not in a file of GDAL's, which runs no code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "from geobatch_tui import step\n\n"
        "@step\ndef shift(block, *, by: float = 1.0, twice: bool = False):\n    return block + by\n"
    )
    text = "read a.tif ! own.py:shift --by 2.5 --twice ! select 1 ! write out"
    assert steps("own.py:shift --by=2.5 --twice")[0] == {
        "use": "own.py:shift",
        "by": 2.5,
        "twice": True,
    }
    loaded = load_job(None, pipeline=text, environ={})
    assert loaded.job.op.params.steps[0].by == 2.5
    assert loaded.job.job.name == "own.py:shift ! select"
    assert "takes nothing without its name" in refusal("read a.tif ! own.py:shift 5")
    [problem] = read_pipeline("read a ! own.py:shift", "x", foreign=True).complaints.problems
    assert "there is no step 'own.py:shift'" in problem.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("read a.tif ! frob ! write out", "here: column 14: step 1: there is no step 'frob'; known: "),
        ("read a.tif ! selekt 1", "there is no step 'selekt'; did you mean 'select'?"),
        ("read a.tif ! select 1 ! sieve -s 3", "column 25: step 2: gdal has the step 'sieve', geobatch has not"),
        ("read a.tif ! set-type --ot Byte ! select 1 ! buffer 5", "step 3: 'buffer' is a step of vector data, not of raster data"),
        ("gdal raster pipeline read a.tif ! buffer 5", "'buffer' is a step of vector data"),
        ("gdal vector sort a.gpkg out", "gdal has the step"),
        ("read a.tif ! reproject --output-crz EPSG:1", "column 24: step 1, reproject: there is no argument --output-crz; did you mean 'output-crs'?"),
        ("read a.tif ! select 1 ! scale -i A=b.tif", "step 2, scale: -i is for read: a step gets what the one before it gives"),
        ("read a.tif ! edit --gcp 1,2,3,4", "edit: gdal has --gcp, geobatch has not"),
        ("read a.tif ! edit --name x", "there is no argument --name"),
        ("read a.tif ! select 1 2", "select: takes nothing without its name, but got '2'"),
        ("read a.tif ! clip --window=1,2,3,4 --window=1,2,3,4", "window is given twice"),
        ("read a.tif ! reproject -d EPSG:3035 --dst-crs EPSG:1", "output-crs is given twice"),
        ("read a.tif ! reproject -d", "-d has no value"),
        ("read a.tif ! edit --metadata x", "metadata takes KEY=VALUE, not 'x'"),
        ("read --oo A=B a.tif", "read: --oo is not taken: how a file is opened follows from its content"),
        ("read --if GTiff a.tif", "read: --if is not taken"),
        ("read --layer x a.tif", "read: there is no argument --layer; known: --input"),
        ("read a.tif ! write out --append", "write: gdal has --append, geobatch has not"),
        ("read a.tif ! write out --outputt x", "write: there is no argument --outputt; did you mean 'output'?"),
        ("read a.tif ! write out out2", "write: dir is given twice: 'out2'"),
        ("read a.tif ! write out --co X", "write: --co takes NAME=VALUE, not 'X'"),
        ("read a.tif ! write out --co", "write: --co has no value"),
        ("read a.tif ! write b ! select 1", "column 14: write stands last, and once"),
        ("select 1 ! read a.tif", "read stands first, and once"),
        ("read a.tif ! ! write b", "column 14: there is no step before this '!'"),
        ("read a.tif !! write b", "'!!' ends no step; write !"),
        ("read a.tif ! tee [ write b ] ! write c", "column 18: a pipeline in a pipeline, [ ... ], is not run"),
        ("gdal pipeline +step +gdal=read +input=a.tif", "'+step' is PROJ's way to write a step"),
        ("read a.tif ! select _PIPE_", "_PIPE_ as an argument is not run"),
        ('read "a.tif ! write b', "a quotation mark is not closed"),
        ("gdal raster", "there is no step behind gdal"),
        ("gdal raster pipeline", "there is no step"),
        ("gdal --config A=B raster select a.tif out 1", "--config is not taken"),
        ("gdal raster edit a.tif --crs EPSG:1", "gdal changes the file itself"),
        ("gdal raster select a.tif out 1 ! write b", "a command of one step has no other"),
        ("read a\n! select 1\n! frob", "here: line 3, column 3: step 2: there is no step 'frob'"),
        ("read " + "a" * 200_000, "200,005 characters are too many"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(text, said):
    """The step, the argument, where it stands, and what may be meant."""
    assert said in refusal(text)


def test_all_that_is_wrong_is_said_at_once():
    """Whoever mends a pipeline mends it once."""
    found = read_pipeline("read --oo A=B a.tif ! frob 3 ! select --x 1 ! write b --append", "here")
    assert len(found.complaints.problems) == 4


def test_threads_are_not_chosen_by_a_step():
    """GDAL's argument is taken, and said to have no meaning."""
    pipeline = read_pipeline(
        "read a.tif ! reproject -d EPSG:3035 -j 4 --num-threads=ALL_CPUS", "here"
    )
    assert pipeline.complaints.problems == []
    assert len(pipeline.complaints.warnings) == 2
    assert "engine.max_workers" in pipeline.complaints.warnings[0]


def test_a_path_is_no_pipeline(tmp_path, monkeypatch):
    """A file wins, whatever it is called; else the first word tells."""
    monkeypatch.chdir(tmp_path)
    assert is_pipeline("read a.tif ! write b")
    assert is_pipeline("gdal raster hillshade a b")
    assert not is_pipeline("job.toml")
    assert not is_pipeline("read")
    assert not is_pipeline("my job.toml")
    (tmp_path / "read me.toml").touch()
    assert not is_pipeline("read me.toml")


def test_values_are_checked_as_those_of_a_job_file():
    """One road: a step's parameters are the same, whoever writes them."""
    loaded = load_job(None, pipeline="read a.tif ! select 2,1 ! write out", environ={})
    assert [step.band for step in loaded.job.op.params.steps] == [(2, 1)]
    assert loaded.job.job.name == "select"
    assert loaded.job.output.dir.endswith("/out")
    assert loaded.origins["op.steps"].where == "pipeline"
    with pytest.raises(
        ConfigError, match=r"pipeline: step\[1\].band = \"x\": must be a whole number"
    ):
        load_job(None, pipeline="read a.tif ! select x ! write out", environ={})
    with pytest.raises(ConfigError, match=r"output\.format = \"PNG\": must be one of"):
        load_job(None, pipeline="read a.tif ! select 1 ! write out --of PNG", environ={})


def test_a_run_is_resumed_without_the_pipeline():
    """What is kept of it is a chain like any other."""
    loaded = load_job(None, pipeline="read a.tif ! select -b 2 ! write out", environ={})
    again = from_plan_json(loaded.to_json(), overrides=["step[1].b=1"])
    assert again.job.op.params.steps[0].band == (1,)
    assert again.job.semantic() != loaded.job.semantic()


def test_options_win_over_a_pipeline():
    """--output, --set and the pipeline are of one layer, later ones win."""
    text = "read a.tif ! reproject -d EPSG:3035 ! write out.tif"
    with pytest.raises(
        ConfigError, match=r'write "out.tif" names a file: outputs go to a directory'
    ):
        load_job(None, pipeline=text, environ={})
    loaded = load_job(
        None,
        pipeline=text,
        flags={"output.dir": "there"},
        overrides=["reproject.resampling=cubic"],
        environ={},
    )
    assert loaded.job.output.dir.endswith("/there")
    assert loaded.job.op.params.steps[0].resampling == "cubic"
    with pytest.raises(ConfigError, match=r"output\.dir is missing") as raised:
        load_job(None, pipeline="read a.tif ! select 1", environ={})
    assert "--output DIR" in raised.value.hint


def test_a_job_file_holds_a_pipeline(tmp_path):
    """With its own sections beside it; paths are relative to the file."""
    path = tmp_path / "job.toml"
    path.write_text('pipeline = "read in/*.tif ! select 1"\n[output]\ndir = "out"\n')
    loaded = load_job(path, environ={})
    assert loaded.job.source.inputs == (f"{tmp_path}/in/*.tif",)
    assert loaded.job.output.dir == f"{tmp_path}/out"
    assert loaded.origins["op.steps"].where == f"{path}:1"
    path.write_text(
        'pipeline = """\nselect 1 !\nclip --window 0,0,5,5"""\n'
        '[source]\ninputs = ["a.tif"]\n[output]\ndir = "out"\n'
    )
    assert len(load_job(path, environ={}).job.op.params.steps) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('pipeline = "read a ! frob"\n', ":1: column 10: step 1: there is no step 'frob'"),
        ("pipeline = 5\n", "pipeline is text"),
        ('pipeline = { gdal = "x" }\n', "pipeline is text"),
        ('pipeline = "read a ! select 1"\n[source]\ninputs = ["b"]\n', ":3: source.inputs: the pipeline gives it too"),
        ('pipeline = "read a ! select 1"\n[op]\nname = "raster.convert"\n', ":2: there is pipeline beside [op]"),
        ('pipeline = "read a ! select 1"\n[[step]]\nname = "select"\n', ":2: there is pipeline beside [step]"),
        ('pipeline = "read a ! select x ! write o"\n', ":1: step[1].band"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_job_file_has_its_line(tmp_path, text, said):
    """The line of the pipeline, and the place in it."""
    path = tmp_path / "job.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_job(path, environ={})
    assert said in str(raised.value)


@given(st.text(alphabet="ab12 !|'\"\\[]+-=,\n\t", max_size=40))
def test_any_text_is_read_or_refused(text):
    """No text is a bug, and words stand where they are said to stand."""
    read_pipeline(text, "here")
    complaints = Complaints("here", [], [])
    lines = text.split("\n")
    for word in words_of(text, complaints):
        if word.bare and "line" not in word.at:
            column = int(word.at.split()[-1])
            line = next((line for line in lines if line.strip()), "")
            assert text.count("\n") or line[column - 1 :].startswith(word.text)
