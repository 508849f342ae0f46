"""An alert: what somebody is told of a run, in words and as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geobatch_tui.observability import figures
from geobatch_tui.observability.redact import redact, redact_value
from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell. Texts are safe to show, and hold no credentials.

    Attributes:
        event: ``end``, ``dead``, ``stall``, ``disk`` or ``test``.
        title: the job and what happened, in few words.
        text: a sentence or two.
        number: counts the alerts of a run, from 1.
        facts: run, state, counts and so on, JSON-ready.
    """

    event: str
    title: str
    text: str
    number: int = 0
    facts: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the event that a webhook or a command gets."""
        told = {"event": self.event, "title": self.title, "text": self.text}
        return {**told, **redact_value(dict(self.facts))}


def said(text: str) -> str:
    """Make a text safe to show anywhere, on one line, without credentials."""
    return harmless(redact(text))


def summary(
    items: Mapping[str, int], left: int, dead_by_class: Mapping[str, int], seconds: float
) -> str:
    """Say what became of a run: outputs, dead letters by class, chunks that are left, time."""
    dead = sum(dead_by_class.values())
    parts = [f"{figures.count(items['published'])} of {figures.count(items['total'])} published"]
    if dead:
        ranked = sorted(dead_by_class.items(), key=lambda each: -each[1])
        classes = ", ".join(f"{figures.count(count)} {name}" for name, count in ranked)
        parts.append(f"{figures.plural(dead, 'dead letter')} ({classes})")
    if left:
        parts.append(f"{figures.plural(left, 'chunk')} left")
    return f"{', '.join(parts)}, in {figures.duration(seconds)}"


def window_title(name: str, settled: int, total: int, dead: int, state: str = "") -> str:
    """Return what the terminal's title says of a run: ``63 % relief ✗2 — geobatch``."""
    share = f"{100 * settled // total} % " if total else ""
    letters = f" ✗{dead}" if dead else ""
    how = f" {state}" if state and state != "running" else ""
    return said(f"{share}{name}{letters}{how} — geobatch")
