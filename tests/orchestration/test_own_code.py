"""Functions of the user in real runs: what they may do wrong, and where they come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import geobatch_tui
from geobatch_tui.errors import ConfigError, PreflightError, SeamError
from geobatch_tui.orchestration.dry_run import choose, run_trial
from geobatch_tui.orchestration.plan import measured_memory
from geobatch_tui.orchestration.plan.resources import Resources
from geobatch_tui.orchestration.single_chunk import compute
from geobatch_tui.orchestration.upkeep import load_kept

#: What is wrong in each chunk of a row of 16 pixels, and what is said of it.
WRONGS = {
    "raise": ("StepError", "steps.py:f raised ValueError: no luck (steps.py, line 7)"),
    "segfault": ("WorkerCrashError", "the worker died by SIGSEGV"),
    "shape": ("StepError", "steps.py:f gave an array of shape (1, 15, 16)"),
    "type": ("StepError", "steps.py:f gave float64 pixels in place of float32"),
    "write": ("StepError", "assignment destination is read-only"),
    "exit": ("StepError", "raised SystemExit: 3"),
    "nothing": ("StepError", "gave NoneType in place of an array"),
    "nan": ("StepError", "gave nan at column 114, row 3 of band 1, and promises finite values"),
    "hang": ("ChunkTimeoutError", "ran longer than its timeout"),
}

WRONG = """
import ctypes, time
import numpy as np
from geobatch_tui import step

def fail():
    raise ValueError("no luck")

@step(dtype="float32", finite=True)
def f(block, *, window, wrongs: list[str]):
    answer = block.astype("float32")
    place = window.col_off // 16
    wrong = wrongs[place] if window.row_off == 0 and place < len(wrongs) else ""
    if wrong == "raise":
        print("about to fail")
        np.log(np.zeros(1))
        fail()
    if wrong == "segfault":
        ctypes.string_at(0)
    if wrong == "write":
        block[:] = 0
    if wrong == "exit":
        raise SystemExit(3)
    if wrong == "hang":
        time.sleep(600)
    if wrong == "nan":
        answer[0, 3, 2] = np.nan
    return {"shape": answer[:, 1:], "type": answer.astype("float64"), "nothing": None}.get(
        wrong, answer
    )
