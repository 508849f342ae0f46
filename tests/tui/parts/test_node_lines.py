"""The panel of workers on a cluster, by node."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from geobatch_tui.tui.run.model import NodeRow, View, WorkerRow, notices
from geobatch_tui.tui.run.progress_rates import latest
from geobatch_tui.tui.widgets.workers import Workers

GIB = 1 << 30


def node(number, **facts):
    host = f"host-{number}"
    named = {"name": f"n{number}", "label": f"{host} (tcp://h{number}:1)", "host": host}
    usual = {"slots": 16, "busy": 15, "chunks_per_min": 1234.0, "cpu": 14.6, "leases": 31}
    memory = {"rss_bytes": 20 * GIB, "memory_bytes": 64 * GIB}
    return NodeRow(**{"state": "up", **named, **usual, **memory, **facts})


def gone(number, state="lost", why="its Dask worker ended"):
    return NodeRow("", f"host-{number} (tcp://h{number}:1)", f"host-{number}", state, why)


def shown(width, height, *nodes, workers=()):
    view = View(live=True, state="running", nodes=nodes, workers=workers)
    lines = Workers().build(view, width, height)
    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width for line in lines)
    return lines


def texts(lines):
    return [line.plain for line in lines]


def test_a_line_a_node():
    """Host, processes busy of all, chunks a minute, cores, memory against its limit, leases."""
    head, line = texts(shown(80, 8, node(1)))
    assert line.split() == [
        "n1", "host-1", "15/16", "1.2k", "14.6", "20", "GiB/64", "GiB", "31",
    ]  # fmt: skip
    assert head.split() == ["node", "host", "busy", "ch/min", "cpu", "memory", "leases"]
    (line,) = texts(shown(36, 3, node(1)))
    assert line.split() == ["n1", "host-1", "15/16", "1.2k/min", "31.2%"]
    (line,) = texts(shown(30, 3, node(1)))
    assert line.split() == ["n1", "host-1", "15/16", "31.2%"]


@pytest.mark.parametrize(("share", "style"), [(0.5, ""), (0.75, "$warning"), (0.9, "$error")])
def test_memory_near_its_limit_is_marked(share, style):
    """From where nothing more is admitted, and where a process is about to be ended."""
    line = shown(80, 3, node(1, rss_bytes=int(share * 64 * GIB)))[1]
    marks = {str(span.style) for span in line.spans} & {"bold $warning", "bold $error"}
    assert marks == ({f"bold {style}"} if style else set())


def test_workers_stand_below_their_node_where_there_is_room():
    """And go first where there is none; nodes that do not fit are counted."""
    workers = tuple(
        WorkerRow(n, label=f"a.tif@0,{n}", kind="chunk", node=f"n{1 + n // 2}") for n in range(4)
    )
    both = (node(1), node(2))
    lines = texts(shown(80, 9, *both, workers=workers))
    assert [line.split()[0] for line in lines] == ["node", "n1", "0", "1", "n2", "2", "3"]
    lines = texts(shown(80, 6, *both, workers=workers))
    assert [line.split()[0] for line in lines] == ["node", "n1", "0", "1", "n2"]
    lines = texts(shown(80, 4, *(node(n) for n in range(9))))
    assert lines[-1] == "+7 nodes, 105/112 busy"


def test_why_a_node_is_gone():
    """The last of them, with their reasons; those that left as they should are no news."""
    why = "it does not see what the engine wrote to /out"
    nodes = (node(1), gone(2), gone(3, "refused", why), gone(4, "left", ""))
    lines = texts(shown(100, 9, *nodes))
    assert lines[2:] == [
        "host-2 (tcp://h2:1) lost: its Dask worker ended",
        f"host-3 (tcp://h3:1) refused: {why}",
    ]
    assert texts(shown(40, 3, *nodes))[-1].startswith("host-3 refused: it does not see")
    assert len(shown(80, 6, *(gone(n) for n in range(50)))) == 3


def test_the_note_of_a_node():
    """What the engine notes is what is shown, harmless; unknown fields are nothing."""
    noted = {
        "node": "n1", "label": "a (tcp://a:1)", "host": "a\x1b[1m", "state": "up", "workers": 4,
        "busy": 3, "chunks_per_min": 8.5, "cpu": 1.5, "rss": 7, "memory": 9, "leases": 6, "why": "",
    }  # fmt: skip
    facts = latest({"nodes": [noted, {"label": "b"}], "workers": {"3": {"pid": 0, "node": "n1"}}})
    first, second = facts["nodes"]
    assert "\x1b" not in first.host
    assert replace(first, host="a") == NodeRow(
        "n1", "a (tcp://a:1)", "a", "up", "", 4, 3, 8.5, 1.5, 7, 9, 6
    )
    assert (second.label, second.is_there) == ("b", False)
    assert facts["workers"][0].node == "n1"


def test_a_node_that_is_lost_or_refused_is_a_notice():
    """With its reason, once."""

    class Run:
        run_id = "r"

    before = View(run=Run(), state="running", nodes=(node(1), gone(2)))
    refused = gone(3, "refused", "no /out")
    after = replace(before, nodes=(*before.nodes, refused, gone(4, "left", "")))
    (notice,) = notices(before, after)
    assert notice == ("node refused", "host-3 (tcp://h3:1): no /out", "warning")
    assert not list(notices(after, after))
