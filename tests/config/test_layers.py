from __future__ import annotations

import glob
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.config.layers import LoadedJob, from_plan_json, load_job, make_job
from geobatch_tui.config.paths import absolute
from geobatch_tui.config.problems import InvalidJobError
from geobatch_tui.errors import ConfigError, ExitCode
from geobatch_tui.execution.runtime.environment import complete

BASE = """\
[source]
inputs = ["a.tif"]

[op]
name = "fake.reproject"
dst_crs = "EPSG:6933"

[output]
dir = "out"
"""


def refused(load, text=BASE, **layers) -> str:
    """The message with which a job is refused."""
    with pytest.raises(InvalidJobError) as caught:
        load(text, **layers)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.message


def test_each_layer_wins_over_those_below(load):
    """Defaults, file, environment, option, --set: the highest that says something decides."""
    text = BASE + "[engine]\nmax_workers = 1\nchunk_cols = 1\nchunk_rows = 1\nmax_open_files = 10\n"
    loaded = load(
        text,
        environ={
            "GEOBATCH_ENGINE__MAX_WORKERS": "2",
            "GEOBATCH_ENGINE__CHUNK_COLS": "2",
            "GEOBATCH_ENGINE__CHUNK_ROWS": "2",
        },
        flags={"engine.max_workers": 3, "engine.chunk_cols": 3, "output.dir": None},
        overrides=["engine.max_workers=4", "engine.max_workers=5"],
    )
    engine = loaded.job.engine
    assert (engine.max_workers, engine.chunk_cols, engine.chunk_rows) == (5, 3, 2)
    assert (engine.max_open_files, engine.chunk_features) == (10, 0)
    said = {key: (origin.layer, origin.where) for key, origin in loaded.origins.items()}
    assert said["engine.max_workers"] == ("flag", "--set engine.max_workers")
    assert said["engine.chunk_cols"] == ("flag", "--set engine.chunk_cols")
    assert said["engine.chunk_rows"] == ("environment", "GEOBATCH_ENGINE__CHUNK_ROWS")
    assert said["engine.max_open_files"] == ("file", f"{loaded.path}:14")
    assert said["engine.chunk_features"] == ("default", "")


_LAYERS = st.fixed_dictionaries(
    {}, optional={name: st.integers(0, 1024) for name in ("env", "flag", "set")}
)


@settings(max_examples=30, deadline=None)
@given(_LAYERS)
def test_precedence_of_any_combination(given_layers):
    """Whichever layers speak, the value and its origin are those of the highest one."""
    loaded = load_job(
        None,
        environ={"BATCH_MAX_WORKERS": str(given_layers["env"])} if "env" in given_layers else {},
        flags={"engine.max_workers": given_layers.get("flag")},
        overrides=[
            "source.inputs=/a",
            "op.name=fake.reproject",
            "op.dst_crs=EPSG:6933",
            "output.dir=/o",
            *([f"engine.max_workers={given_layers['set']}"] if "set" in given_layers else []),
        ],
    )
    order = [("set", "flag"), ("flag", "flag"), ("env", "environment")]
    value, layer = next(
        ((given_layers[name], layer) for name, layer in order if name in given_layers),
        (0, "default"),
    )
    assert loaded.job.engine.max_workers == value
    assert loaded.origins["engine.max_workers"].layer == layer


def test_every_value_has_an_origin(load):
    """The origins name every key of the effective job, defaults too, and no other."""
    loaded = load(overrides=["output.creation.compress=zstd"])
    assert "output.creation.compress" in loaded.origins
    effective = loaded.effective_with_origins()
    assert list(effective) == list(loaded.origins)
    assert effective["op.dst_crs"]["value"] == "EPSG:6933"