"""

SEAMS = '''
import numpy as np
from geobatch_tui import step

@step(halo=1)
def sound(block):
    """Looks one pixel to the left."""
    return block[:, 1:-1, 1:-1] + block[:, 1:-1, :-2]

@step(halo=1)
def narrow(block):
    """Looks two pixels around, and takes the rim of its block for what lies beyond."""
    wide = np.pad(block, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return wide[:, 2:-2, 2:-2] + wide[:, 2:-2, :-4]

@step
def stretched(block):
    return (block * (255 / block.max())).astype(block.dtype)

@step
def noisy(block):
    return block + np.random.default_rng().random(block.shape).astype(block.dtype)
'''


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))


def job(root, source, use, *, parameters="", size=(256, 32), engine="", extra=""):
    """Write functions, a raster of random values, and a job on them; return the job file."""
    root.mkdir(exist_ok=True)
    (root / "steps.py").write_text(source)
    width, height = size
    pixels = np.random.default_rng(1).random((1, height, width)).astype("float32")
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "float32",
        "crs": "EPSG:3857", "transform": from_origin(0, 0, 10, 10),
    }  # fmt: skip
    with rasterio.open(root / "a.tif", "w", **profile) as out:
        out.write(pixels)
    file = root / "job.toml"
    file.write_text(
        dedent(f"""
        [source]
        inputs = ["a.tif"]
        {extra}
        [[step]]
        use = "{use}"
        {parameters}
        [output]
        dir = "out"
        on_dead_chunk = "fill"
        creation = {{ blocksize = 16 }}
        [engine]
        chunk_cols = 16
        chunk_rows = 16
        max_workers = 2
        {engine}
        [retry]
        backoff_base = "1ms"
        """).replace("\n        ", "\n")
    )
    return file


async def test_what_a_function_does_wrong_costs_its_chunk(tmp_path):
    """Each of nine ways to fail ends one chunk, and the others are published."""
    parameters = f"wrongs = {json.dumps(list(WRONGS))}"
    file = job(
        tmp_path / "a b", WRONG, "steps.py:f", parameters=parameters, engine='chunk_timeout = "2s"'
    )
    result = await geobatch_tui.run(geobatch_tui.load_job(file))
    assert result.counts["dead"] == len(WRONGS), result
    assert result.counts["done"] == 32 - len(WRONGS)
    letters = {
        letter["window"][0] // 16: letter
        for letter in geobatch_tui.open_run(result.output_dir).dead_letters()
    }
    for place, (name, says) in enumerate(WRONGS.values()):
        assert letters[place]["error_class"] == name
        assert says in letters[place]["error_message"]
        assert letters[place]["attempts"] == 2
        chunk = f"a.tif@0,{place}"
        assert letters[place]["reproduce"] == f"geobatch step '{result.output_dir}' {chunk}"
    first = letters[0]
    assert first["stage"] == "steps.py:f"
    assert first["traceback"].count("File ") == 2
    assert "geobatch_tui" not in first["traceback"]
    said = first["evidence"]["said"]["steps.py:f"]
    assert "about to fail" in said
    assert "steps.py:16: RuntimeWarning: divide by zero" in said
    assert "steps.py" in letters[1]["evidence"]["stderr"]  # where it crashed
    with (
        rasterio.open(Path(result.output_dir) / "a.tif") as out,
        rasterio.open(file.parent / "a.tif") as source,
    ):
        assert np.array_equal(out.read()[:, 16:], source.read()[:, 16:])
    assert any("runs code of this job: steps.py:f (line 10 of" in each for each in result.warnings)
    assert not list(file.parent.rglob("*.pyc"))


@pytest.mark.parametrize("use", ["narrow", "stretched", "noisy"])
async def test_seams_are_found_in_the_dry_run_and_in_the_run(tmp_path, use):
    """And nothing is published."""
    file = job(tmp_path, SEAMS, f"steps.py:{use}", engine='executor = "thread"')
    loaded = geobatch_tui.load_job(file)
    chosen, todo = choose(await geobatch_tui.plan(loaded), 1)
    with pytest.raises(
        SeamError,
        match=rf"steps.py:{use}: column \d+, row \d+ of band 1 is .* in one cut and .* in another: halo=\d is too small, or",
    ):
        await run_trial(loaded, chosen, tmp_path / "scratch", open_chunks=todo)
    with pytest.raises(SeamError) as caught:
        await geobatch_tui.run(loaded)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out" / "a.tif").exists()


async def test_a_sound_function_gives_the_same_in_any_cut(tmp_path):
    """Chunks of 16 and one chunk: the same bytes."""
    file = job(tmp_path, SEAMS, "steps.py:sound", engine='executor = "thread"', size=(64, 48))
    files = []
    for side in (16, 0):
        sides = [f"engine.chunk_cols={side}", f"engine.chunk_rows={side}"]
        loaded = geobatch_tui.load_job(
            file, overrides=[*sides, f"output.dir={tmp_path / str(side)}"]
        )
        assert (await geobatch_tui.run(loaded)).exit_code == 0
        files.append((tmp_path / str(side) / "a.tif").read_bytes())
    assert files[0] == files[1]


async def test_changed_code_makes_outputs_stale_and_is_named(tmp_path):
    """What changes nothing makes nothing stale."""
    file = job(tmp_path, SEAMS, "steps.py:sound", engine='executor = "thread"', size=(16, 16))
    await geobatch_tui.run(geobatch_tui.load_job(file))
    (tmp_path / "steps.py").write_text("# mine\n" + SEAMS.replace("Looks one", "It looks one"))
    report = await geobatch_tui.plan(geobatch_tui.load_job(file))
    assert report.reasons == {"current": 1}
    (tmp_path / "steps.py").write_text(
        SEAMS.replace("+ block[:, 1:-1, :-2]", "- block[:, 1:-1, :-2]")
    )
    report = await geobatch_tui.plan(geobatch_tui.load_job(file))
    ((_, reason, detail),) = report.explain()
    assert (reason, detail) == ("code_changed", "steps.py:sound (line 6)")


async def test_a_module_that_cannot_be_imported_ends_the_plan(tmp_path):
    """No item could be made with it; the line is told."""
    file = job(
        tmp_path,
        "import nowhere_to_be_found\ndef f(block): ...",
        "steps.py:f",
        engine='executor = "thread"',
    )
    with pytest.raises(
        PreflightError,
        match=r"steps\.py cannot be imported: ModuleNotFoundError: .*\(steps\.py, line 1\)",
    ):
        await geobatch_tui.plan(geobatch_tui.load_job(file))


async def test_a_kept_job_runs_only_what_a_job_file_ran_there(tmp_path):
    """A directory that came from elsewhere may hold any record."""
    root = tmp_path / "mine"
    file = job(root, SEAMS, "steps.py:sound", engine='executor = "thread"', size=(16, 16))
    loaded = geobatch_tui.load_job(file)
    await geobatch_tui.run(loaded)
    assert load_kept(root / "out").job.op == loaded.job.op
    shutil.copytree(root / "out", tmp_path / "copied")
    with pytest.raises(
        ConfigError, match=r"runs code \(steps.py:sound\) that is not what a job file"
    ):
        load_kept(tmp_path / "copied")
    record = tmp_path / "copied" / ".geobatch" / "plan.json"
    kept = json.loads(record.read_text())
    kept["job"]["source"]["allow_code"] = True
    kept["origins"]["source.allow_code"] = ["flag", "--set"]
    record.write_text(json.dumps(kept))
    with pytest.raises(ConfigError, match="it came from elsewhere"):
        load_kept(tmp_path / "copied")
    assert load_kept(tmp_path / "copied", ["source.allow_code=true"]).job.source.allow_code
    (root / "steps.py").write_text(SEAMS.replace("+ block", "- block"))
    with pytest.raises(ConfigError, match="or has changed"):
        load_kept(root / "out")


def test_one_chunk_in_the_foreground(tmp_path, monkeypatch, capsys):
    """Its figures, its prints, its seams; and what is no chunk."""
    text = SEAMS.replace("return block[:", 'print("here", block.shape)\n    return block[:')
    file = job(tmp_path, text, "steps.py:sound", size=(64, 48))
    done = compute(geobatch_tui.load_job(file), "a.tif@1,2")
    assert (done.window, done.shape, done.dtype) == ((32, 16, 16, 16), (1, 16, 16), "float32")
    assert 0 < done.low[0] < done.high[0] < 2
    assert "here (1, 18, 18)" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    for chunk, says in {
        "a.tif@3,0": "3 rows and 4 columns",
        "b.tif@0,0": "no item b.tif",
        "a.tif": "is no chunk",
    }.items():
        with pytest.raises(ConfigError, match=says):
            compute(geobatch_tui.load_job(file), chunk)
    with pytest.raises(SeamError):
        compute(
            geobatch_tui.load_job(file, overrides=[f"step[1].use={tmp_path}/steps.py:narrow"]),
            "a.tif@1,2",
        )


async def test_the_run_knows_the_memory_that_a_trial_measured(tmp_path, monkeypatch):
    """Of these functions with these parameters, wherever the outputs go; of others it knows none,
    and what is no number of times is none."""
    file = job(tmp_path, SEAMS, "steps.py:sound", engine='executor = "thread"', size=(64, 48))
    sides = ["engine.chunk_cols=16", "engine.chunk_rows=16"]
    loaded = geobatch_tui.load_job(file, overrides=sides)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert Resources.of(loaded.job).measured == 0
    chosen, todo = choose(await geobatch_tui.plan(loaded), 4)
    await run_trial(loaded, chosen, tmp_path / "scratch", open_chunks=todo)
    found = Resources.of(loaded.job)
    assert 0.5 <= found.measured <= 100
    assert found.scheduler(loaded.job, "r", "run").place.config.measured == found.measured
    other = geobatch_tui.load_job(file, overrides=[f"output.dir={tmp_path / 'elsewhere'}"])
    assert Resources.of(other.job).measured == found.measured
    (tmp_path / "steps.py").write_text(SEAMS + "\nMORE = 1\n")
    assert Resources.of(geobatch_tui.load_job(file, overrides=sides).job).measured == 0
    (kept,) = (tmp_path / "state/geobatch/memory").iterdir()
    for text, times in {"{}": 0, "no json": 0, '{"times_planned": 1e9}': 100}.items():
        kept.write_text(text)
        assert measured_memory.recall(loaded.job) == times
