"""The memory of the nodes of a cluster: what their workers may take together, and what is reserved
on each. A unit that needs more than a worker's share may fit into the sum of all nodes and into
none of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.orchestration.schedule.crew import Worker


class NodeRooms:
    """Bytes by node; on one machine there is none, and all fits."""

    def __init__(self) -> None:
        self._budgets: Mapping[str, int] = {}
        self._reserved: Counter[str] = Counter()
        self._workers: Counter[str] = Counter()

    def resize(self, budgets: Mapping[str, int]) -> None:
        """Take up the nodes that there are now, with their bytes for workers."""
        self._budgets = budgets

    def came(self, worker: Worker) -> None:
        """Count a worker that is up."""
        self._workers[worker.node] += 1

    def left(self, worker: Worker) -> None:
        """Forget a worker, and what was reserved for it."""
        self._reserved[worker.node] -= worker.reservation.bytes
        self._workers[worker.node] -= 1
        if self._workers[worker.node] <= 0:
            del self._workers[worker.node], self._reserved[worker.node]

    def changed(self, worker: Worker, before: int) -> None:
        """Note that another number of bytes than ``before`` is reserved for a worker."""
        self._reserved[worker.node] += worker.reservation.bytes - before

    def fits(self, worker: Worker, size: int, baseline: int) -> bool:
        """Whether a unit of ``size`` bytes fits on the worker's node beside what is there. The only
        one there always does, or it never would. ``baseline``: bytes of a worker before any
        work."""
        budget = self._budgets.get(worker.node)
        reserved = self._reserved[worker.node]
        if budget is None or reserved <= 0:
            return True
        more = max(size - worker.reservation.bytes, 0)
        return reserved + more + self._workers[worker.node] * baseline <= budget