def test_the_short_names_of_the_environment(load):
    """The five aliases set their keys; a full name wins over them; an empty one is unset."""
    loaded = load(
        environ={
            "BATCH_TARGET_EPSG": "3857",
            "BATCH_MAX_WORKERS": "3",
            "BATCH_MAX_OPEN_FILES": "16",
            "BATCH_OUTPUT_DIR": "/elsewhere",
            "BATCH_LOG_FORMAT": "json",
            "GEOBATCH_ENGINE__MAX_WORKERS": "4",
        }
    )
    job = loaded.job
    assert job.op.params.dst_crs == "EPSG:3857"
    assert (job.engine.max_workers, job.engine.max_open_files) == (4, 16)
    assert (job.output.dir, job.log.format) == ("/elsewhere", "json")
    assert loaded.origins["op.dst_crs"].where == "BATCH_TARGET_EPSG"
    assert load(environ={"BATCH_TARGET_EPSG": "EPSG:3035"}).job.op.params.dst_crs == "EPSG:3035"
    assert load(environ={"BATCH_LOG_FORMAT": ""}).job.log.format == "auto"


def test_variables_that_are_not_configuration_are_left_alone(load):
    """GEOBATCH_OPS and its like are no keys; other people's variables neither."""
    load(environ={"GEOBATCH_OPS": "x:Y", "GEOBATCHX": "1", "BATCH_OTHER": "1", "PATH": "/"})
    # What workers that are threads leave in the environment of a console, which reads more jobs.
    environ = {"PATH": "/"}
    complete(environ)
    load(environ=environ)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            {"environ": {"GEOBATCH_ENGINE__MAX_WORKER": "1"}},
            "GEOBATCH_ENGINE__MAX_WORKER: there is no key 'engine.max_worker'; did you mean 'engine.max_workers'?",
        ),
        ({"environ": {"GEOBATCH_WORKERS": "1"}}, "there is no key 'workers'"),
        ({"environ": {"GEOBATCH_ENGINE": "1"}}, "engine must be a table"),
        ({"overrides": ["enigne.max_workers=1"]}, "did you mean 'engine.max_workers'?"),
        ({"overrides": ["op.resample=nearest"]}, "did you mean 'op.resampling'?"),
        ({"overrides": ["engine.max_workers.x=1"]}, "did you mean 'engine.max_workers'?"),
        ({"overrides": ["engine.max_workers"]}, "is not KEY=VALUE"),
        ({"overrides": ["output.creation=5"]}, "must be a table"),
        ({"overrides": ["output.creation.compres=zstd"]}, "did you mean 'compress'?"),
        ({"flags": {"engine.wokers": 3}}, "there is no key 'engine.wokers'"),
        ({"overrides": ["op.name=fake.reprojec"]}, "did you mean 'fake.reproject'"),
    ],
)
def test_an_unknown_key_in_any_layer_names_the_nearest(load, layers, said):
    """No layer's typing error is ignored, and each says what was probably meant."""
    assert said in refused(load, **layers)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[engin]\nmax_worker = 1", "did you mean 'engine.max_workers'?"),
        ("[engine]\nmax_worker = 1", "did you mean 'engine.max_workers'?"),
        ("[engine]\nmax_workers = -1", "engine.max_workers = -1: must be 0 or more"),
        ('[engine]\nmax_workers = "8"', 'engine.max_workers = "8": must be a whole number'),
        ("[engine]\nchunk_cols = 1.5", "engine.chunk_cols = 1.5: must be a whole number"),
        ('[engine]\nexecutor = "spark"', "must be one of 'process', 'thread' or 'dask'"),
        ('[dask]\nlease = "1h"', 'dask.lease = "1h": must be 0.1 s to 10 min'),
        ('[dask]\ncluster = "torque"', 'must be "local", an address'),
        ("[dask]\nworkers = { minimum = 3, maximum = 2 }", "minimum must not be over maximum"),
        (
            '[engine]\nexecutor = "dask"\n[dask]\ncluster = "os:system"',
            "os:system is code of an installed package",
        ),
        ('[engine]\nexecutor = "Thread"', "did you mean 'thread'?"),
        ('[engine]\nchunk_timeout = "5x"', "engine.chunk_timeout = \"5x\": must be '90s'"),
        ("[job]\nname = 5", "job.name = 5: must be text in quotes"),
        ("[log]\nlevel = []", "log.level = []: must be one of"),
        ("[engine]\nmax_open_files = 3", "engine.max_open_files = 3: must be 4 or more"),
        ("engine = 3", "engine must be a table"),
        ("engin = 3", "did you mean 'engine'?"),
    ],
)
def test_an_invalid_value_names_file_line_and_key(load, tmp_path, line, said):
    """The message of a wrong value leads to its place, and says what is allowed."""
    top_level = not line.startswith("[")
    text = f"{line}\n{BASE}" if top_level else f"{BASE}{line}\n"
    message = refused(load, text)
    place = 1 if top_level else text.count("\n")
    assert said in message
    assert f"{tmp_path}/job.toml:{place}: " in message


