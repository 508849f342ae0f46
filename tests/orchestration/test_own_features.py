"""Functions of the user on features in real runs: what they may do wrong costs the feature."""

from __future__ import annotations

from textwrap import dedent

import geopandas as gpd
import pyogrio
import pytest
import shapely

import geobatch_tui
from geobatch_tui.cli.commands import foreground
from geobatch_tui.errors import ConfigError, SeamError, StepError
from geobatch_tui.orchestration.dry_run import choose, run_trial
from geobatch_tui.orchestration.single_chunk import compute, each_step

#: What is wrong with each of the first features, and what is said of it.
WRONGS = {
    "raise": ("StepError", "steps.py:f raised ValueError: no luck (steps.py, line 7)"),
    "segfault": (
        "PoisonError",
        "its worker crashed, or ran into engine.chunk_timeout, while steps",
    ),
    "schema": ("StepError", "steps.py:f gave 'many' for field 'n', which is int64 by the plan"),
    "less": ("StepError", "steps.py:f gave no field 'n', which the plan has of it"),
    "more": ("StepError", "steps.py:f gave a field 'm', which the plan has not"),
    "rows": ("StepError", 'gave 0 rows for 1 features; it declares rows="same"'),
    "nothing": ("StepError", "steps.py:f gave NoneType in place of a pyarrow.Table"),
    "write": ("StepError", "steps.py:f raised ValueError: assignment destination is read-only"),
    "exit": ("StepError", "steps.py:f raised SystemExit: 3"),
    "shape": ("GeometryError", ""),
}

WRONG = """
import ctypes, time
import pyarrow as pa
from geobatch_tui import step

def fail():
    raise ValueError("no luck")

@step(fields={})
def f(table: pa.Table) -> pa.Table:
    wrongs = set(table["wrong"].to_pylist())
    if "raise" in wrongs:
        fail()
    if "segfault" in wrongs:
        ctypes.string_at(0)
    if "hang" in wrongs:
        time.sleep(600)
    if "exit" in wrongs:
        raise SystemExit(3)
    if "write" in wrongs:
        table["n"].chunk(0).to_numpy()[:] = 0
    if "nothing" in wrongs:
        return None
    if "rows" in wrongs:
        return table.slice(1)
    place = table.column_names.index("n")
    if "less" in wrongs:
        return table.drop_columns(["n"])
    if "more" in wrongs:
        return table.append_column("m", table["n"])
    if "schema" in wrongs:
        return table.set_column(place, "n", pa.array(["many"] * len(table)))
    if "shape" in wrongs:
        return table.set_column(place + 1, "geometry", pa.array([b"no WKB"] * len(table)))
    return table
"""

CONVERTING = '[op]\nname = "vector.convert"\n[output]\ndir = "other"\n'
SEAMS = '''
import itertools
import geopandas as gpd
import numpy as np
from geobatch_tui import step

calls = itertools.count()

@step(fields={"out": "Real"})
def ranked(frame: gpd.GeoDataFrame):
    frame["out"] = frame["n"].rank().astype("float64")
    return frame

@step(fields={"out": "Real"})
def noisy(frame: gpd.GeoDataFrame):
    frame["out"] = np.random.default_rng().random(len(frame))
    return frame

@step(fields={"out": "Real"})
def counting(frame: gpd.GeoDataFrame):
    frame["out"] = [next(calls) for _ in range(len(frame))]
    return frame

@step(rows="fewer", fields={})
def shuffled(frame: gpd.GeoDataFrame):
    return frame[frame["n"] % 2 == 1].reset_index(drop=True)

@step(fields={"out": "Real"})
def sound(frame: gpd.GeoDataFrame, *, factor: float = 2.0):
    """Twice the number."""
    frame["out"] = frame["n"] * factor
    return frame
'''


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))


def job(root, source, use, *, wrongs=(), count=40, parameters="", engine="executor = 'thread'"):
    """Write functions, points with a number, and a job on them; return the job file."""
    root.mkdir(exist_ok=True)
    (root / "steps.py").write_text(source)
    words = [*wrongs, *[""] * (count - len(wrongs))]
    frame = gpd.GeoDataFrame(
        {"wrong": words, "n": range(count)},
        geometry=shapely.points(range(count), range(count)),
        crs=3857,
    )
    pyogrio.write_dataframe(frame, root / "a.gpkg")
    file = root / "job.toml"
    file.write_text(
        dedent(f"""
        [source]
        inputs = ["a.gpkg"]
        [[step]]
        use = "{use}"
        {parameters}
        [output]
        dir = "out"
        format = "GPKG"
        [engine]
        chunk_features = 10
        max_workers = 2
        {engine}
        [retry]
        backoff_base = "1ms"
        """).replace("\n        ", "\n")
    )
    return file


