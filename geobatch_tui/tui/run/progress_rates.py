"""Rates and workers read from the engine's notes of progress; rates in the unit that is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.observability import figures
from geobatch_tui.observability.host_report import HostReport
from geobatch_tui.observability.rates import NAMES
from geobatch_tui.observability.second_bars import Total, bars
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.run.model import NodeRow, Sample, WorkerRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.observability.second_bars import Bar


def sample(t: float, data: Json) -> Sample:
    """Return the rates of a note; ``t`` is UNIX time. Fields that an older engine lacks are 0."""
    totals = tuple(float(total) for total in data.get("totals") or ())
    return Sample(
        t,
        **{name: float(data.get(name) or 0) for name in NAMES},
        totals=totals,
        held=bool(data.get("suspended")),
    )


def second_bars(history: Sequence[Sample], unit: Unit, last: int) -> list[Bar]:
    """Return what was finished in each of the ``last`` seconds that were noted, a second each, in
    this unit; none of a run whose notes have no totals, as those of older engines."""
    at = NAMES.index(unit.field)
    return bars(
        [
            Total(sample.t, sample.totals[at] * unit.factor, held=sample.held)
            for sample in history[-(last + 1) :]
            if sample.totals
        ],
        last,
    )


def latest(progress: Json) -> Json:
    """Return the fields of a view from the newest note, without its rates."""
    return {
        **{name: _seconds(progress.get(name)) for name in ("eta_s", "eta_low_s", "eta_high_s")},
        **{name: float(progress.get(name) or 0) for name in ("worked_s", "still_s", "stall_s")},
        "finishing": int(progress.get("finishing") or 0),
        "suspended": safe(str(progress.get("suspended") or "")),
        "rss_bytes": int(progress.get("rss_bytes") or 0),
        "budget_bytes": int(progress.get("budget_bytes") or 0),
        "workers": _workers(progress),
        "hosts": tuple(HostReport.of(host) for host in progress.get("hosts") or ()),
        "nodes": tuple(map(_node, progress.get("nodes") or ())),
    }


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)


def _node(facts: Json) -> NodeRow:
    def text(name: str) -> str:
        return safe(str(facts.get(name) or ""))

    return NodeRow(
        name=text("node"),
        label=text("label"),
        host=text("host"),
        state=text("state"),
        why=text("why"),
        slots=int(facts.get("workers") or 0),
        busy=int(facts.get("busy") or 0),
        chunks_per_min=float(facts.get("chunks_per_min") or 0.0),
        cpu=float(facts.get("cpu") or 0.0),
        rss_bytes=int(facts.get("rss") or 0),
        memory_bytes=int(facts.get("memory") or 0),
        leases=int(facts.get("leases") or 0),
    )


def _workers(progress: Json) -> tuple[WorkerRow, ...]:
    at = {int(number): entry for number, *entry in progress.get("working") or ()}
    known: Mapping[str, Json] = progress.get("workers") or {}
    if not isinstance(known, dict):
        known = {}
    rows = []
    for number in sorted({*at, *(int(number) for number in known)}):
        facts = known.get(str(number), {})
        label, seconds, kind = at.get(number, ("", 0.0, ""))
        rows.append(
            WorkerRow(
                number=number,
                pid=int(facts.get("pid") or 0),
                rss_bytes=int(facts.get("rss") or 0),
                label=safe(str(label)),
                seconds=float(seconds),
                kind=safe(str(kind)),
                done=facts.get("done"),
                failed=facts.get("failed"),
                node=safe(str(facts.get("node") or "")),
            )
        )
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of throughput: a field of a sample, a factor, and a name."""

    field: str
    factor: float
    name: str


UNITS: Final = (
    Unit("chunks_per_s", 60.0, "ch/min"),
    Unit("units_per_s", 1.0, ""),
    Unit("bytes_in_per_s", 1.0, "B/s in"),
    Unit("bytes_out_per_s", 1.0, "B/s out"),
)


def rate_of(unit: Unit, sample: Sample) -> float:
    """Return the rate of a sample in this unit."""
    return float(getattr(sample, unit.field)) * unit.factor


def name_of(unit: Unit, unit_name: str) -> str:
    """Return the name of a unit; ``unit_name`` is what the operation counts: px or features."""
    return unit.name or f"{unit_name}/s"


def text_of(unit: Unit, value: float, unit_name: str) -> str:
    """Return a rate with its unit: ``212 ch/min``, ``1.3 GiB/s in``, ``310 Mpx/s``."""
    name = name_of(unit, unit_name)
    if name.startswith("B/s"):
        return f"{figures.size(value, 7)}{name[1:]}"
    if name == "px/s":
        text = figures.amount(value)
        return f"{text[:-1]} {text[-1]}px/s" if text[-1].isalpha() else f"{text} px/s"
    return f"{figures.amount(value)} {name}"
