"""How a console ends, and what is to be opened after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
