"""Thousands of keys, in bursts that arrive at once, at a console that has a run: nothing raises,
and the run is never lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from unittest import mock

from keys_at_once import type_at_once

from geobatch_tui import load_job, open_run
from geobatch_tui.tui.console import launch
from geobatch_tui.tui.kit import editor
from geobatch_tui.tui.parts.dialogs import PathDialog

OPENING = (
    *("colon", "ctrl+p", "ctrl+o", "R", "A", "S", "X", "Q", "q", "question_mark", "f1", "slash"),
    *("ctrl+s", "ctrl+n", "ctrl+l", "ctrl+r", "ctrl+c", "ctrl+q", "P", "e"),
)
ANSWERS = ("enter", "escape", "down", "up", "pageup", "pagedown", "tab", "home", "end", "shift+tab")
SCREENS = ("1", "2", "3", "4", "5", "6", "7", "left_square_bracket", "right_square_bracket")
OTHERS = (
    *("left", "right", "h", "j", "k", "l", "G", "space", "v", "a", "g", "s", "z", "n", "N", "o"),
    *("m", "less_than_sign", "greater_than_sign", "f", "w", "u", "y", "p", "plus", "minus", "t"),
    *(
        "c",
        "i",
        "r",
        "b",
        "backspace",
        "delete",
        "x",
        "0",
        "9",
        "full_stop",
        "equals_sign",
        "comma",
    ),
)
SIZES = ((80, 24), (160, 48), (40, 12))


class Storm:
    """Keys by a seed.

    Args:
        seed: of the keys.
        count: how many.

    Attributes:
        typed: the bursts so far, to be read from the end where something raised.
        answered: how often a dialog or a palette was open when keys came.
    """

    def __init__(self, seed, count):
        self.random = random.Random(seed)
        self.left = count
        self.typed = []
        self.answered = 0

    def burst(self, *, above):
        """The next keys; most of them answers where a dialog is above the screen."""
        draw = self.random
        kind = draw.random()
        if above and kind < 0.6:
            keys = [draw.choice(ANSWERS)] * draw.choice((1, 2, 2, 3, 7))
        elif kind < 0.75:
            keys = [draw.choice(OPENING), *draw.choices(ANSWERS, k=draw.randrange(4))]
        elif kind < 0.85:
            keys = [draw.choice(SCREENS)]
        else:
            keys = draw.choices((*OTHERS, *ANSWERS), k=draw.choice((1, 2, 5, 20)))
        self.left -= len(keys)
        self.typed.append(keys)
        return keys

    async def rage(self, app):
        """Type until no keys are left or the console has closed; what it was closed with."""
        # No pilot's pause: it waits in vain for a widget that a key has removed.
        async with app.run_test(size=self.random.choice(SIZES)):
            while self.left > 0 and app._exit is False:
                above = len(app.screen_stack) > 1
                self.answered += above
                type_at_once(app, *self.burst(above=above))
                await asyncio.sleep(self.random.choice((0.0, 0.001, 0.02, 0.05, 0.05)))
            if app._exit is False:
                app.close_with(launch.Ending.LEFT)
                await asyncio.sleep(0)
        return launch.Shown(app.return_value, app.wish)


def job_in(place):
    """A job of two items with some dead chunks; it takes a second or so."""
    for name in ("a.tif", "b.tif"):
        (place / name).write_text("x")
    path = place / "job.toml"
    path.write_text(
        '[source]\ninputs = ["a.tif", "b.tif"]\n[op]\nname = "test.faulty"\nchunks = 300\n'
        "milliseconds = 5\nfaults = { raise = [3, 7, 200] }\n"
        '[output]\ndir = "out"\n[engine]\nmax_workers = 2\n[retry]\nmax_attempts = 1\n'
    )
    return path


def weather(seed, count, place):
    """Consoles one after another on a run and its resumptions until so many keys were typed.

    Returns:
        The storm, and the states in which runs ended.

    Raises:
        whatever a console raised.
    """
    storm, states = Storm(seed, count), []

    def show(make, log):
        return asyncio.run(storm.rage(make()))

    def inside(dialog, text):
        return place / Path(text).name

    with (
        mock.patch.object(launch, "run_app", show),
        mock.patch.object(PathDialog, "meant", inside),
        mock.patch.object(editor, "program", return_value=["true"]),
        mock.patch.object(launch.terminal, "is_gone", return_value=False),
    ):
        loaded = load_job(job_in(place))
        while storm.left > 0:
            before = len(storm.typed)
            closed = launch.run_hosted(loaded, _fail, fresh=states[-1:] == ["partial"])
            state = open_run(place / "out").status()["state"]
            assert state == closed.result.state, (state, closed.result)
            states.append(state)
            assert len(storm.typed) > before, closed.result
    return storm, states


def _fail(host, failure):
    """The storm left the run running, without a console: another one follows."""
    host.drain()
    host.wait()
    assert not failure, failure
