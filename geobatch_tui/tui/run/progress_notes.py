"""The engine's notes of progress, read as rates and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geobatch_tui.observability.text import safe
from geobatch_tui.tui.run.model import Sample, WorkerRow

if TYPE_CHECKING:
    from collections.abc import Mapping


def sample(t: float, data: Mapping[str, Any]) -> Sample:
    """The rates of a note; ``t`` is UNIX time. What an older engine did not tell is 0."""
    return Sample(
        t=t,
        chunks_per_s=float(data.get("chunks_per_s") or 0),
        units_per_s=float(data.get("units_per_s") or 0),
        bytes_in_per_s=float(data.get("bytes_in_per_s") or 0),
        bytes_out_per_s=float(data.get("bytes_out_per_s") or 0),
        rss_bytes=int(data.get("rss_bytes") or 0),
    )


def told(progress: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine's newest note says beyond the rates."""
    eta = progress.get("eta_s")
    return {
        "eta_s": None if eta is None else float(eta),
        "suspended": safe(str(progress.get("suspended") or "")),
        "rss_bytes": int(progress.get("rss_bytes") or 0),
        "workers": _workers(progress),
    }


def _workers(progress: Mapping[str, Any]) -> tuple[WorkerRow, ...]:
    at = {int(number): entry for number, *entry in progress.get("working") or ()}
    known: Mapping[str, Mapping[str, Any]] = progress.get("workers") or {}
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
            )
        )
    return tuple(rows)
