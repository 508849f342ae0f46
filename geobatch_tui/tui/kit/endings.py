"""Endings of a console, and what the operator wants to be opened next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Ending(Enum):
    """The reason why a console closed."""

    LEFT = "left"
    DETACH = "detach"  #: the run of this process is to go on without it
    LOST = "lost"  #: the terminal is gone


#: Endings after which a run of this process goes on without a terminal, if it can.
GOES_ON: Final = frozenset({Ending.DETACH, Ending.LOST})


@dataclass(frozen=True, slots=True)
class Watch:
    """A wish to see the run of an output directory."""

    directory: Path

    @property
    def words(self) -> list[str]:
        """The words of the command that opens it."""
        return ["watch", str(self.directory.absolute())]


@dataclass(frozen=True, slots=True)
class Start:
    """A wish to run a job in a console: of a job file, or of a directory that was run before."""

    job: Path

    @property
    def words(self) -> list[str]:
        """The words of the command that opens it."""
        return ["run", str(self.job.absolute())]


Wish = Watch | Start


class Shown(NamedTuple):
    """A console's ending, the next wish, and its failure, with the place of its traceback."""

    ending: Ending | None = None
    wish: Wish | None = None
    failure: str = ""
