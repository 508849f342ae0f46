"""The console's modes: a name, and the screen, which is made when it is first shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen


class Mode(NamedTuple):
    """A mode; ``load`` imports the class of its screen only when it is called."""

    name: str
    load: Callable[[], type[Screen[None]]]

    def make(self) -> Screen[None]:
        """A screen of the mode."""
        return self.load()()


def _run() -> type[Screen[None]]:
    from geobatch_tui.tui.screens.dashboard import RunScreen

    return RunScreen


def _map() -> type[Screen[None]]:
    from geobatch_tui.tui.screens.map import MapScreen

    return MapScreen


def _dead() -> type[Screen[None]]:
    from geobatch_tui.tui.screens.dead import DeadScreen

    return DeadScreen


def _log() -> type[Screen[None]]:
    from geobatch_tui.tui.screens.log_screen import LogScreen

    return LogScreen


def _history() -> type[Screen[None]]:
    from geobatch_tui.tui.screens.history import HistoryScreen

    return HistoryScreen


def _config() -> type[Screen[None]]:
    from geobatch_tui.tui.screens.job_form import ConfigScreen

    return ConfigScreen


OF_ALL_RUNS: Final = (Mode("history", _history), Mode("config", _config))
"""What a console without a run has, too."""

MODES: Final = (
    Mode("run", _run),
    Mode("map", _map),
    Mode("dead", _dead),
    Mode("log", _log),
    *OF_ALL_RUNS,
)
