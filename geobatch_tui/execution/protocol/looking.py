"""Messages about what is there: the layers of a source, the files of a group, a published output.

Those about sources come before the probes of items: an engine that opens no file cannot know how
many items an input has, nor what is in a hundred thousand files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    #: A JSON object, which nobody changes.
    Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MembersTask:
    """Look at some files of a group, so that its probe need not: those of the list ``source`` from
    number ``first`` on, before number ``beyond``."""

    task_id: int
    op: str
    source: str
    source_options: Json
    first: int
    beyond: int


class Asked(Protocol):
    """What a task asks of which operation: a ``ProbeTask``."""

    @property
    def op(self) -> str: ...

    @property
    def source(self) -> str: ...


@dataclass(frozen=True, slots=True)
class SurveyTask[Probe: Asked]:
    """Look at a part of all pixels that a step gets, which has to know them before it is planned:
    the first such step whose survey ``probe`` does not know. ``part`` None: only tell how many
    parts there are."""

    task_id: int
    probe: Probe
    part: int | None = None

    @property
    def op(self) -> str:
        return self.probe.op

    @property
    def source(self) -> str:
        return self.probe.source


@dataclass(frozen=True, slots=True)
class LayersTask:
    """Name the layers of a source, each of which is to be an item."""

    task_id: int
    op: str
    source: str


@dataclass(frozen=True, slots=True)
class MembersReceipt:
    """What some files of a group are: ``statuses`` has size and time of each source, over all its
    files, ``digests`` those of these files, in their order; ``looks`` is for the group's probe."""

    statuses: tuple[tuple[int, int], ...]
    digests: tuple[str, ...]
    looks: Json


@dataclass(frozen=True, slots=True)
class SurveyReceipt:
    """A survey that has ``parts``, for step ``step`` of the job, from 1: ``look`` is what the part
    that was asked for shows. 0: no step needs another."""

    parts: int
    step: int = 0
    look: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayersReceipt:
    """The ``names`` of a source's layers, in its order; no two are the same."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InspectTask:
    """Read a published output back: its embedded fingerprint, and every block of it."""

    task_id: int
    op: str
    path: str


@dataclass(frozen=True, slots=True)
class InspectReceipt:
    """``fingerprint`` as embedded (empty: not ours), ``size`` and ``digest`` of the file; of its
    ``facts``, those that the receipt of an item has by the same names, as far as it tells them."""

    fingerprint: str
    size: int
    digest: str
    facts: Json = field(default_factory=dict)
