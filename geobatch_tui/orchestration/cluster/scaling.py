"""How many nodes a cluster is to have that is started for a run: as the job says, or as many as
there is work for, or as an operator wishes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.cluster.dask_section import Range

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.config.cluster.dask_section import DaskSection

#: Seconds for which fewer nodes must do before some go: to start one takes as long.
STEADY: Final = 20.0
#: Weight of a new duration in the mean.
_NEW: Final = 0.1


class Scaling:
    """The number of nodes that there are to be.

    Args:
        place: the section of the job.
        left: chunks that are to be done.
    """

    def __init__(self, place: DaskSection, left: Callable[[], int]) -> None:
        self._range = place.workers if isinstance(place.workers, Range) else None
        self._fixed = place.least
        self._lease = place.lease
        self._left = left
        self._mean = 0.0
        self._fewer_since = math.inf

    def note(self, seconds: float) -> None:
        """Take note of how long a chunk took."""
        self._mean = self._mean + _NEW * (seconds - self._mean) if self._mean else seconds

    def wish(self, nodes: int) -> None:
        """Have so many nodes from now on, whatever there is to do."""
        self._range, self._fixed = None, max(nodes, 1)

    def nodes(self, slots: int, there: int, now: float) -> int:
        """Return how many nodes there are to be.

        Args:
            slots: worker processes of the nodes that are there.
            there: these nodes.
            now: seconds on a clock that only goes forward.
        """
        if self._range is None:
            return self._fixed
        wanted = self._wanted(self._range, slots / there if there else 1.0)
        if wanted >= there:
            self._fewer_since = math.inf
            return wanted
        self._fewer_since = min(self._fewer_since, now)
        return wanted if now - self._fewer_since >= STEADY else there

    def _wanted(self, limits: Range, slots: float) -> int:
        """Return the nodes that have a lease for each worker process, with what is left."""
        left = self._left()
        leases = left * self._mean / self._lease if self._mean else left
        wanted = math.ceil(min(leases, left) / max(slots, 1.0))
        return min(max(wanted, limits.minimum, 1), limits.maximum)
