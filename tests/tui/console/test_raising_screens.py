"""Whatever raises in a console: its run ends with the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest

from geobatch_tui import load_job, run_sync
from geobatch_tui.testing import OPS
from geobatch_tui.tui.console import launch, modes
from geobatch_tui.tui.run.link import RunLink

CHUNKS = 100


class InjectedError(Exception):
    """A bug of ours."""


JOB = """\
[source]
inputs = ["in.tif"]
[op]
name = "test.noop"
chunks = 100
milliseconds = 10
[output]
dir = "{out}"
[engine]
executor = "thread"
max_workers = 2
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """``job(out)``: a job of chunks of 10 ms into this directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "in.tif").write_text("x")

    def make(out):
        path = tmp_path / f"{out}.toml"
        path.write_text(JOB.format(out=out))
        return load_job(path)

    return make


def digests(directory):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.is_file()
    }


def raising(name):
    """Return a handler with a bug."""

    def handler(self, *_):
        raise InjectedError(f"{type(self).__name__}.{name}")

    return handler


async def driven(app, mode):
    """Go to a screen, and to another one."""
    async with app.run_test(size=(100, 30)) as pilot:
        app.switch_mode(mode)
        await pilot.pause()
        app.switch_mode("log" if mode == "run" else "run")
        await pilot.pause()


def test_no_screen_takes_the_run_with_it(job, tmp_path, monkeypatch):
    """A raise as each screen is shown, or as it is left, in consoles on one run: each fails and
    names the file with its traceback; the run goes on, to the bytes of one without a console."""
    run_sync(job("plain"))
    bugs = [
        (mode, name) for mode in modes.MODES for name in ("on_screen_resume", "on_screen_suspend")
    ]
    failures, mode = [], None

    def run_app(make, log):
        app = make()
        with pytest.raises(InjectedError):
            asyncio.run(driven(app, mode.name))
        return launch.Shown(app.leaving, failure=launch._described(app.failure, log))

    def show(link):
        nonlocal mode
        if not failures:
            while link.poll().view.state != "running":
                time.sleep(0.01)
            link.send("pause")
        mode, name = bugs[len(failures)]
        with monkeypatch.context() as patch:
            patch.setattr(mode.load(), name, raising(name), raising=False)
            shown = launch_show(link)
        failures.append(shown.failure)
        return shown

    def follow(host, failure):
        while len(failures) < len(bugs):
            show(RunLink(host.directory, host=host))
        assert not host.over
        host.control.send("resume").result(10)
        host.wait()

    launch_show = launch.show_run
    monkeypatch.setattr(launch, "run_app", run_app)
    monkeypatch.setattr(launch, "show_run", show)
    monkeypatch.setattr(launch.terminal, "is_gone", lambda: False)
    closed = launch.run_hosted(job("consoles"), follow)
    assert (closed.result.state, closed.result.counts["done"]) == ("success", CHUNKS)
    log = tmp_path / "consoles/.geobatch/console.err"
    assert failures == [
        f"InjectedError: {mode.load().__name__}.{name}; the traceback is in {log}"
        for mode, name in bugs
    ]
    assert digests(tmp_path / "consoles") == digests(tmp_path / "plain")
