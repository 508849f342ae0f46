"""Endings of a console, and what the operator wants to be opened next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.orchestration.state.outcome import RunResult


class Ending(Enum):
    """The reason why a console closed."""

    LEFT = "left"
    DETACH = "detach"  #: the run is to go on in the background once it has drained
    LOST = "lost"  #: the terminal is gone


@dataclass(frozen=True, slots=True)
class Watch:
    """A wish to see the run of an output directory."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Start:
    """A wish to run a job in a console: of a job file, or of a directory that was run before."""

    job: Path


Wish = Watch | Start


class Shown(NamedTuple):
    """A console's ending, the next wish, and its failure, with the place of its traceback."""

    ending: Ending | None = None
    wish: Wish | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a console and of the run that it hosted.

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
