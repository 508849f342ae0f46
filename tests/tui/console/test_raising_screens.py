"""Whatever raises in a console: its run ends with the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from itertools import takewhile
from typing import NamedTuple

import pytest
from keys_at_once import button
from textual import events
from textual.app import App
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import Worker, WorkerState

from geobatch_tui import load_job, run_sync
from geobatch_tui.testing import OPS
from geobatch_tui.tui.console import launch, modes
from geobatch_tui.tui.console.painted_console import PaintedConsole
from geobatch_tui.tui.console.shell import Shell
from geobatch_tui.tui.glance.item_progress import ItemProgress
from geobatch_tui.tui.glance.resource_line import ResourceLine
from geobatch_tui.tui.glance.throughput import Throughput
from geobatch_tui.tui.glance.what_now import WhatNow
from geobatch_tui.tui.history.run_list import RunList
from geobatch_tui.tui.kit.modal import Modal, Options, Palette
from geobatch_tui.tui.map.canvas import Canvas
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.map.panels import CursorCard, HistogramPanel, Legend, MapHead, Pieces
from geobatch_tui.tui.map.plan_map import PlanMap
from geobatch_tui.tui.parts.console_app import ConsoleMode
from geobatch_tui.tui.parts.console_messages import RunChanged
from geobatch_tui.tui.parts.dialogs import PathDialog, Question
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.help import HelpScreen
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.line_widget import Follower, Lines
from geobatch_tui.tui.parts.page import Filtered, Sorted, TextBox
from geobatch_tui.tui.parts.scroll_lines import ListHeading, ScrollLines
from geobatch_tui.tui.replay.event_strip import EventStrip
from geobatch_tui.tui.replay.replay_screen import ReplayScreen
from geobatch_tui.tui.run.link import RunLink
from geobatch_tui.tui.run.model import Delta
from geobatch_tui.tui.screens.dead import DeadScreen
from geobatch_tui.tui.units.time_line import TimeLine
from geobatch_tui.tui.units.unit_table import UnitHeading, UnitTable
from geobatch_tui.tui.widgets.causes import Causes
from geobatch_tui.tui.widgets.field_list import FieldList
from geobatch_tui.tui.widgets.hosts import Hosts
from geobatch_tui.tui.widgets.inspector import Inspector
from geobatch_tui.tui.widgets.letter_list import LetterList
from geobatch_tui.tui.widgets.log_tail import LogPanel
from geobatch_tui.tui.widgets.log_view import LogView
from geobatch_tui.tui.widgets.overview import Overview
from geobatch_tui.tui.widgets.plan_pane import PlanPane
from geobatch_tui.tui.widgets.result_pane import ResultPane
from geobatch_tui.tui.widgets.value_input import ValueInput
from geobatch_tui.tui.widgets.window_preview import Preview
from geobatch_tui.tui.widgets.workers import Workers

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


def raising(bug):
    """Return a handler with a bug."""

    def handler(*_):
        raise InjectedError(f"{bug.owner.__name__}.{bug.name}")

    return handler


class Bug(NamedTuple):
    """A method that raises, in the screen of a mode, or in what is opened there by ``keys`` or by an
    action of that screen; or in a widget that is shown there; or in what gets a ``message``."""

    mode: ConsoleMode
    owner: type
    name: str
    keys: tuple[str, ...] = ()
    action: str = ""
    message: type | None = None


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
    yield Bug(mode["units"], EventStrip, "build", ("t",))


def acting():
    """Each screen, as a key of it is pressed."""
    for mode in modes.MODES:
        screen = mode.load()
        bound = {binding.action: binding for _, binding in screen._merge_bindings()}
        for action in sorted(bound):
            name = f"action_{action.partition('(')[0]}"
            if "." not in action and hasattr(screen, name):
                yield Bug(mode, screen, name, action=action)


def answered():
    """Each dialog, as a key answers it or acts in it."""
    mode = {mode.name: mode for mode in modes.MODES}
    yield Bug(mode["run"], Options, "action_page_up", ("q", "pageup"))
    yield Bug(mode["run"], Options, "action_page_down", ("q", "pagedown"))
    yield Bug(mode["run"], Question, "on_key", ("q", "u"))
    yield Bug(mode["run"], Question, "on_option_list_option_selected", ("q", "enter"))
    yield Bug(mode["run"], PathDialog, "on_input_changed", ("ctrl+s", "x"))
    yield Bug(mode["run"], PathDialog, "on_input_submitted", ("ctrl+s", "enter"))
    yield Bug(mode["run"], PathDialog, "action_complete", ("ctrl+s", "tab"))
    yield Bug(mode["run"], PathDialog, "action_move", ("ctrl+s", "down"))
    yield Bug(mode["run"], PathDialog, "action_page", ("ctrl+s", "pagedown"))
    yield Bug(mode["run"], HelpScreen, "action_lines", ("question_mark", "j"))
    yield Bug(mode["run"], Palette, "action_page", ("colon", "pagedown"))
    for key, name in {
        "space": "play",
        "right": "scrub",
        "n": "death",
        "greater_than_sign": "speed",
    }.items():
        yield Bug(mode["units"], ReplayScreen, f"action_{name}", ("t", key))


#: Widgets, and what they are made from, by a mode that shows them.
WIDGETS = {
    "run": (
        *(Lines, Overview, ResourceLine, Workers, Hosts, Throughput, ItemProgress, WhatNow),
        *(Causes, LogPanel, KeyBar),
    ),
    "map": (Canvas, ChunkMap, MapHead, Pieces, Legend, CursorCard, HistogramPanel),
    "dead": (ScrollLines, LetterList, ListHeading, FilterBar, Preview, Inspector, TextBox),
    "log": (LogView,),
    "history": (RunList,),
    "config": (FieldList, PlanPane, PlanMap, ResultPane, ValueInput),
    "units": (UnitTable, UnitHeading, TimeLine),
}
#: Textual calls them as a widget is shown, or what is shown in it changes.
SHOWN = ("build", "rows", "render_line", "take", "on_mount", "on_resize")
#: Messages by the handlers that get them.
MESSAGES = {
    "on_click": lambda: button(events.Click, 1, 1),
    "on_mouse_scroll_up": lambda: button(events.MouseScrollUp, 1, 1),
    "on_mouse_scroll_down": lambda: button(events.MouseScrollDown, 1, 1),
    "on_focus": events.Focus,
    "on_blur": events.Blur,
    "on_input_changed": lambda: Input.Changed(Input(), "x"),
    "on_worker_state_changed": lambda: Worker.StateChanged(None, WorkerState.SUCCESS),
}


def drawn():
    """Each widget, as it is shown, painted and told what is new."""
    yield from _within(lambda name: name in SHOWN)


def touched():
    """Each widget, as the mouse, the focus or a worker does something to it."""
    yield from _within(lambda name: name in MESSAGES or name.startswith("watch_"))


def pressed():
    """Each widget, as a key of it is pressed."""
    yield from _within(lambda name: name.startswith("action_"))


#: Messages to methods that ask for them by their class, given the console.
SENT = {
    ScrollLines.Moved: lambda _: ScrollLines.Moved(),
    ScrollLines.Opened: lambda _: ScrollLines.Opened(),
    ChunkMap.Moved: lambda _: ChunkMap.Moved(),
    ChunkMap.ChunkSelected: lambda _: ChunkMap.ChunkSelected(0),
    TimeLine.Sized: lambda _: TimeLine.Sized(),
    UnitHeading.Clicked: lambda _: UnitHeading.Clicked("item"),
    ListHeading.Clicked: lambda _: ListHeading.Clicked("job"),
    EventStrip.Pointed: lambda _: EventStrip.Pointed(0.5),
    FilterBar.Changed: lambda _: FilterBar.Changed(),
    FieldList.Edited: lambda _: FieldList.Edited(None),
    FieldList.Wanted: lambda _: FieldList.Wanted(0),
    Input.Changed: lambda app: Input.Changed(app.screen.query_one(Input), "x"),
    Input.Submitted: lambda app: Input.Submitted(app.screen.query_one("#edit", Input), "x"),
    events.DeliveryComplete: lambda _: events.DeliveryComplete("key", None, None),
}
#: Where a class is that is no screen of a mode: a mode, and keys that open it there.
PLACES = {
    Filtered: ("dead",),
    Sorted: ("history",),
    ReplayScreen: ("units", "t"),
    Palette: ("run", "colon"),
    Shell: ("run",),
}


def sent():
    """Whatever asks for a message by its class, as it gets one."""
    for owner in ours():
        mode, *keys = place_of(owner)
        for name, message in asked_for(owner).items():
            yield Bug(MODES[mode], owner, name, tuple(keys), message=message)


def left():
    """Whatever has something to do as it is taken down."""
    for mode, owner, *keys in (
        ("run", Modal, "question_mark", "escape"),
        ("run", Palette, "colon", "escape"),
        ("dead", DeadScreen),
        ("config", ResultPane),
        ("run", PaintedConsole),
    ):
        yield Bug(MODES[mode], owner, "on_unmount", tuple(keys))


MODES = {mode.name: mode for mode in modes.MODES}


def ours():
    """Classes of the console that get messages: apps, screens and widgets."""
    for mode in modes.MODES:
        mode.load()
    for owner in dict.fromkeys((*below(Widget), *below(App))):
        if owner.__module__.startswith("geobatch_tui."):
            yield owner


def place_of(owner):
    """Return where a class is: a mode, and keys that open it there; "" where that is not known."""
    shown = {mode.load(): (mode.name,) for mode in modes.MODES}
    return (shown | PLACES).get(owner, ("",))


def asked_for(owner):
    """Return the methods of a class that ask for messages by their class, each with one of them."""
    found = {}
    for message, entries in vars(owner)["_decorated_handlers"].items():
        for method, _ in entries:
            if message in SENT or method.__name__ not in found:
                found[method.__name__] = message
    return found


def inject(patch, bug):
    """Put a bug into a class, and where Textual keeps what asks for messages by their class."""
    bad = raising(bug)
    patch.setattr(bug.owner, bug.name, bad, raising=False)
    handlers = vars(bug.owner)["_decorated_handlers"]
    for message, entries in handlers.items():
        changed = [(bad if one.__name__ == bug.name else one, which) for one, which in entries]
        patch.setitem(handlers, message, changed)


def _within(is_meant):
    for mode in modes.MODES:
        for owner in WIDGETS.get(mode.name, ()):
            for name in sorted(vars(owner)):
                if is_called(owner, name) and is_meant(name):
                    yield Bug(mode, owner, name)


def is_called(owner, name):
    """Whether Textual calls a method of a class, and not the one that overwrites it."""
    of_ours = name in SHOWN or name in MESSAGES or name.startswith(("watch_", "action_"))
    return of_ours and (owner, name) not in {(Lines, "build"), (Pieces, "rows"), (Follower, "take")}


def is_widget(owner):
    """Whether a class is one of the console's widgets, and no screen."""
    ours = owner.__module__.startswith("geobatch_tui.")
    return ours and issubclass(owner, Widget) and not issubclass(owner, Screen)


