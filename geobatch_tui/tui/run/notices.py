"""What is said when the state of a run changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from geobatch_tui.tui.kit import fixed_width as fmt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.tui.run.model import View


class Notice(NamedTuple):
    """A sentence for the operator."""

    title: str
    text: str
    severity: Literal["information", "warning", "error"]


def told(before: View, now: View) -> Iterator[Notice]:
    """Notices for what changed between two views; none for the first view of a run."""
    if before.run is None or now.run is None or before.run.run_id != now.run.run_id:
        return
    if before.state != now.state:
        yield from _turned(now)
    if now.suspended and now.suspended != before.suspended and "operator" not in now.suspended:
        yield Notice("waiting", f"nothing new is started: {now.suspended}", "warning")


def _turned(now: View) -> Iterator[Notice]:
    run = now.run
    if now.state == "crashed":
        yield Notice("crashed", "its process is gone; run the job again to resume", "error")
    elif run is not None and run.t1 is not None:
        letters = fmt.plural(now.dead_letters, "dead letter")
        done = fmt.plural(now.counts["done"], "chunk")
        text = f"{done} done, {letters}, exit code {run.exit_code}"
        severity: Literal["information", "warning"] = (
            "information" if run.exit_code == 0 else "warning"
        )
        yield Notice(f"run ended: {now.state}", text, severity)
    elif now.state in {"paused", "draining"}:
        yield Notice(now.state, "chunks in flight are finished, no others are started", "warning")