def test_what_does_not_go_together_is_a_sentence(load, tmp_path):
    """A format that the operation does not write is told at its line, without the values of the
    whole job; so is what a section says against itself."""
    message = refused(load, BASE + 'format = "GPKG"\n')
    said = "output.format: fake.reproject does not write GPKG, but COG, GTiff"
    assert message == f"{tmp_path}/job.toml:{BASE.count(chr(10)) + 1}: {said}"
    text = BASE.replace("fake.reproject", "raster.reproject").replace(
        "[output]", "add_alpha = true\ndst_nodata = 0\n[output]"
    )
    assert refused(load, text).endswith(": op: add_alpha and dst_nodata exclude each other")


def test_wrong_parameters_of_an_operation_have_their_line(load, tmp_path):
    """The operation's own parameters are checked like all others: file, line, key."""
    text = BASE.replace('"EPSG:6933"', '"EPSG:69333"\nresampling = "cubik"\nresolution = "x"')
    message = refused(load, text)
    assert f'{tmp_path}/job.toml:6: op.dst_crs = "EPSG:69333": EPSG:69333 does not' in message
    assert f'{tmp_path}/job.toml:7: op.resampling = "cubik": must be one of' in message
    assert f'{tmp_path}/job.toml:8: op.resolution = "x": ' in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[1]", "op.resolution = [1]: must be a number, without quotes, or has too few values"),
        ("[1, 2, 3]", "has too many values"),
        ('"x"', "must be a number, or must be a list"),
        ("{ a = 1 }", "must be a number"),
    ],
)
def test_values_of_several_types_say_all_of_them(load, value, said):
    """A key that takes a number or a pair says both, and is never called missing."""
    message = refused(load, BASE.replace("[output]", f"resolution = {value}\n[output]"))
    assert said in message
    assert "missing" not in message


def test_all_problems_are_reported_at_once(load):
    """One load tells everything that is wrong, from all layers, one line each."""
    text = BASE + '[engine]\nmax_worker = 1\nmax_workers = -1\n[log]\nlevel = "loud"\n'
    with pytest.raises(InvalidJobError) as caught:
        load(text, environ={"BATCH_LOG_FORMAT": "xml"}, overrides=["retry.max_attempts=0"])
    keys = [problem.key for problem in caught.value.problems]
    assert sorted(keys) == [
        "engine.max_worker",
        "engine.max_workers",
        "log.format",
        "log.level",
        "retry.max_attempts",
    ]
    assert caught.value.message.count("\n") == 4


def test_what_is_missing_is_said_by_key(load):
    """An empty file lacks three keys, and each is named once."""
    message = refused(load, "")
    assert sorted(line.split(": ")[-1] for line in message.split("\n")) == [
        "op.name is missing",
        "output.dir is missing",
        "source.inputs is missing",
    ]
    assert "op.dst_crs is missing" in refused(load, BASE.replace('dst_crs = "EPSG:6933"', ""))


def test_a_wrong_operation_does_not_hide_other_errors(load):
    """With no operation its parameters can't be judged, but the rest is."""
    text = BASE.replace("fake.reproject", "fake.nothing") + "[engine]\nmax_workers = -1\n"
    message = refused(load, text)
    assert "there is no operation 'fake.nothing'" in message
    assert "engine.max_workers" in message
    assert "dst_crs" not in message


