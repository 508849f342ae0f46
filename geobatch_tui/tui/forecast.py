"""What a plan says, beside what the last run of the same directory was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual.content import Content

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.session import state_of_run
from geobatch_tui.tui import format as fmt
from geobatch_tui.tui.history import changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.tui.history import Difference

_NO_WORK: Final = "current"
_SHOWN: Final = 20

Piece = tuple[str, str]


def forecast(report: Mapping[str, Any], loaded: LoadedJob) -> Content:
    """A plan report for people: work, memory, disk, what was refused, what is stale and why.

    Args:
        report: as ``geobatch plan --json`` has it.
        loaded: the job that was planned.
    """
    lines = [_work(report), _resources(report)]
    differences = against_last(loaded)
    if differences is not None:
        lines.append([(_title(differences), "bold")])
        lines += [
            [
                ("! " if entry.semantic else "  ", "bold $warning"),
                (f"{entry.what}  ", "bold"),
                (f"{entry.before} → {entry.after}", ""),
            ]
            for entry in differences[:_SHOWN]
        ]
    for entry in report["refused"][:_SHOWN]:
        text = f"{entry['item']}: {entry['error_class']}: {entry['error_message']}"
        lines.append([(f"refused {text}", "bold $error")])
    lines += [[(safe(text), "$warning")] for text in report["warnings"][:_SHOWN]]
    return Content("\n").join(Content.assemble(*line) for line in lines)


def _work(report: Mapping[str, Any]) -> list[Piece]:
    reasons = sorted(report["reasons"].items(), key=lambda entry: -entry[1])
    stale = ", ".join(f"{fmt.count(count)} {reason}" for reason, count in reasons)
    todo = sum(count for reason, count in reasons if reason != _NO_WORK)
    return [
        (f"{fmt.count(report['items'])} items, {fmt.count(report['chunks'])} chunks  ", "bold"),
        (f"{fmt.count(todo)} to do", "bold $accent"),
        (f"  ({stale})" if stale else "", "$quiet"),
    ]


def _resources(report: Mapping[str, Any]) -> list[Piece]:
    output, free = report["output_bytes"], report["free_bytes"]
    memory = report["peak_memory_bytes"]
    return [
        (f"memory {fmt.size(memory).strip()}  " if memory else "", ""),
        (f"output at most {fmt.size(output).strip()}" if output else "nothing to write", ""),
        (f" of {fmt.size(free).strip()} free", "bold $error" if output > free else "$quiet"),
    ]


def _title(differences: Sequence[Difference]) -> str:
    if not differences:
        return "the job is that of the last run"
    semantic = sum(entry.semantic for entry in differences)
    return f"against the last run: {len(differences)} values differ, {semantic} change the outputs"


def against_last(loaded: LoadedJob) -> list[Difference] | None:
    """What differs from the job that the output directory was last run with; None: there was no
    run."""
    try:
        state = state_of_run(Path(loaded.job.output.dir))
        kept = json.loads(Path(state.plan).read_text(encoding="utf-8"))["job"]
    except (GeobatchError, OSError, ValueError, KeyError):
        return None
    return changed(kept, loaded.to_json()["job"])
