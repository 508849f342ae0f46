"""How a console ends, and what is to be opened after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.orchestration.state.outcome import RunResult


class Ending(Enum):
    """Why the console closed."""

    LEFT = "left"
    DETACH = "detach"  #: the run is to go on in the background once it has drained
    LOST = "lost"  #: the terminal is gone


@dataclass(frozen=True, slots=True)
class Watch:
    """The run of an output directory is to be shown."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Start:
    """A job is to be run, with the console in front: that of a file, or the one that an output
    directory was run with."""

    job: Path


Wish = Watch | Start


class Shown(NamedTuple):
    """How a console closed, what is wished for next, and, if it failed, what failed and where the
    traceback is."""

    ending: Ending | None = None
    wish: Wish | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a console with a run of its own closed.

    Attributes:
        result: of the run, or of the last one where dead letters were tried again; it has ended.
        detach: the operator wants it resumed in the background.
        lost: the terminal is gone: nothing can be written to it.
        wish: what the operator wants to see next.
    """

    result: RunResult
    detach: bool
    lost: bool
    wish: Wish | None = None