def meet(app, bug):
    """Do to a widget what its method with a bug is for."""
    widget = next(iter(app.screen.query(bug.owner)))
    # Some are shown only where there is something for them, or much room.
    for node in takewhile(lambda node: node is not app.screen, widget.ancestors_with_self):
        node.display = True
        node.styles.min_width, node.styles.min_height = 8, 4
    if bug.name in MESSAGES:
        widget.post_message(MESSAGES[bug.name]())
    elif bug.name.startswith("watch_"):
        value = getattr(type(widget), bug.name.removeprefix("watch_"))
        widget.call_later(widget.mutate_reactive, value)
    elif bug.name.startswith("action_"):
        widget.check_action = lambda *_: True  # also what there is nothing for
        bound = {one.action.partition("(")[0]: one.action for _, one in widget._merge_bindings()}
        name = bug.name.removeprefix("action_")
        app.call_later(app.run_action, bound.get(name, f"{name}(1)"), widget)
    else:
        tell(app)


def tell(app):
    """Tell the screen that all is new."""
    app.screen.post_message(RunChanged(Delta((), reshaped=True, fresh=True, view=app.shown)))


async def driven(app, bug):
    """Go to a screen, do there what meets the bug, and go to another screen. What is in the screen
    may need room; the screen itself needs none."""
    room = (40, 10) if bug.name in {"on_screen_resume", "on_screen_suspend"} else (100, 30)
    async with app.run_test(size=room) as pilot:
        app.switch_mode(bug.mode.name)
        await pilot.pause()
        for key in bug.keys:
            await pilot.press(key)
            await pilot.pause()
        if bug.message is not None:
            target = app if isinstance(app, bug.owner) else app.screen
            assert isinstance(target, bug.owner)
            target.post_message(SENT[bug.message](app))
        elif is_widget(bug.owner) and not bug.keys:
            meet(app, bug)
        elif bug.action:
            app.screen.check_action = lambda *_: True  # also what this run has not
            app.screen.call_later(app.screen.run_action, bug.action)
        elif bug.name == "on_run_changed":
            tell(app)
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
            with pytest.raises(InjectedError) as raised:
                asyncio.run(driven(app, bug))
            # As the app is taken down, what raises passes its own handler.
            error = app.failure or raised.value
            return launch.Shown(app.leaving, failure=launch._described(error, log))

        def show(link):
            nonlocal bug
            if not failures:
                while link.poll().view.state != "running":
                    time.sleep(0.01)
                link.send("pause")
            bug = bugs[len(failures)]
            with monkeypatch.context() as patch:
                inject(patch, bug)
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


