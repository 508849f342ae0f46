"""Lays out a snapshot of a run in a few lines, for the progress of ``run`` and for ``watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.cli.display import streams
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType
    from rich.text import Text

    from geobatch_tui.observability.snapshot import Snapshot

SHOWN = 4
"""Current chunks that are listed."""
_WIDEST = 100
_GLYPHS = {"done": "━", "dead": "×", "left": "╌"}
_STYLES = {"done": "green", "dead": "bold red", "left": "dim"}
_STATE_STYLES = {"running": "green", "planning": "cyan", "draining": "yellow", "success": "green"}
_FAR = 100 * 3600.0


def glance(snapshot: Snapshot, width: int) -> RenderableType:
    """The lines of a snapshot, none wider than ``width`` columns."""
    from rich.console import Group

    width = max(20, min(width - 1, _WIDEST))
    published = f"{snapshot.items['published']:,} of {snapshot.items['total']:,} published"
    lines = [
        _ends(_title(snapshot), _clock(snapshot), width),
        bar(snapshot.counts, width),
        _ends(_counts(snapshot.counts), streams.foreign(published, style="dim"), width),
        _rates(snapshot),
    ]
    if snapshot.suspended:
        lines.append(streams.foreign(f"waiting: {snapshot.suspended}", style="yellow"))
    elif snapshot.stalls:
        still = figures.duration(snapshot.still_s)
        lines.append(streams.foreign(f"no chunk for {still}", style="bold yellow"))
    if snapshot.finishing:
        outputs = figures.plural(snapshot.finishing, "output")
        lines.append(streams.foreign(f"{outputs} being put together or published", style="dim"))
    lines += [_working(*entry) for entry in snapshot.working[:SHOWN]]
    more = len(snapshot.working) - SHOWN
    if more > 0:
        lines.append(streams.foreign(f"  and {more} more", style="dim"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def bar(counts: Mapping[str, int], width: int) -> Text:
    """Shares of chunks as a bar of ``width`` cells: finished, dead, left. Glyphs differ too, so it
    reads without colours; a share above zero has a cell at least."""
    from rich.text import Text

    percent = (
        f" {100 * settled(counts) / total:5.1f} %" if (total := counts["total"]) else "     - %"
    )
    room = width - len(percent)
    text = Text(no_wrap=True)
    for part, cells in shares(counts, room).items():
        text.append(_GLYPHS[part] * cells, style=_STYLES[part])
    return text.append(percent, style="bold")


def settled(counts: Mapping[str, int]) -> int:
    """Chunks that need no more work in this run."""
    return counts["done"] + counts["current"] + counts["dead"]


def shares(counts: Mapping[str, int], cells: int) -> dict[str, int]:
    """``cells`` divided among finished, dead and left chunks."""
    total = max(counts["total"], 1)
    finished = settled(counts) - counts["dead"]
    dead = max(1, cells * counts["dead"] // total) if counts["dead"] else 0
    done = min(max(1, cells * finished // total), cells - dead) if finished else 0
    return {"done": done, "dead": dead, "left": cells - done - dead}


def _title(snapshot: Snapshot) -> Text:
    text = streams.foreign(snapshot.job or snapshot.run_id, style="bold")
    text.append("  ")
    text.append(harmless(snapshot.state), style=_STATE_STYLES.get(snapshot.state, "yellow"))
    return text


def _clock(snapshot: Snapshot) -> Text:
    elapsed = figures.duration(snapshot.elapsed_s)
    if snapshot.eta_s is None or snapshot.eta_s > _FAR:
        return streams.foreign(elapsed)
    left = figures.time_left(snapshot.eta_low_s, snapshot.eta_s, snapshot.eta_high_s)
    return streams.foreign(f"{elapsed}, about {left} left")


def _counts(counts: Mapping[str, int]) -> Text:
    from rich.text import Text

    text = Text()
    for key, style in (
        ("done", "green"),
        ("current", "cyan"),
        ("running", "yellow"),
        ("dead", "red"),
        ("pending", "dim"),
    ):
        if (count := counts[key]) or key == "done":
            text.append(f"{count:,} {key}  ", style=style)
    return text


def _rates(snapshot: Snapshot) -> Text:
    parts = [f"{figures.rate(snapshot.chunks_per_s)} chunks/s"]
    if snapshot.unit_name == "px":
        parts.append(f"{figures.rate(snapshot.units_per_s / 1e6)} Mpx/s")
    elif snapshot.unit_name:
        parts.append(f"{figures.rate(snapshot.units_per_s)} {snapshot.unit_name}/s")
    parts.append(figures.plural(snapshot.workers, "worker"))
    if snapshot.rss_bytes:
        budget = f" of {figures.size(snapshot.budget_bytes)}" if snapshot.budget_bytes else ""
        parts.append(f"{figures.size(snapshot.rss_bytes)}{budget}")
    return streams.foreign("  ".join(parts))


def _working(worker: int, label: str, seconds: float, kind: str) -> Text:
    text = streams.foreign(f"  {worker:>2}  ", style="dim")
    text.append(harmless(label))
    stage = f"  {harmless(kind)}" if kind not in {"", "chunk"} else ""
    return text.append(f"{stage}  {figures.duration(seconds)}", style="dim")


def _ends(left: Text, right: Text, width: int) -> Text:
    """Both on one line, at its two ends; the right one goes first where there is no room."""
    gap = width - left.cell_len - right.cell_len
    if gap < 1:
        return left
    left.append(" " * gap)
    return left.append_text(right)
