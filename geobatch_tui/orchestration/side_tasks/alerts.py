"""Decides when somebody is told of a run: pure, snapshots in, alerts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.config.notify.conditions import Matter
from geobatch_tui.observability import figures
from geobatch_tui.observability.alert import Alert, said, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from geobatch_tui.config.notify.conditions import Condition
    from geobatch_tui.observability.snapshot import Snapshot

#: How far above its limit free space must rise before it is told again that it fell below.
_RECOVERED = 1.1


class Alerts:
    """Tells of each condition once, and again when it came back after it was over."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._conditions = tuple(conditions)
        self._told: set[Condition] = set()
        self._number = 0

    def has(self, matter: Matter) -> bool:
        """Whether anything is to be told of this matter."""
        return any(condition.matter is matter for condition in self._conditions)

    @property
    def watches(self) -> bool:
        """Whether there is anything to tell before the end."""
        return any(condition.matter is not Matter.END for condition in self._conditions)

    def look(self, snapshot: Snapshot, free: int | None = None) -> list[Alert]:
        """Return what is to be told of a run as it is now, with so many bytes free."""
        found = []
        for condition in self._conditions:
            holds, over = _state(condition, snapshot, free)
            if holds and condition not in self._told:
                self._told.add(condition)
                self._number += 1
                found.append(_alert(condition, snapshot, free or 0, self._number))
            elif over:
                self._told.discard(condition)
        return found

    def end(self, snapshot: Snapshot, exit_code: int) -> Iterator[Alert]:
        """Yield what is to be told of a run that has ended."""
        for condition in self._conditions:
            if condition.matter is Matter.END and condition not in self._told:
                self._told.add(condition)
                self._number += 1
                what = f"{snapshot.state} (exit code {exit_code})"
                yield of_snapshot("end", what, _summary(snapshot), snapshot, self._number)


def _state(condition: Condition, snapshot: Snapshot, free: int | None) -> tuple[bool, bool]:
    """Return whether a condition holds, and whether it is over for sure."""
    limit = condition.limit
    if condition.matter is Matter.DEAD:
        dead = sum(snapshot.dead_by_class.values())
        return dead > limit, dead <= limit
    if condition.matter is Matter.STALL:
        return snapshot.still_s >= limit, snapshot.still_s < limit
    if condition.matter is Matter.DISK and free is not None:
        return free < limit, free > _RECOVERED * limit
    return False, False


def _alert(condition: Condition, snapshot: Snapshot, free: int, number: int) -> Alert:
    if condition.matter is Matter.DEAD:
        dead = sum(snapshot.dead_by_class.values())
        what = figures.plural(dead, "dead letter")
        text = f"{what}, more than {figures.count(int(condition.limit))}: {_summary(snapshot)}"
    elif condition.matter is Matter.STALL:
        what = f"no chunk for {figures.duration(snapshot.still_s)}"
        slow = max(snapshot.working, key=lambda entry: entry[2], default=None)
        text = f"{slow[1]} runs for {figures.duration(slow[2])}" if slow else "nothing is running"
    else:
        what = f"{figures.size(free)} left on the disk"
        text = f"less than {figures.size(condition.limit)}: {_summary(snapshot)}"
    return of_snapshot(condition.matter.value, what, text, snapshot, number)


def of_snapshot(event: str, what: str, text: str, snapshot: Snapshot, number: int = 0) -> Alert:
    """Make an alert of a run as it is now."""
    name = snapshot.job or snapshot.run_id
    facts = {
        "job": said(name),
        "run_id": snapshot.run_id,
        "state": snapshot.state,
        "reason": said(snapshot.reason),
        "counts": dict(snapshot.counts),
        "items": dict(snapshot.items),
        "dead_letters": sum(snapshot.dead_by_class.values()),
        "dead_by_class": dict(snapshot.dead_by_class),
        "elapsed_s": round(snapshot.elapsed_s, 1),
        "eta_s": snapshot.eta_s and round(snapshot.eta_s, 1),
    }
    return Alert(event, said(f"{name}: {what}"), said(text), number, facts)


def _summary(snapshot: Snapshot) -> str:
    left = snapshot.counts["pending"] + snapshot.counts["running"]
    return summary(snapshot.items, left, snapshot.dead_by_class, snapshot.elapsed_s)
