"""The console without a run: earlier runs, and new jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from geobatch_tui.tui.console import modes
from geobatch_tui.tui.console.shell import Shell
from geobatch_tui.tui.kit.keymap import bind

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType
    from textual.screen import Screen


class HomeApp(Shell):
    """Opens on the history."""

    PAGES = modes.OF_ALL_RUNS
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        mode.name: mode.make for mode in modes.OF_ALL_RUNS
    }
    DEFAULT_MODE = "history"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind(f"mode.{mode.name}", f"switch_mode('{mode.name}')") for mode in modes.OF_ALL_RUNS
    ]
