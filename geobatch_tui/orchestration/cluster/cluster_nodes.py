"""The nodes of a cluster as the engine knows them: which may work, with how many processes, and
which are refused, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import VersionSkewError
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.cluster.node_figures import Pulse
from geobatch_tui.orchestration.cluster.on_node.node_facts import differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Share of a Dask worker's memory limit that is planned with, as on one machine.
USABLE = 0.8
#: Differences of versions that are named.
NAMED = 4


@dataclass(slots=True, eq=False)
class Node:
    """A Dask worker that may work for the run.

    ``name`` is short and unique in the run, ``label`` says host and address; ``slots``: worker
    processes at once, ``memory``: bytes for all of them; ``ident``: its name in its cluster.
    ``numbers``: its worker processes now; ``heard``: events that came from it; ``leases``: those in
    flight; ``leaving``: it gets nothing more;
    ``pass_name``: the file by which the run counts it in.
    """

    name: str
    address: str
    label: str
    host: str
    slots: int
    memory: int
    ident: object = ""
    numbers: set[int] = field(default_factory=set)
    pulse: Pulse = field(default_factory=Pulse)
    heard: int = 0
    leases: int = 0
    leaving: bool = False
    pass_name: str = ""

    def row(self, busy: int) -> dict[str, object]:
        """Return what is noted of it, JSON-ready; ``busy``: its worker processes at work."""
        return {
            "node": self.name,
            "label": self.label,
            "host": self.host,
            "state": "leaving" if self.leaving else "up",
            "workers": self.slots,
            "busy": busy,
            "chunks_per_min": round(self.pulse.per_minute(), 1),
            "cpu": round(self.pulse.cpu, 2),
            "rss": self.pulse.taken,
            "memory": self.memory,
            "leases": self.leases,
            "why": "",
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """A Dask worker that may not work for the run."""

    label: str
    why: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.label}: {self.why}"


def label_of(address: str, facts: object) -> str:
    """Return how a Dask worker is called in messages: its host, if it said so, and its address."""
    host = facts.get("host", "") if isinstance(facts, dict) else ""
    return f"{safe(str(host))} ({safe(address)})" if host else safe(address)


def judge(
    address: str,
    identity: Mapping[str, Any],
    facts: object,
    ours: Mapping[str, str],
    *,
    processes: int,
    sharing: int,
    number: int,
) -> Node | Refused:
    """Decide whether a Dask worker may work.

    Args:
        address: of the Dask worker.
        identity: what the scheduler knows of it.
        facts: what it says of itself, or the error in place of that.
        ours: versions of the engine.
        processes: worker processes that a node shall have; 0: as its threads.
        sharing: Dask workers on its host, which share the host's memory.
        number: of the node in the run.
    """
    label = label_of(address, facts)
    if not isinstance(facts, dict):
        return Refused(label, _unheard(facts))
    host = safe(str(facts["host"]))
    if differs := differences(dict(ours), facts["versions"]):
        more = f", and {len(differs) - NAMED} more" if len(differs) > NAMED else ""
        why = f"{VersionSkewError.__name__}: {'; '.join(differs[:NAMED])}{more}"
        return Refused(label, why, host)
    threads = int(identity["nthreads"])
    if processes > threads:
        return Refused(
            label,
            f"dask.processes = {processes}, and its Dask worker has {threads} "
            f"thread{'s' if threads > 1 else ''}: start it with --nthreads {processes}",
            host,
        )
    memory = min(int(facts["memory"]) // max(sharing, 1), int(facts["granted"]))
    if limit := int(identity.get("memory_limit") or 0):
        memory = min(memory, int(limit * USABLE))
    slots, ident = processes or threads, identity.get("name", "")
    return Node(f"n{number}", address, label, host, slots, memory, ident)


def _unheard(error: object) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"it has no {error.name}: install the same geobatch there"
    if error is None:
        return "it did not answer"
    return f"it cannot run geobatch: {type(error).__name__}: {safe(str(error))[:300]}"


def hosts(answers: Iterable[object]) -> dict[str, int]:
    """Count the Dask workers of each host."""
    found: dict[str, int] = {}
    for facts in answers:
        if isinstance(facts, dict):
            found[facts["host"]] = found.get(facts["host"], 0) + 1
    return found
