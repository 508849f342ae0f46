"""What a command loads before it is known to need it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from geobatch_tui.__main__ import _names_vectors, _preload, _wants_processes
from geobatch_tui.cli.boundary import run_command

HEAVY = {"rasterio", "pyproj", "pyogrio", "numpy", "imagecodecs", "textual"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after ``code``."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_version_loads_no_library(geobatch):
    """--version answers before typer, rich, pydantic or asyncio are imported."""
    loaded = loaded_after("from geobatch_tui.__main__ import main\nmain(['--version'])")
    assert not loaded & (HEAVY | {"typer", "rich", "pydantic", "asyncio", "click"})
    assert geobatch("--version", check=0).stdout.startswith("geobatch ")


def test_commands_load_no_gdal():
    """The whole command line can be built, and helped on, without GDAL, numpy or Textual."""
    loaded = loaded_after(
        "from geobatch_tui.cli.boundary import run_command\n"
        "from contextlib import redirect_stdout\n"
        "import io\n"
        "with redirect_stdout(io.StringIO()):\n"
        "    for words in (['--help'], ['run', '--help'], ['config', '--help'], []):\n"
        "        assert run_command(words) == 0, words\n"
    )
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_help_starts_no_worker(monkeypatch):
    """`geobatch run --help` does not start the fork server, which would load GDAL."""
    monkeypatch.delenv("GEOBATCH_ENGINE__EXECUTOR", raising=False)
    assert _wants_processes(["run", "job.toml"])
    assert not _wants_processes(["run", "--help"])
    assert not _wants_processes(["status", "out"])
    assert not _wants_processes(["run", "job.toml", "--set", "engine.executor=thread"])
    assert not _wants_processes([])
    monkeypatch.setenv("GEOBATCH_ENGINE__EXECUTOR", "thread")
    assert not _wants_processes(["run", "job.toml"])


def test_a_cluster_needs_no_fork_server(monkeypatch, tmp_path):
    """Of a job whose workers are elsewhere a run starts none here; a plan does, as it reads the
    sources here. What the command line says counts more than the job file."""
    monkeypatch.delenv("GEOBATCH_ENGINE__EXECUTOR", raising=False)
    job = tmp_path / "job.toml"
    job.write_text('[engine]\nexecutor = "dask"\n')
    assert not _wants_processes(["run", str(job)])
    assert _wants_processes(["plan", str(job)])
    assert _wants_processes(["run", str(job), "--set", "engine.executor=process"])
    (tmp_path / ".geobatch").mkdir()
    (tmp_path / ".geobatch" / "plan.json").write_text('{"engine": {"executor": "dask"}}')
    assert not _wants_processes(["retry", str(tmp_path)])
    job.write_text('[engine]\nexecutor = "process"\n# executor = "dask"\n')
    assert _wants_processes(["run", str(job)])


def test_workers_load_what_the_job_is_about(monkeypatch, tmp_path):
    """Features or rasters: by the words, the job file, or the plan of an earlier run."""
    monkeypatch.delenv("GEOBATCH_OP__NAME", raising=False)
    job = tmp_path / "job.toml"
    job.write_text('[op]\nname = "vector.reproject"\n')
    assert _names_vectors([str(job)])
    assert not _names_vectors(["absent.toml", "--json"])
    assert _names_vectors(["absent.toml", "--set", "op.name=vector.clip"])
    job.write_text('[op]\nname = "raster.reproject"\n')
    assert not _names_vectors([str(job)])
    (tmp_path / ".geobatch").mkdir()
    assert not _names_vectors([str(tmp_path)])
    (tmp_path / ".geobatch" / "plan.json").write_text('{"op": {"name": "vector.filter"}}')
    assert _names_vectors([str(tmp_path)])
    monkeypatch.setenv("GEOBATCH_OP__NAME", "vector.convert")
    assert _names_vectors(["absent.toml"])


def test_workers_load_steps_for_jobs_that_have_some(monkeypatch, tmp_path):
    monkeypatch.delenv("GEOBATCH_OP__NAME", raising=False)
    job = tmp_path / "job.toml"
    job.write_text('[op]\nname = "raster.reproject"\n')
    assert _preload([str(job)]) == "raster"
    job.write_text('[[step]]\nname = "hillshade"\n')
    assert _preload([str(job)]) == "chain"
    job.write_text('pipeline = "read a.tif ! hillshade"\n')
    assert _preload([str(job)]) == "chain"
    assert _preload(["read a.tif ! hillshade ! write out"]) == "chain"
    job.write_text('[[step]]\nname = "buffer"\n[output]\nformat = "GeoParquet"\n')
    assert _preload([str(job)]) == "vector"


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "plan",
        "watch",
        "wait",
        "status",
        "dead-letters",
        "retry",
        "outputs",
        "verify",
        "repair",
        "ops",
        "doctor",
        "demo",
        "step",
        "config:show",
        "config:check",
        "config:schema",
    ],
)
def test_each_command_has_help(capsys, command):
    """Every command of the contract exists and explains itself on stdout, with exit code 0."""
    words = command.split(":")
    assert run_command([*words, "--help"]) == 0
    said = capsys.readouterr()
    assert f"geobatch {' '.join(words)}" in said.out
    assert said.err == ""


def test_help_fits_a_terminal_of_80_columns(capsys, monkeypatch):
    """No line of the help is wider than 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["run", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_no_color_is_obeyed():
    """On a terminal with NO_COLOR set, the help holds no colour sequence."""
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "geobatch_tui", "--help"],
        stdout=secondary,
        stderr=secondary,
        env={**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"},
    ) as child:
        os.close(secondary)
        output = b""
        while True:
            try:
                block = os.read(primary, 65536)
            except OSError:
                break
            if not block:
                break
            output += block
    os.close(primary)
    assert child.returncode == 0
    assert b"dead-letters" in output
    assert b"\x1b[3" not in output


def _command(body, redirect=""):
    """What a process of its own ends with that runs ``body`` and then the command."""
    code = f"import geobatch_tui.__main__ as m\n{body}\nm.command()"
    words = ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, code]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_ctrl_c_before_anything_began_prints_nothing():
    """As while modules are loaded: the exit code says it all."""
    body = "def main():\n    raise KeyboardInterrupt\nm.main = main"
    done = _command(body)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_opened_on_nothing(redirect, tmp_path):
    """Before a pipe or the ledger takes their numbers."""
    seen = tmp_path / "seen"
    body = (
        "import os\n"
        "def main():\n"
        "    print('lost', file=m.sys.stderr)\n"
        f"    with open({str(seen)!r}, 'w') as file:\n"
        "        print(*(os.readlink(f'/proc/self/fd/{n}') for n in range(3)), file=file)\n"
        "    return 0\n"
        "m.main = main"
    )
    assert _command(body, redirect).returncode == 0
    places = seen.read_text().split()
    for fd, sign in enumerate(("<&-", ">&-", "2>&-")):
        assert places[fd] == "/dev/null" or sign not in redirect.split()


def test_a_run_without_streams_runs(job_file, tmp_path):
    """Workers lead their own output to descriptors 1 and 2, and take nothing else with them."""
    words = [sys.executable, "-m", "geobatch_tui", "run", str(job_file()), "--headless"]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *words], timeout=60, check=False)
    assert done.returncode == 0
    log = next(tmp_path.rglob("log.jsonl")).read_text(encoding="utf-8")
    assert '"worker.lost"' not in log
    assert log.count('"run.exit"') == 1
