"""The console's modes: a number key, a name, and how the screen is made when it is first shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen


class Mode(NamedTuple):
    """A mode; ``make`` imports its screen only when it is called."""

    name: str
    make: Callable[[], Screen[None]]


def _run() -> Screen[None]:
    from geobatch_tui.tui.screens.run import RunScreen

    return RunScreen()


def _map() -> Screen[None]:
    from geobatch_tui.tui.screens.map import MapScreen

    return MapScreen()


def _dead() -> Screen[None]:
    from geobatch_tui.tui.screens.dead import DeadScreen

    return DeadScreen()


def _log() -> Screen[None]:
    from geobatch_tui.tui.screens.log import LogScreen

    return LogScreen()


def _history() -> Screen[None]:
    from geobatch_tui.tui.screens.history import HistoryScreen

    return HistoryScreen()


def _config() -> Screen[None]:
    from geobatch_tui.tui.screens.config import ConfigScreen

    return ConfigScreen()


OF_ALL_RUNS: Final = (Mode("history", _history), Mode("config", _config))
"""What a console without a run has, too."""

MODES: Final = (
    Mode("run", _run),
    Mode("map", _map),
    Mode("dead", _dead),
    Mode("log", _log),
    *OF_ALL_RUNS,
)
