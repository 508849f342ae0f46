"""What the history tells of a run, or of two of them, below the list."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.run.past_runs import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.past_runs import PastRun
    from geobatch_tui.tui.run.run_failures import FailureChanges

_SPARK: Final = 48  #: cells of a run's throughput
_LISTED: Final = 20  #: failures, of those that are new, and of those that are gone


def about(run: PastRun) -> Content:
    """Return the facts of a run."""
    row = run.row
    note = [("note  ", "$quiet"), (f"{run.remark}\n", "bold $accent")] if run.remark else []
    if row is None:
        return Content.assemble(
            (f"{run.fields()['dir']}\n", "bold"), f"{run.state}: {run.note}\n", *note
        )
    parts: list[tuple[str, str] | str] = [
        (f"{run.fields()['dir']}\n", "bold"),
        f"run {run.run_id}  {run.kind}  {run.state}",
        f"  on {run.host}" if run.host not in {"", os.uname().nodename} else "",
        f"  exit {row.exit_code}" if row.exit_code is not None else "",
        f"  took {figures.duration(run.seconds)}" if run.seconds is not None else "",
        f"  {safe(row.reason)}\n" if row.reason else "\n",
        *note,
        f"done {figures.count(row.n_done)}  dead {figures.count(row.n_dead)}  ",
        f"retried {figures.count(row.n_retry)}  in {figures.size(row.bytes_in)}  ",
        f"out {figures.size(row.bytes_out)}\n",
    ]
    if run.newest:
        parts.append(
            f"of {figures.plural(run.total, 'chunk')} there: {figures.count(run.left)} left, "
            f"{figures.count(run.dead)} dead\n"
        )
    return Content.assemble(*parts, *_spark("chunks", run.pace))


def comparison(before: PastRun, after: PastRun, failures: FailureChanges | None) -> Content:
    """Return what differs between two runs: values that change outputs, figures with how much more
    or less, then other values; and which failures are new or gone, where that is known."""
    found = sorted(compare(before, after), key=lambda entry: not entry.semantic)
    lines: list[Content] = [
        Content.assemble(
            (f"{before.run_id} → {after.run_id}", "bold"),
            ("   ! changes outputs", "$quiet") if any(d.semantic for d in found) else "",
        )
    ]
    width = max((len(entry.what) for entry in found), default=0)
    for entry in found:
        mark = ("! ", "bold $warning") if entry.semantic else ("  ", "")
        what = (f"{entry.what:<{width}}  ", "bold")
        share = (f"  {entry.share}", "bold $accent")
        lines.append(Content.assemble(mark, what, f"{entry.before} → {entry.after}", share))
    if not found:
        lines.append(Content("nothing differs"))
    top = max((*before.pace, *after.pace), default=0.0)
    for name, run in (("before", before), ("after", after)):
        if run.pace:
            lines.append(Content.assemble("  ", *_spark(name, run.pace, top)))
    if failures is not None:
        lines += _failed(failures, one_place=before.directory == after.directory)
    return Content("\n").join(lines)


def _failed(changes: FailureChanges, *, one_place: bool) -> list[Content]:
    """Return which failures are new or gone. ``one_place``: both runs are of one directory, so that
    what waits for another try there does in the later run, too."""
    if changes.is_whole and not (changes.new or changes.gone or changes.both):
        return []
    both = f", {figures.count(changes.both)} in both runs" if changes.both else ""
    lines = []
    if not (changes.new or changes.gone):
        lines.append(Content.assemble(("no failure is new or gone", "bold"), (both, "$quiet")))
    heads = (
        (f"{figures.plural(len(changes.new), 'failure')} new", "+ ", "bold $error", changes.new),
        (f"{figures.plural(len(changes.gone), 'failure')} gone", "- ", "$success", changes.gone),
    )
    for head, sign, style, failures in heads if changes.new or changes.gone else ():
        lines.append(Content.assemble((head, "bold"), (both, "$quiet")))
        both = ""
        for failure in failures[:_LISTED]:
            waits = "  not done yet" if one_place and failure.waits else ""
            lines.append(
                Content.assemble(
                    (sign, style),
                    f"{failure.where}  ",
                    (failure.error_class, "$warning"),
                    (f"  {failure.message}" if failure.message else "", "$quiet"),
                    (waits, "bold"),
                )
            )
        if len(failures) > _LISTED:
            more = f"  and {figures.count(len(failures) - _LISTED)} more"
            lines.append(Content.styled(more, "$quiet"))
    if not changes.is_whole:
        said = "  the ledgers no longer hold all failures of these runs"
        lines.append(Content.styled(said, "$quiet"))
    return lines


def _spark(name: str, pace: Sequence[float], top: float | None = None) -> list[tuple[str, str]]:
    """Return the throughput of a run as bars, from its begin to its end; nothing where it is
    unknown. ``top``: the value of a full bar."""
    if not pace:
        return []
    bars = fmt.sparkline(fmt.columns(pace, _SPARK), _SPARK, top).lstrip()
    return [(f"{name:<7}", "$quiet"), (bars, "$chunk-run")]