def test_all_widgets_are_tried():
    """Those of the console that have methods which Textual calls."""
    groups = (opened, answered, drawn, touched, pressed)
    known = {bug.owner for bugs in groups for bug in bugs()}
    assert {owner for owner in below(Widget) if is_widget(owner) and has_methods(owner)} <= known


def test_all_methods_that_ask_for_messages_are_tried():
    """By their class; and all that do something as they are taken down."""
    unknown = [
        f"{owner.__name__}.{name}: where it is shown, or how a {message.__qualname__} is made"
        for owner in ours()
        for name, message in asked_for(owner).items()
        if place_of(owner)[0] not in MODES or message not in SENT
    ]
    assert unknown == []
    ending = {owner for owner in ours() if "on_unmount" in vars(owner)}
    assert ending == {bug.owner for bug in left()}


def below(owner):
    for one in owner.__subclasses__():
        yield one
        yield from below(one)


def has_methods(owner):
    return any(is_called(owner, name) for name in vars(owner))


@pytest.mark.slow
@pytest.mark.parametrize(
    "bugs",
    [followed, opened, answered, acting, drawn, touched, pressed, sent, left],
    ids=lambda bugs: bugs.__name__,
)
def test_no_handler_takes_the_run_with_it(tried, bugs):
    """Nor does a raise as a screen is told what is new, as another one is put on it, as any of its
    keys is pressed; nor in a dialog or a widget of it, nor as any of them gets a message or is
    taken down."""
    tried([*bugs()])
