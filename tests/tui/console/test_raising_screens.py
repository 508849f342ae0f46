"""Whatever raises in a console: its run ends with the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import NamedTuple

import pytest

from geobatch_tui import load_job, run_sync
from geobatch_tui.testing import OPS
from geobatch_tui.tui.console import launch, modes
from geobatch_tui.tui.kit.modal import Palette
from geobatch_tui.tui.parts.console_app import ConsoleMode
from geobatch_tui.tui.parts.console_messages import RunChanged
from geobatch_tui.tui.parts.dialogs import PathDialog, Question
from geobatch_tui.tui.parts.help import HelpScreen
from geobatch_tui.tui.replay.replay_screen import ReplayScreen
from geobatch_tui.tui.run.link import RunLink
from geobatch_tui.tui.run.model import Delta

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


class Bug(NamedTuple):
    """A method that raises, in the screen of a mode, or in what is opened there by ``keys`` or by an
    action of that screen."""

    mode: ConsoleMode
    owner: type
    name: str
    keys: tuple[str, ...] = ()
    action: str = ""


def shown_and_left():
    """Each screen as it is shown, and as it is left."""
    for mode in modes.MODES:
        for name in ("on_screen_resume", "on_screen_suspend"):
            yield Bug(mode, mode.load(), name)


def followed():
    """Each screen of a run, as it is told what is new."""
    for mode in modes.MODES:
        if hasattr(mode.load(), "on_run_changed"):
            yield Bug(mode, mode.load(), "on_run_changed")


def opened():
    """Each screen that lies on others, as it is put up."""
    mode = {mode.name: mode for mode in modes.MODES}
    for name in ("on_mount", "on_screen_resume"):
        yield Bug(mode["run"], HelpScreen, name, ("question_mark",))
        yield Bug(mode["run"], Palette, name, ("colon",))
        yield Bug(mode["run"], Question, name, ("q",))
        yield Bug(mode["run"], PathDialog, name, ("ctrl+s",))
        yield Bug(mode["units"], ReplayScreen, name, ("t",))


def acting():
    """Each screen, as a key of it is pressed."""
    for mode in modes.MODES:
        screen = mode.load()
        bound = {binding.action: binding for _, binding in screen._merge_bindings()}
        for action in sorted(bound):
            name = f"action_{action.partition('(')[0]}"
            if "." not in action and hasattr(screen, name):
                yield Bug(mode, screen, name, action=action)


async def driven(app, bug):
    """Go to a screen, do there what meets the bug, and go to another screen."""
    async with app.run_test(size=(100, 30)) as pilot:
        app.switch_mode(bug.mode.name)
        await pilot.pause()
        if bug.keys:
            await pilot.press(*bug.keys)
        elif bug.action:
            app.screen.check_action = lambda *_: True  # also what this run has not
            app.screen.call_later(app.screen.run_action, bug.action)
        elif bug.name == "on_run_changed":
            app.screen.post_message(
                RunChanged(Delta((), reshaped=True, fresh=True, view=app.shown))
            )
        await pilot.pause()
        app.switch_mode("log" if bug.mode.name == "run" else "run")
        await pilot.pause()


@pytest.fixture
def tried(job, tmp_path, monkeypatch):
    """``tried(bugs)``: what the consoles failed with, one for each bug, all on one run, which ends
    with the bytes of one without a console."""

    def run(bugs):
        run_sync(job("plain"))
        failures, bug = [], None

        def run_app(make, log):
            app = make()
            with pytest.raises(InjectedError):
                asyncio.run(driven(app, bug))
            return launch.Shown(app.leaving, failure=launch._described(app.failure, log))

        def show(link):
            nonlocal bug
            if not failures:
                while link.poll().view.state != "running":
                    time.sleep(0.01)
                link.send("pause")
            bug = bugs[len(failures)]
            with monkeypatch.context() as patch:
                patch.setattr(bug.owner, bug.name, raising(bug.name), raising=False)
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
            f"InjectedError: {bug.owner.__name__}.{bug.name}; the traceback is in {log}"
            for bug in bugs
        ]
        assert digests(tmp_path / "consoles") == digests(tmp_path / "plain")

    return run


def test_no_screen_takes_the_run_with_it(tried):
    """A raise as each screen is shown, or as it is left, in consoles on one run: each fails and
    names the file with its traceback; the run goes on."""
    tried([*shown_and_left()])


@pytest.mark.slow
@pytest.mark.parametrize("bugs", [followed, opened, acting], ids=lambda bugs: bugs.__name__)
def test_no_handler_takes_the_run_with_it(tried, bugs):
    """Nor does a raise as a screen is told what is new, as another one is put on it, or as any of its
    keys is pressed."""
    tried([*bugs()])
