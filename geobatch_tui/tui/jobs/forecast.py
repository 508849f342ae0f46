"""A plan as text, with its differences from the last run of the same directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.place.regular_file import read_json
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.session import state_of_run
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.map.plan_map import STALE, STATES
from geobatch_tui.tui.run.past_runs import changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.tui.run.past_runs import Difference

_NO_WORK: Final = frozenset({"current", "was_failed"})
_SHOWN: Final = 20

Piece = tuple[str, str]


def forecast(report: Json, loaded: LoadedJob) -> Content:
    """Return the report of a job's plan, as ``geobatch plan --json`` has it, as text: work, memory,
    disk, what was refused, what is stale and why."""
    lines = [_work(report), *_reasons(report), _resources(report)]
    differences = against_last(loaded)
    if differences is not None:
        lines.append([(_title(differences), "bold")])
        lines += [_difference(entry, report["changed"]) for entry in differences[:_SHOWN]]
    # What an earlier run changed and did not finish.
    known = {entry.what for entry in differences or ()}
    lines += [
        [("! ", "bold $warning"), (f"{safe(key)}  ", "bold"), (_stale(count), "bold $warning")]
        for key, count in report["changed"].items()
        if safe(key) not in known
    ]
    for entry in report["refused"][:_SHOWN]:
        text = f"{entry['item']}: {entry['error_class']}: {entry['error_message']}"
        lines.append([(f"refused {text}", "bold $error")])
    lines += [[(safe(text), "$warning")] for text in report["warnings"][:_SHOWN]]
    return Content("\n").join(Content.assemble(*line) for line in lines)


def _work(report: Json) -> list[Piece]:
    todo = sum(count for reason, count in report["reasons"].items() if reason not in _NO_WORK)
    todo -= len(report["refused"])
    items = figures.plural(report["items"], "item")
    chunks = figures.plural(report["chunks"], "chunk")
    return [(f"{items}, {chunks}  ", "bold"), (f"{figures.count(todo)} to do", "bold $accent")]


def _reasons(report: Json) -> list[list[Piece]]:
    """Return a line for each reason with its number of chunks, in the looks of the map."""
    pieces: list[Piece] = []
    for reason, count in sorted(report["reasons"].items(), key=lambda entry: -entry[1]):
        look = LOOKS[STATES.get(reason, STALE)]
        pieces += [(look.glyph, look.style), (f" {figures.count(count)} {reason}  ", "")]
    return [pieces] if pieces else []


def _difference(entry: Difference, stale: Mapping[str, int]) -> list[Piece]:
    count = stale.get(entry.what, 0)
    return [
        ("! " if entry.semantic else "  ", "bold $warning"),
        (f"{entry.what}  ", "bold"),
        (f"{entry.before} → {entry.after}", ""),
        (f"  {_stale(count)}" if count else "", "bold $warning"),
    ]


def _stale(chunks: int) -> str:
    return f"{figures.plural(chunks, 'chunk')} stale"


def _resources(report: Json) -> list[Piece]:
    output, free = report["output_bytes"], report["free_bytes"]
    memory = report["peak_memory_bytes"]
    return [
        (f"memory {figures.size(memory)}  " if memory else "", ""),
        (f"output at most {figures.size(output)}" if output else "nothing to write", ""),
        (f" of {figures.size(free)} free", "bold $error" if output > free else "$quiet"),
    ]


def compared(draft: Draft) -> Content:
    """Return what differs from the file of a job, or from its run, and from the last run of its
    directory."""
    lines: list[list[Piece]] = []
    if draft.path is not None:
        try:
            file = Draft.of_file(draft.path).loaded.to_json()["job"]
        except GeobatchError as error:
            lines.append([(f"the file cannot be read: {safe(str(error))}", "bold $error")])
        else:
            lines += _against(changed(file, draft.loaded.to_json()["job"]), "its file")
    elif draft.run_job is not None:
        job = draft.loaded.to_json()["job"]
        lines += _against(changed(draft.run_job["job"], job), "what it was made from")
    found = against_last(draft.loaded)
    if found is None:
        lines.append([("there was no run in its output directory", "$quiet")])
    else:
        lines += _against(found, "the last run")
    if not draft.right:
        lines.append([("what is wrong (!) is not compared", "$warning")])
    return Content("\n").join(Content.assemble(*line) for line in lines)


def _against(found: Sequence[Difference], what: str) -> list[list[Piece]]:
    """Return lines of differences, below what they are from."""
    if not found:
        return [[(f"as {what}", "bold")]]
    many = figures.plural(len(found), "value")
    return [[(f"against {what}: {many}", "bold")], *(_difference(one, {}) for one in found)]


def _title(differences: Sequence[Difference]) -> str:
    if not differences:
        return "the job is that of the last run"
    semantic = sum(entry.semantic for entry in differences)
    differ = "differs" if len(differences) == 1 else "differ"
    change = "changes" if semantic == 1 else "change"
    return (
        f"against the last run: {figures.plural(len(differences), 'value')} {differ}, "
        f"{semantic} {change} the outputs"
    )


def against_last(loaded: LoadedJob) -> list[Difference] | None:
    """Return differences from the job that the output directory was last run with; None: there was
    no run."""
    try:
        state = state_of_run(local_place(loaded.job.output.dir))
        last_job = read_json(Path(state.plan))["job"]
    except (GeobatchError, OSError, ValueError, KeyError, TypeError):
        return None
    return changed(last_job, loaded.to_json()["job"])
