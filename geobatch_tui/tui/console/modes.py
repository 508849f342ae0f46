"""The console's modes: a name, and the screen, which is made when it is first shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.parts.console_app import ConsoleMode

if TYPE_CHECKING:
    from textual.screen import Screen


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


def _units() -> type[Screen[None]]:
    from geobatch_tui.tui.units.unit_screen import UnitsScreen

    return UnitsScreen


OF_ALL_RUNS: Final = (ConsoleMode("history", _history), ConsoleMode("config", _config))
"""What a console without a run has, too."""

MODES: Final = (
    ConsoleMode("run", _run),
    ConsoleMode("map", _map),
    ConsoleMode("dead", _dead),
    ConsoleMode("log", _log),
    *OF_ALL_RUNS,
    ConsoleMode("units", _units),
)
