"""The nodes of a cluster, a line each: work, CPU, memory against its limit; and why some are
gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.tui.run.model import NodeRow, View, WorkerRow

#: Cells from which on the columns have a head, leases one of their own, and a narrow line a rate.
WIDE: Final = 64
_LEASES_FROM: Final = 72
_RATE_FROM: Final = 36
#: Shares of its memory from which on a node is marked: where nothing more is admitted, and where
#: its largest process is about to be ended.
_HIGH, _FULL = 0.70, 0.85


def node_lines(
    view: View, width: int, height: int, row: Callable[[WorkerRow], Content]
) -> list[Content]:
    """Return the lines of all nodes that fit, with their worker processes where there is room.

    Args:
        view: the run.
        width: cells.
        height: lines at most.
        row: makes the line of a worker process.
    """
    there = [node for node in view.nodes if node.is_there]
    gone = [node for node in view.nodes if node.state in {"lost", "refused"}]
    lines = [_head(width)] if width >= WIDE else []
    # The last to go are news: a third of the panel is theirs.
    news = gone[-max(1, height // 3) :]
    room = max(0, height - len(lines) - len(news))
    shown = there if len(there) <= room else there[: max(0, room - 1)]
    room -= len(shown) + (len(shown) < len(there))
    for node in shown:
        lines.append(_line(node, width))
        workers = [worker for worker in view.workers if worker.node == node.name]
        if len(workers) <= room:
            room -= len(workers)
            lines += map(row, workers)
    if len(shown) < len(there):
        lines.append(_rest(there[len(shown) :]))
    lines += [_gone(node, width) for node in news]
    return lines[:height]


def _head(width: int) -> Content:
    leases = " leases" if width >= _LEASES_FROM else ""
    host = fmt.fit("host", _host_width(width))
    text = f"node {host}    busy  ch/min   cpu           memory{leases}"
    return Content.assemble((fmt.fit(text, width), "$quiet"))


def _line(node: NodeRow, width: int) -> Content:
    busy = f"{node.busy}/{node.slots}"
    name = fmt.fit(node.name, 4)
    share = node.rss_bytes / node.memory_bytes if node.memory_bytes else 0.0
    style = "bold $error" if share >= _FULL else "bold $warning" if share >= _HIGH else ""
    leaving = node.state == "leaving"
    if width < WIDE:
        rate = f" {figures.amount(node.chunks_per_min):>5}/min"
        per_minute = rate if width >= _RATE_FROM else ""
        memory = f" {figures.percent(node.rss_bytes, node.memory_bytes or 1):>4}"
        host = max(1, width - 5 - 8 - len(per_minute) - len(memory))
        return Content.assemble(
            (f"{name} ", "$quiet"),
            (fmt.fit_middle(node.host, host), "$quiet" if leaving else "bold"),
            fmt.right(busy, 8),
            (per_minute, ""),
            (memory, style),
        )
    size = f"{figures.size(node.rss_bytes, 7)}/{figures.size(node.memory_bytes, 7).strip()}"
    parts: list[str | tuple[str, str]] = [
        (f"{name} ", "$quiet"),
        (fmt.fit_middle(node.host, _host_width(width)), "$quiet" if leaving else "bold"),
        fmt.right("leaving" if leaving and not node.busy else busy, 8),
        f" {figures.amount(node.chunks_per_min):>7}",
        (f" {node.cpu:>5.1f}", "$quiet"),
        (fmt.right(size, 17), style),
    ]
    if width >= _LEASES_FROM:
        parts.append((f" {node.leases:>6}", "$quiet"))
    return Content.assemble(*parts)


def _host_width(width: int) -> int:
    """Return the cells that the other columns leave for the name of the host."""
    return max(8, width - (5 + 8 + 8 + 6 + 17 + (7 if width >= _LEASES_FROM else 0)))


def _rest(nodes: Sequence[NodeRow]) -> Content:
    """Sum up the nodes that do not fit."""
    busy, slots = sum(node.busy for node in nodes), sum(node.slots for node in nodes)
    text = f"+{figures.plural(len(nodes), 'node')}, {busy}/{slots} busy"
    return Content.assemble((text, "$quiet"))


def _gone(node: NodeRow, width: int) -> Content:
    """Say what became of a node, and why; the reason is cut last."""
    state = f"{node.state}: "
    name = node.label if len(node.label) + len(state) + len(node.why) < width else node.host
    style = "bold $error" if node.state == "refused" else "bold $warning"
    name = fmt.fit_middle(name, min(len(name), max(6, width // 3)))
    room = max(0, width - len(name) - 1 - len(state))
    return Content.assemble(
        (f"{name} ", "bold"), (state, style), (fmt.fit(node.why, min(len(node.why), room)), "")
    )
