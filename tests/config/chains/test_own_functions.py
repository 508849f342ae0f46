"""Functions of the user in job files: by line, and only those that a job may run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from geobatch_tui.config.layers import load_job, make_job
from geobatch_tui.config.problems import InvalidJobError
from geobatch_tui.config.schema import Job, dump_job
from geobatch_tui.config.writing.toml_writer import job_toml
from geobatch_tui.orchestration.plan.fingerprints import functions_in

JOB = """
[source]
inputs = ["a.tif"]

[[step]]
use = "{use}"
size = {size}

[output]
dir = "out"
"""


@pytest.fixture
def job(tmp_path):
    """Write a job file beside steps.py; return its path."""
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "steps.py").write_text("def f(block, *, size: int = 5): ...\n")

    def call(use="steps.py:f", size="7"):
        path = tmp_path / "job" / "job.toml"
        path.write_text(JOB.format(use=use, size=size))
        return path

    return call


def refusal(path, **how):
    with pytest.raises(InvalidJobError) as caught:
        load_job(path, **how)
    return caught.value.message


def test_a_function_beside_the_job_is_run(job, monkeypatch, tmp_path):
    """Wherever the job is called from; the run says so."""
    monkeypatch.chdir(tmp_path)
    loaded = load_job(Path("job/job.toml")) if job() else None
    (step,) = loaded.job.op.params.steps
    assert step.function.file == str(tmp_path / "job" / "steps.py")
    assert step.size == 7
    assert Job.model_validate(dump_job(loaded.job)) == loaded.job
    (said,) = loaded.warnings
    assert said == f"step 1 runs code of this job: steps.py:f (line 1 of {step.function.file})"


def test_where_it_lies_decides_nothing(job, tmp_path):
    """A job that is moved makes the same outputs; one whose function changes does not."""
    before = load_job(job()).job.semantic()
    (tmp_path / "job").rename(tmp_path / "moved")
    moved = tmp_path / "moved" / "job.toml"
    assert load_job(moved).job.semantic() == before
    (tmp_path / "moved" / "steps.py").write_text("\n\ndef f(block, *, size: int = 5): ...\n")
    assert load_job(moved).job.semantic() == before
    (tmp_path / "moved" / "steps.py").write_text("def f(block, *, size: int = 5): return 1\n")
    assert load_job(moved).job.semantic() != before


def test_a_wrong_parameter_is_named_by_line(job):
    """Of the file, or of the command line."""
    path = job(size='"x"')
    assert refusal(path) == f'{path}:7: step[1].size = "x": must be a whole number, without quotes'
    path.write_text(path.read_text().replace("size", "siz"))
    assert refusal(path).startswith(f"{path}:7: step[1].siz = ")
    assert refusal(job(), overrides=["f.size=1.5"]).startswith("--set f.size: step[1].size = 1.5")
    assert load_job(job(), overrides=["f.size=9"]).job.op.params.steps[0].size == 9


def test_code_elsewhere_has_to_be_asked_for(job, tmp_path):
    """By its path, by .., or by a link out."""
    (tmp_path / "other.py").write_text("def f(block, *, size: int): ...\n")
    (tmp_path / "job" / "link.py").symlink_to(tmp_path / "other.py")
    for use in (f"{tmp_path}/other.py:f", "../other.py:f", "link.py:f"):
        assert "does not lie beside the job file" in refusal(job(use))
        allowed = load_job(job(use), overrides=["source.allow_code=true"])
        assert allowed.job.op.params.steps[0].use == use
    (tmp_path / "job" / "helper.py").symlink_to(tmp_path / "other.py")
    (tmp_path / "job" / "steps.py").write_text("import helper\ndef f(block, *, size: int): ...\n")
    assert "helper.py does not lie beside" in refusal(job())
    # Named by whoever calls, not by the file.
    asked = load_job(job(), overrides=[f"step[1].use={tmp_path}/other.py:f"])
    assert asked.job.op.params.steps[0].function.file == str(tmp_path / "other.py")


def test_a_pipeline_in_a_file_names_functions_as_steps_do(job, tmp_path):
    """On the command line it is whoever calls who names them."""
    (tmp_path / "other.py").write_text("def f(block, *, size: int = 3): ...\n")
    words = f"read a.tif ! {tmp_path}/other.py:f ! write out"
    path = job()
    path.write_text(f"pipeline = '{words}'\n")
    assert "does not lie beside the job file" in refusal(path)
    path.write_text("pipeline = 'read a.tif ! steps.py:f --size 4 ! write out'\n")
    assert load_job(path).job.op.params.steps[0].size == 4
    assert load_job(None, pipeline=words).job.op.params.steps[0].size == 3


def test_code_that_anybody_may_write_is_not_run(job, tmp_path):
    """Nor what another user put there."""
    (tmp_path / "job" / "steps.py").chmod(0o666)
    assert "everybody may write to" in refusal(job())
    (tmp_path / "job" / "steps.py").chmod(0o644)
    if os.geteuid() == 0:
        os.chown(tmp_path / "job" / "steps.py", 12345, -1)
        assert "belongs to another user" in refusal(job())


def test_a_file_cannot_say_where_its_function_is(job, tmp_path):
    """What is kept of a function is no key of job files."""
    (tmp_path / "other.py").write_text("def f(block, *, size: int): ...\n")
    path = job()
    path.write_text(
        path.read_text().replace(
            "size = 7", f'size = 7\nfunction = {{ file = "{tmp_path}/other.py" }}'
        )
    )
    assert load_job(path).job.op.params.steps[0].function.file == str(tmp_path / "job" / "steps.py")


def test_a_job_of_values_is_relative_to_the_current_directory(job, tmp_path, monkeypatch):
    """It was made by a program, which could run the function itself."""
    job()
    monkeypatch.chdir(tmp_path)
    made = make_job(
        {
            "source": {"inputs": ["a.tif"]},
            "step": [{"use": "job/steps.py:f"}],
            "output": {"dir": "out"},
        }
    )
    assert made.job.op.params.steps[0].size == 5


NESTED = "read a.tif ! blend --overlay [ read {source} ! FILE:f --size 4 ] ! write out"


def test_a_chain_beside_a_step_names_functions_as_steps_do(job, tmp_path):
    """Those beside the job alone, by its own words, as a table, and as it is written anew."""
    (tmp_path / "other.py").write_text("def f(block, *, size: int = 3): ...\n")
    path = job()
    path.write_text(f"pipeline = '{NESTED.replace('FILE', f'{tmp_path}/other.py')}'\n")
    assert "step[1].overlay: " in refusal(path)
    assert "does not lie beside the job file" in refusal(path)
    path.write_text(f"pipeline = '{NESTED.replace('FILE', 'steps.py')}'\n")
    loaded = load_job(path)
    (inner,) = loaded.job.op.params.steps[0].overlay.steps
    assert (inner["use"], inner["size"]) == ("steps.py:f", 4)
    assert inner["function"]["file"] == str(tmp_path / "job" / "steps.py")
    assert "step 1, overlay, runs code of this job: steps.py:f" in loaded.warnings[0]
    again = tmp_path / "job" / "again.toml"
    again.write_text(job_toml(loaded.job, again.parent))
    assert 'use = "steps.py:f"' in again.read_text()
    assert load_job(again).job == loaded.job
    again.write_text(
        again.read_text().replace(
            "size = 4", f'size = 4, function = {{ file = "{tmp_path}/other.py" }}'
        )
    )
    (inner,) = load_job(again).job.op.params.steps[0].overlay.steps
    assert inner["function"]["file"] == str(tmp_path / "job" / "steps.py")


def test_a_file_of_gdals_names_no_function_beside_a_step(job, tmp_path):
    """As it names none among its steps."""
    path = job().with_name("a.gdalg.json")
    words = NESTED.replace("FILE", "steps.py").replace(" ! write out", "")
    said = {"type": "gdal_streamed_alg", "command_line": f"gdal raster pipeline {words}"}
    path.write_text(json.dumps(said))
    assert "has no step 'steps.py:f'" in refusal(path, overrides=["output.dir=out"])


def test_what_a_function_beside_a_step_is_decides_pixels(job, tmp_path):
    """Its code does, and not where it lies."""
    path = job()
    path.write_text(f"pipeline = '{NESTED.replace('FILE', 'steps.py')}'\n")
    first = load_job(path).job
    moved = tmp_path / "moved"
    (tmp_path / "job").rename(moved)
    second = load_job(moved / "job.toml").job
    assert functions_in(first.semantic()) == functions_in(second.semantic()) != []
    (moved / "steps.py").write_text("def f(block, *, size: int = 5): return block\n")
    assert functions_in(load_job(moved / "job.toml").job.semantic()) != functions_in(
        first.semantic()
    )
