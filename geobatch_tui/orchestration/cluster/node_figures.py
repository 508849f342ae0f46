"""How nodes are: what each tells with its pulse, and why those are gone that do not work."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Nodes that are lost or refused and still named, and seconds over which a rate is taken.
GONE: Final = 50
WINDOW: Final = 60.0


@dataclass(frozen=True, slots=True)
class Gone:
    """A node that does not work any more, or never did. ``state``: lost, refused, or left."""

    label: str
    host: str
    why: str
    state: str
    name: str = ""

    def row(self) -> dict[str, object]:
        """Return what is noted of it, JSON-ready."""
        return {
            "node": self.name,
            "label": self.label,
            "host": self.host,
            "state": self.state,
            "why": self.why,
        }


@dataclass(slots=True, eq=False)
class Pulse:
    """What a node told last. ``cpu`` counts cores that its processes use."""

    rss: dict[int, int] = field(default_factory=dict)
    compiling: frozenset[int] = frozenset()
    taken: int = 0
    cpu: float = 0.0
    done: int = 0
    _used: tuple[float, float] | None = None
    _dones: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, said: Mapping[str, Any], now: float) -> None:
        """Take note of what the node says of itself at ``now``, in seconds."""
        self.rss, self.compiling = said["rss"], frozenset(said["compiling"])
        self.taken = int(said["taken"])
        used = float(said["cpu"])
        if self._used is not None and now > self._used[0]:
            self.cpu = max(used - self._used[1], 0.0) / (now - self._used[0])
        self._used = (now, used)
        self._dones.append((now, self.done))
        while len(self._dones) > 2 and now - self._dones[0][0] > WINDOW:
            self._dones.popleft()

    def per_minute(self) -> float:
        """Return the chunks that the node finished in a minute, of late."""
        if len(self._dones) < 2:
            return 0.0
        (first, before), (last, after) = self._dones[0], self._dones[-1]
        return 60.0 * (after - before) / (last - first) if last > first else 0.0