def test_tables_merge_name_by_name(load):
    """A layer that sets one creation option leaves the others; names fold their case."""
    text = BASE + 'creation = { COMPRESS = "deflate", blocksize = 512 }\n'
    loaded = load(
        text,
        environ={"GEOBATCH_OUTPUT__CREATION__LEVEL": "9"},
        overrides=["output.creation.Compress=zstd", "output.creation={predictor=2}"],
    )
    creation = {"compress": "zstd", "blocksize": 512, "level": 9, "predictor": 2}
    assert loaded.job.output.creation == creation
    assert loaded.origins["output.creation.blocksize"].where.endswith(":10")
    assert loaded.origins["output.creation.compress"].layer == "flag"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("job.name=2024", "name", "2024"),
        ("job.name=true", "name", "true"),
        ('job.name="2024"', "name", "2024"),
        ("job.name=2024-01-01", "name", "2024-01-01"),
        ("job.name=a = b # c", "name", "a = b # c"),
        ("job.name=", "name", ""),
        ("job.name=1\ny=2", "name", "1\ny=2"),
    ],
)
def test_text_keys_take_any_text(load, override, key, value):
    """A key that holds text takes what looks like a number as the text that it is."""
    assert getattr(load(overrides=[override]).job.job, key) == value


def test_values_of_flags_are_typed_by_their_key(load):
    """Numbers, booleans, lists, durations and tables come out as what the key holds."""
    job = load(
        overrides=[
            'source.inputs=["/x", "/y"]',
            "source.allow_vrt=true",
            "engine.chunk_timeout=90",
            "engine.max_duration=6h",
            "engine.memory_budget=4GiB",
            "failures.max_failures=5%",
            "op.resolution=[10, 20.5]",
            "op.warp_options.NUM_THREADS=2",
        ]
    ).job
    assert job.source.inputs == ("/x", "/y")
    assert job.source.allow_vrt is True
    assert (job.engine.chunk_timeout, job.engine.max_duration) == (90.0, 21600.0)
    assert job.engine.memory_budget == 4 << 30
    assert job.failures.max_failures.share == 0.05
    assert job.op.params.resolution == (10, 20.5)
    assert job.op.params.warp_options == {"NUM_THREADS": "2"}


def test_paths_stand_where_they_were_written(load, tmp_path, monkeypatch):
    """A job file's paths are beside it; those of variables and flags are in the cwd."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    text = BASE.replace(
        '["a.tif"]', '["a.tif", "./b/*.tif", "@list.txt", "../up.tif", "s3://b/k", "/abs"]'
    )
    loaded = load(text, environ={"BATCH_OUTPUT_DIR": "env"}, overrides=["log.file=log.txt"])
    assert loaded.job.source.inputs == (
        f"{tmp_path}/a.tif",
        f"{tmp_path}/b/*.tif",
        f"@{tmp_path}/list.txt",
        f"{tmp_path}/../up.tif",
        "s3://b/k",
        "/abs",
    )
    assert loaded.job.output.dir == f"{cwd}/env"
    assert loaded.job.log.file == f"{cwd}/log.txt"
    assert load(text.replace('dir = "out"', 'dir = "."')).job.output.dir.rstrip("/") == str(
        tmp_path
    )


def test_brackets_in_a_directory_are_no_pattern(tmp_path):
    """A glob beside a job file keeps its meaning when the directory's name has brackets."""
    folder = tmp_path / "[x]"
    folder.mkdir()
    (folder / "a.tif").touch()
    pattern = absolute("*.tif", folder)
    assert glob.glob(pattern) == [str(folder / "a.tif")]  # noqa: PTH207 - as planned inputs are
    assert absolute("a.tif", folder) == str(folder / "a.tif")


def test_undecodable_paths_survive(load):
    """A directory whose name is not UTF-8 goes through flags, and through the kept plan."""
    name = os.fsdecode(b"/out/\xff")
    loaded = load(flags={"output.dir": name})
    assert loaded.job.output.dir == name
    again = from_plan_json(json.loads(json.dumps(loaded.to_json())))
    assert again.job.output.dir == name


@pytest.mark.parametrize(
    "place",
    [
        "s3://u:hunter2@b/out",
        "s3://b/a/../c",
        "HTTPS://u:hunter2@h/o",
        "file:///tmp/o",
        "/vsis3/b/o",
    ],
)
def test_outputs_go_to_a_directory_or_a_bucket(load, place):
    """Another URL is refused by every layer before anything is asked or made; no secret is
    repeated."""
    for layers in (
        {"text": BASE.replace('"out"', f'"{place}"')},
        {"environ": {"BATCH_OUTPUT_DIR": place}},
        {"flags": {"output.dir": place}},
    ):
        said = refused(load, **layers)
        assert "output.dir" in said
        assert "must be a local directory" in said
        assert "hunter2" not in said
    assert load(flags={"output.dir": "odd:name"}).job.output.dir.endswith("/odd:name")
    assert load(flags={"output.dir": "s3://bucket/out/"}).job.output.dir == "s3://bucket/out"