@pytest.mark.parametrize("hang", [(), pytest.param(("hang",), marks=pytest.mark.slow)])
async def test_what_a_function_does_wrong_costs_its_feature(tmp_path, hang):
    """Each way to fail sets one feature aside, and the others are published."""
    wrongs = [*WRONGS, *hang]
    # Where none hangs, whatever is slow under load is left its time.
    file = job(
        tmp_path / "a b",
        WRONG,
        "steps.py:f",
        wrongs=wrongs,
        engine=f'chunk_timeout = "{"10s" if hang else "5m"}"',
    )
    result = await geobatch_tui.run(geobatch_tui.load_job(file))
    assert result.counts["done"] == 4, result
    letters = {
        letter["evidence"]["position"]: letter
        for letter in geobatch_tui.open_run(result.output_dir).dead_letters()
    }
    assert sorted(letters) == list(range(len(wrongs)))
    for place, wrong in enumerate(wrongs):
        name, says = WRONGS.get(wrong, WRONGS["segfault"])
        assert letters[place]["error_class"] == name
        assert says in letters[place]["error_message"]
        assert letters[place]["stage"] == "steps.py:f"
        assert letters[place]["reproduce"] == f"geobatch step '{result.output_dir}' a.gpkg@{place}"
    made = gpd.read_file(tmp_path / "a b" / "out" / "a.gpkg")
    assert made["n"].tolist() == list(range(len(wrongs), 40))
    assert not list(file.parent.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (
            "ranked",
            r"field 'out' of the feature with id \d+ is \S+ in one batch and \S+ in another",
        ),
        ("noisy", r"field 'out' of the feature with id \d+ is \S+ in one batch and \S+ in another"),
        ("counting", r"field 'out' of the feature with id \d+ is \S+ in one batch and"),
        ("shuffled", r"gives \d rows for the feature with id \d+ in one batch and \d in another"),
    ],
)
async def test_what_looks_at_its_batch_is_found_in_the_dry_run_and_in_the_run(tmp_path, use, says):
    """And nothing is published."""
    loaded = geobatch_tui.load_job(job(tmp_path, SEAMS, f"steps.py:{use}"))
    chosen, todo = choose(await geobatch_tui.plan(loaded), 1)
    with pytest.raises(SeamError, match=says):
        await run_trial(loaded, chosen, tmp_path / "scratch", open_chunks=todo)
    with pytest.raises(SeamError) as caught:
        await geobatch_tui.run(loaded)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out" / "a.gpkg").exists()


def test_each_step_of_a_chain_is_shown(tmp_path, capsys):
    """The source, a filter, the function: as tables, and of one feature."""
    use = 'steps.py:sound"\n[[step]]\nname = "filter"\nwhere = "n > 12'
    file = job(tmp_path / "j", SEAMS, use)
    found = list(each_step(geobatch_tui.load_job(file), "a.gpkg@0,1"))
    assert [(one.step, one.name, one.found.made) for one in found] == [
        (0, "read", 10), (1, "steps.py:sound", 10), (2, "filter", 7),
    ]  # fmt: skip
    assert list(found[1].found.fields) == ["wrong", "n", "out"]
    assert foreground.step(file, "a.gpkg@15", each=True) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["step", "2", "filter"] in said
    assert ["15", "POINT", "(15", "15)", "15", "30.0"] in said
    file.write_text(file.read_text().partition("[[step]]")[0] + CONVERTING)
    with pytest.raises(ConfigError, match="no chain"):
        list(each_step(geobatch_tui.load_job(file), "a.gpkg@0,1"))


async def test_parameters_and_code_are_those_of_the_job(tmp_path):
    """What changes makes outputs stale, and is named; what is wrong is told with its line."""
    file = job(tmp_path, SEAMS, "steps.py:sound", parameters="factor = 3.0")
    result = await geobatch_tui.run(geobatch_tui.load_job(file))
    made = gpd.read_file(tmp_path / "out" / "a.gpkg")
    assert made["out"].tolist() == [3.0 * n for n in range(40)]
    assert any("runs code of this job: steps.py:sound" in each for each in result.warnings)
    (tmp_path / "steps.py").write_text("# mine\n" + SEAMS.replace("Twice", "Often"))
    report = await geobatch_tui.plan(geobatch_tui.load_job(file))
    assert report.reasons == {"current": 4}
    (tmp_path / "steps.py").write_text(SEAMS.replace("* factor", "+ factor"))
    report = await geobatch_tui.plan(geobatch_tui.load_job(file))
    assert {why[1:] for why in report.explain()} == {("code_changed", "steps.py:sound (line 29)")}
    file.write_text(file.read_text().replace("factor =", "facter ="))
    with pytest.raises(ConfigError, match=r"(?s)job.toml:6.*did you mean 'factor'"):
        geobatch_tui.load_job(file)


def test_one_feature_in_the_foreground(tmp_path):
    """A chunk with what is set aside in it, and one feature, whose error is raised."""
    file = job(tmp_path, WRONG, "steps.py:f", wrongs=["", "raise", "rows"])
    loaded = geobatch_tui.load_job(file)
    done = compute(loaded, "a.gpkg@0,0")
    assert (done.read, done.made) == (10, 8)
    assert [(place, name) for place, name, _ in done.aside] == [(1, "StepError"), (2, "StepError")]
    assert done.fields == {"wrong": "string", "n": "int64"}
    assert compute(loaded, "a.gpkg@12").made == 1
    with pytest.raises(StepError, match="no luck") as caught:
        compute(loaded, "a.gpkg@1")
    assert isinstance(caught.value.own, ValueError)
    for chunk, says in {"a.gpkg@0,4": "4 columns", "a.gpkg@40": "has 40 features"}.items():
        with pytest.raises(ConfigError, match=says):
            compute(loaded, chunk)
    assert not (tmp_path / "out").exists()


def test_only_what_lies_beside_the_job_is_run(tmp_path):
    """Unless its reader asks for it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "steps.py").write_text(SEAMS)
    file = job(tmp_path / "mine", "", f"{tmp_path}/other/steps.py:sound")
    with pytest.raises(ConfigError, match="does not lie beside the job file"):
        geobatch_tui.load_job(file)
    assert geobatch_tui.load_job(file, overrides=["source.allow_code=true"])
