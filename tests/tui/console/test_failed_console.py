"""A console that fails ends no run."""

from __future__ import annotations

import contextlib

import pytest

from geobatch_tui import load_job
from geobatch_tui.cli import console as cli
from geobatch_tui.errors import GeobatchError
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.testing import OPS
from geobatch_tui.tui.console import launch
from geobatch_tui.tui.kit.endings import Ending


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of some chunks of 10 ms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    monkeypatch.setenv("GEOBATCH_ENGINE__EXECUTOR", "thread")
    (tmp_path / "in.tif").write_text("x")
    path = tmp_path / "job.toml"
    path.write_text(
        '[source]\ninputs = ["in.tif"]\n[op]\nname = "test.noop"\nchunks = 20\nmilliseconds = 10\n'
        '[output]\ndir = "out"\n[engine]\nmax_workers = 2\n'
    )
    return load_job(path)


def test_the_run_goes_on_and_its_code_is_the_commands(job, monkeypatch, capsys, tmp_path):
    """Nothing is drained; what failed is on stderr, and its traceback in the file that is named."""

    def fail(link):
        link.close()
        raise KeyError("a bug at https://me:hunter2@host")

    monkeypatch.setattr(launch, "show_run", fail)
    monkeypatch.setattr(launch.terminal, "is_gone", lambda: False)
    result = cli.run_in_console(job)
    assert (result.state, result.exit_code, result.counts["done"]) == ("success", 0, 20)
    said = capsys.readouterr().err
    log = tmp_path / "out/.geobatch/console.err"
    assert "the console failed: KeyError: 'a bug at https://***@host'" in said
    assert f"the traceback is in {log}" in said
    assert "in fail\n" in log.read_text()
    assert "hunter2" not in log.read_text()


def test_an_operator_who_left_is_obeyed(job, monkeypatch):
    """The console fails while it is being left: the run goes on in this process, undrained."""
    job = load_job("job.toml", overrides=["op.chunks=2000"])

    def fail(link):
        link.close()
        return launch.Shown(Ending.DETACH, failure="KeyError")

    monkeypatch.setattr(launch, "show_run", fail)
    monkeypatch.setattr(launch.waiting_parent, "is_there", lambda: True)
    closed = launch.run_hosted(job, lambda *_: pytest.fail("followed"))
    assert closed.result is None
    assert not closed.host.over
    closed.host.cancel()
    assert closed.host.result().exit_code == 130


def test_without_anybody_to_wait_for_it_a_run_stays_on_the_terminal(job, monkeypatch, capsys):
    """It is followed as without a console, to its end."""

    def leave(link):
        link.close()
        return launch.Shown(Ending.DETACH)

    monkeypatch.setattr(launch, "show_run", leave)
    monkeypatch.setattr(launch.terminal, "is_gone", lambda: False)
    result = cli.run_in_console(job)
    assert (result.state, result.counts["done"]) == ("success", 20)
    said = capsys.readouterr().err
    assert "the run goes on; Ctrl-C drains it" in said
    assert "failed" not in said


def test_a_lost_terminal_is_no_reason_to_go_on(job, monkeypatch):
    """Nobody could see or stop it there: it drains, as ever. It has 10 s of work."""
    job = load_job("job.toml", overrides=["op.chunks=2000"])

    def fail(link):
        link.close()
        return launch.Shown(failure="OSError")

    monkeypatch.setattr(launch, "show_run", fail)
    monkeypatch.setattr(launch.terminal, "is_gone", lambda: True)
    closed = launch.run_hosted(job, lambda *_: pytest.fail("followed"))
    assert closed.lost
    assert closed.result.exit_code == 130


def test_a_console_on_another_run_says_that_it_failed(monkeypatch, script):
    """There is no run to go on with; the exit code is 1."""

    def fail(link):
        link.close()
        return launch.Shown(failure="KeyError: 0")

    monkeypatch.setattr(launch, "show_run", fail)
    with pytest.raises(GeobatchError, match="the console failed: KeyError: 0"):
        launch.watch(script.state.output_dir)


async def test_what_fails_while_the_console_closes_is_no_failure(console, script):
    """A screen that is first put up in the moment of leaving: its widgets are never made."""
    script.plan(1, 1, 4)
    app = console()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.exit(Ending.LEFT)
        app._handle_exception(KeyError("no widgets"))
        await app.switch_mode("map")
        assert app.current_mode == "run"
        await pilot.pause()
    assert app.return_value is Ending.LEFT
    assert not app.return_code
    assert isinstance(app.failure, KeyError)


def test_the_console_writes_nothing_into_the_state_of_others(tmp_path):
    """A run that may be read can be watched; stray words of the console go elsewhere."""
    ours, theirs = (StateDir.open(tmp_path / name, create=True).root for name in ("a", "b"))
    theirs.chmod(0o777)
    assert launch._log_of(ours.parent) == ours / "console.err"
    log = launch._log_of(theirs.parent)
    assert not log.is_relative_to(tmp_path / "b")
    assert launch._log_of(theirs.parent) == log  # where it is told to be
    log.parent.rmdir()


class Raising:
    """A console whose end raises."""

    leaving = failure = wish = None
    return_code, return_value = 0, Ending.LEFT
    lose_terminal = end_by_signal = None

    def __init__(self, *, closes):
        self.closes = closes

    def run(self):
        raise RuntimeError("dictionary changed size during iteration")


def test_an_operator_who_has_left_is_not_followed(tmp_path, monkeypatch):
    """What raises while Textual takes the screens down is on file, and the console has ended as
    was asked for; one that nobody closed has failed."""
    monkeypatch.setattr(launch.terminal, "guarded", lambda _: contextlib.nullcontext())
    log = tmp_path / "console.err"
    assert launch.run_app(lambda: Raising(closes=True), log) == launch.Shown(Ending.LEFT)
    assert "dictionary changed size" in log.read_text()
    failed = launch.run_app(lambda: Raising(closes=False), log)
    assert (failed.ending, failed.failure.partition(";")[0]) == (
        None,
        "RuntimeError: dictionary changed size during iteration",
    )