def test_the_job_is_named_after_its_file(load):
    """Without a name of its own a job has that of its file."""
    assert load(name="relief.toml").job.job.name == "relief"
    assert load(BASE + '[job]\nname = "x"\n').job.job.name == "x"


def test_a_deprecated_crs_is_a_warning(load):
    """What still works but should not be used is said, with its key."""
    (warning,) = load(overrides=["op.dst_crs=EPSG:3785"]).warnings
    assert warning.startswith("op.dst_crs: EPSG:3785")


def test_yaml_jobs_load_the_same(load):
    """A YAML job equals its TOML twin."""
    text = (
        "source:\n  inputs: [a.tif]\n"
        "op:\n  name: fake.reproject\n  dst_crs: EPSG:6933\n"
        "output:\n  dir: out\n"
    )
    assert load(text, name="job.yaml").job == load().job


def test_messages_show_no_credentials(load):
    """A wrong value is shown in its message, but not what it keeps secret."""
    text = BASE.replace("[op]", 'src_crs = "https://u:hunter2@h/x"\n[op]\napi_token = 12345')
    message = refused(load, text)
    assert "hunter2" not in message
    assert "12345" not in message
    assert "op.api_token" in message


def test_kept_jobs_come_back(load):
    """What plan.json keeps rebuilds the same job with the same origins."""
    loaded = load(
        BASE + 'creation = { compress = "zstd" }\n',
        overrides=["engine.max_duration=6h", "failures.max_failures=5%"],
    )
    again = from_plan_json(json.loads(json.dumps(loaded.to_json())))
    assert again == loaded
    assert isinstance(again, LoadedJob)


def test_a_kept_job_takes_new_values(load):
    """`retry --set` changes a kept job; only what it sets has a new origin."""
    kept = load().to_json()
    again = from_plan_json(kept, overrides=["engine.max_workers=2", "output.creation.level=3"])
    assert again.job.engine.max_workers == 2
    assert again.job.output.creation == {"level": 3}
    assert again.origins["engine.max_workers"].layer == "flag"
    assert again.origins["op.dst_crs"].layer == "file"
    with pytest.raises(ConfigError, match=r"did you mean 'engine\.max_workers'"):
        from_plan_json(kept, overrides=["engine.max_worker=2"])


def test_masked_values_are_named_until_given_again(load):
    """A kept job never holds credentials, and says which keys it therefore lacks."""
    url = "https://u:canary@h/a.tif"
    loaded = load(flags={"source.inputs": [url]})
    kept = json.dumps(loaded.to_json())
    assert "canary" not in kept
    assert from_plan_json(json.loads(kept)).redacted == ("source.inputs",)
    again = from_plan_json(json.loads(kept), flags={"source.inputs": [url]})
    assert again.redacted == ()
    assert again.job == loaded.job


@pytest.mark.parametrize("kept", [{}, {"job": 3}, {"job": {}, "origins": [], "path": None}])
def test_a_damaged_plan_is_refused(kept):
    """A plan.json that is not ours is an error of the configuration, not a traceback."""
    with pytest.raises(ConfigError, match="damaged"):
        from_plan_json(kept)


def test_a_job_from_values(tmp_path, monkeypatch):
    """A program builds a job from nested values; its paths are in the cwd."""
    monkeypatch.chdir(tmp_path)
    loaded = make_job(
        {
            "source": {"inputs": ["a.tif"]},
            "op": {"name": "fake.reproject", "dst_crs": "EPSG:6933"},
            "output": {"dir": "out"},
        }
    )
    assert loaded.job.source.inputs == (f"{tmp_path}/a.tif",)
    with pytest.raises(ConfigError, match=r"op\.name is missing"):
        make_job({"source": {"inputs": ["a"]}, "output": {"dir": "o"}})


def test_the_environment_of_the_process_counts(write, monkeypatch):
    """Without an environment of its own, a load reads that of the process."""
    monkeypatch.setenv("BATCH_MAX_WORKERS", "6")
    assert load_job(Path(write())).job.engine.max_workers == 6
