"""Exit codes, and what goes to which stream."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
import typer

from geobatch_tui.cli import boundary
from geobatch_tui.errors import ConfigError, ExitCode, LockHeldError, StateError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "bogus"),
        (["run", "--no-such-option"], "--no-such-option"),
        (["run"], "no job file"),
        (["run", "missing.toml"], "missing.toml"),
        (["run", "https://me:hunter2@host/job.toml"], "job file https:/***@host/job.toml"),
        (["wait", "nowhere"], "no run in nowhere: there is no such directory"),
        (["outputs", "a.toml"], "no run in a.toml: it is a file"),
        (["status", "."], "no run in .: it has no .geobatch directory"),
        (["run", "job.toml", "--workers", "many"], "--workers"),
        (["run", "job.toml", "--config", "other.toml"], "two job files"),
        (["run", "job.toml", "--tui"], "--tui needs a terminal"),
        (["run", "job.toml", "--tui", "--headless"], "exclude"),
        (["dead-letters", ".", "--json", "--geojson", "x"], "exclude"),
        (["ops", "raster.reprojekt"], "raster.reproject"),
    ],
)
def test_usage_errors_end_with_2(capsys, monkeypatch, tmp_path, words, said):
    """A usage error names what is wrong on stderr, leaves stdout empty, and ends with 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").touch()
    assert boundary.run_command(words) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert all(line.startswith("geobatch: ") for line in shown.err.splitlines())


def test_config_error_names_file_line_and_key(geobatch, job_file):
    """A misspelt key is reported with file, line and the nearest known key."""
    job = job_file(extra="[engine]\nmax_wokers = 3")
    line = job.read_text().splitlines().index("max_wokers = 3") + 1
    done = geobatch("config", "check", job.name)
    assert done.returncode == ExitCode.USAGE
    assert f"job.toml:{line}" in done.stderr
    assert "engine.max_workers" in done.stderr


def test_no_run_in_directory(geobatch, tmp_path):
    """Asking for a run where there is none is an error, not an empty answer."""
    done = geobatch("status", tmp_path)
    assert done.returncode != 0
    assert "no run" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a"), 2),
        (LockHeldError("held"), 13),
        (StateError("gone"), 17),
        (typer.Exit(7), 7),
        (ValueError("surprise"), 1),
        (RuntimeError("can't start new thread"), 17),
        (OSError(errno.ENOSPC, "full", "/data/a"), 17),
        (OSError(errno.ENOSPC, "full"), 1),
        (RuntimeError("surprise"), 1),
    ],
)
def test_errors_end_with_their_code(error, code, monkeypatch, tmp_path, capsys):
    """The boundary gives each error the exit code of its class; what is unexpected is 1."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert boundary._ending(error) == code
    assert capsys.readouterr().out == ""


def test_unexpected_error_leaves_its_traceback(monkeypatch, tmp_path, capsys):
    """A bug costs the person one line, and the traceback is kept in a file that it names."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    @boundary.app.command("bug")
    def bug():
        raise ZeroDivisionError("first\nsecond \x1b[31m")

    try:
        assert boundary.run_command(["bug"]) == ExitCode.RUNTIME
    finally:
        boundary.app.registered_commands.pop()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "geobatch: error: unexpected ZeroDivisionError: first"
    (kept,) = tmp_path.iterdir()
    assert str(kept) in said[1]
    assert "in bug" in kept.read_text()


def test_error_text_cannot_drive_the_terminal(capsys):
    """Control characters of a message come out as visible escapes."""
    boundary.report(ConfigError("name\x1b]0;pwned\x07.tif\nline \u202etwo", hint="a\x9bb"))
    said = capsys.readouterr().err
    assert not set("\x1b\x07\u202e\x9b") & set(said)
    assert len(said.splitlines()) == 3


def test_reader_that_leaves_is_no_error():
    """`geobatch ... | head -1` ends without a traceback."""
    command = f"{sys.executable} -m geobatch_tui config schema | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith("{")
    assert int(done.stdout[1:].split()[-1]) in {0, boundary.READER_GONE}


def test_no_error_shows_a_credential(capsys, monkeypatch, tmp_path):
    """Whatever it came with: our errors and hints, the command line's, bugs and their tracebacks."""
    url = "https://bob:hunter2@host/x?token=xyz789"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    usage = typer.BadParameter(f"{url} is no number")
    for error in (ConfigError(url, hint=url), usage, ValueError(url), OSError(5, url)):
        assert boundary._ending(error) != 0
    monkeypatch.setenv("GEOBATCH_TRACEBACK", "1")
    boundary._ending(ValueError(url))
    shown = capsys.readouterr()
    texts = shown.out + shown.err + "".join(path.read_text() for path in tmp_path.iterdir())
    assert texts.count("https://***@host/x?token=***") >= 6
    assert "hunter2" not in texts
    assert "xyz789" not in texts
