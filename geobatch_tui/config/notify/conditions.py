"""Conditions on which somebody is told of a run, as a job file writes them: ``dead>10``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from geobatch_tui.config import units
from geobatch_tui.config.problems import nearest


class Matter(StrEnum):
    """What a condition is about."""

    END = "end"  #: the run has ended, however
    DEAD = "dead"  #: there are more dead letters
    STALL = "stall"  #: no chunk was finished for longer
    DISK = "disk"  #: less is free on the disk of the outputs


_FORM: Final = re.compile(r"\s*([A-Za-z]+)\s*(?:([<>=!]=?)\s*(.+?))?\s*")
_SIGNS: Final = {Matter.DEAD: ">", Matter.STALL: ">", Matter.DISK: "<"}
_EXAMPLES: Final = {
    Matter.END: "end",
    Matter.DEAD: "dead>10",
    Matter.STALL: "stall>60s",
    Matter.DISK: "disk<5GB",
}
#: Units in which disks are sold, largest first.
_DECIMAL: Final = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6))


@dataclass(frozen=True, slots=True)
class Condition:
    """A matter and its limit: dead letters, seconds, or bytes; 0 for the end."""

    matter: Matter
    limit: float = 0.0

    def __str__(self) -> str:
        """Write it as a job file does."""
        if self.matter is Matter.END:
            return self.matter.value
        return f"{self.matter}{_SIGNS[self.matter]}{_written(self)}"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition. Raises ValueError, with the nearest one that there is."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no condition: write {_all()}")
        word, sign, limit = found[1].lower(), found[2] or "", found[3] or ""
        if word not in set(Matter):
            raise ValueError(f"{text!r}: there is no condition {word!r}; {nearest(word, Matter)}")
        matter = Matter(word)
        if sign != _SIGNS.get(matter, ""):
            raise ValueError(f"{text!r}: did you mean '{_EXAMPLES[matter]}'?")
        return cls(matter, _limit(matter, limit) if sign else 0.0)


def _limit(matter: Matter, text: str) -> float:
    try:
        if matter is Matter.DEAD:
            return float(_count(text))
        limit = units.parse_duration(text) if matter is Matter.STALL else units.parse_bytes(text)
    except ValueError as error:
        raise ValueError(f"{matter}{_SIGNS[matter]}{text}: {error}") from None
    if not limit:
        raise ValueError(f"{matter}{_SIGNS[matter]}{text}: must be more than 0")
    return float(limit)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("must be a number of dead letters, as 10")
    return int(text)


def _written(condition: Condition) -> str:
    if condition.matter is Matter.DEAD:
        return str(int(condition.limit))
    if condition.matter is Matter.STALL:
        return units.format_duration(condition.limit)
    size = int(condition.limit)
    decimal = next((each for each in _DECIMAL if size % each[1] == 0), None)
    return f"{size // decimal[1]}{decimal[0]}" if decimal else units.format_bytes(size)


def _all() -> str:
    return ", ".join(f'"{example}"' for example in _EXAMPLES.values())
