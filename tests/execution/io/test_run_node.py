"""A node that the run counts in no more leaves no finished file."""

from __future__ import annotations

from pathlib import Path

import pytest

from geobatch_tui.errors import ClusterError
from geobatch_tui.execution.io import run_node
from geobatch_tui.execution.io.part_file import part_path
from geobatch_tui.execution.io.run_node import RunNode, enter_node, writer_name
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    ChunkTask,
    ItemContext,
    ItemPlan,
    SourceIdentity,
)
from geobatch_tui.execution.runtime.meter import ThreadMeter
from geobatch_tui.execution.runtime.recorder import Recorder
from geobatch_tui.execution.worker.tasks import run_task
from geobatch_tui.testing import OPS
from geobatch_tui.testing import ops as operations


@pytest.fixture
def passed(tmp_path, monkeypatch):
    """The pass of the node n3, which this process works for."""
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    path = tmp_path / "pass"
    path.touch()
    monkeypatch.setattr(run_node, "_node", RunNode())  # put back at the end
    enter_node(RunNode("n3", str(path)))
    return path


def whole(tmp_path: Path) -> ChunkTask:
    """A chunk that is a whole item."""
    plan = ItemPlan(ChunkGrid(1, 1, 1, 1), 1, 1, {})
    return ChunkTask(
        1,
        ItemContext(
            1, "a.tif", "a", SourceIdentity(1, 2, "a"), "f" * 32, "test.faulty", {}, {},
            str(tmp_path / "a.tif"), str(tmp_path / "work"), plan,
        ),
        0, 1, 5, whole=True,
    )  # fmt: skip


def test_names_are_those_of_the_node(passed, tmp_path):
    """Of two nodes no two writers, and no two parts of an item, have the same."""
    assert part_path(whole(tmp_path).item, 5).name == ".a.ffffffff.n3.5.part"
    assert writer_name().startswith("n3-")


def test_no_part_is_begun_without_a_pass(passed, tmp_path):
    """The run has given the item to others."""
    passed.unlink()
    with pytest.raises(ClusterError, match="n3 is no part of the run any more"):
        part_path(whole(tmp_path).item, 5)


@pytest.mark.parametrize("lost", [False, True])
def test_a_part_goes_if_the_node_was_lost_meanwhile(lost, passed, tmp_path, monkeypatch):
    """The engine looked for parts of the node before this one was complete, and looks no more."""
    write = operations._write_part

    def written(*arguments):
        receipt = write(*arguments)
        if lost:
            passed.unlink()
        return receipt

    monkeypatch.setattr(operations, "_write_part", written)
    outcome = run_task(whole(tmp_path), Recorder(), ThreadMeter(), None)
    parts = list(tmp_path.glob(".*.part"))
    if lost:
        assert outcome.failure.error_class == "ClusterError"
        assert parts == []
    else:
        assert [str(part) for part in parts] == [outcome.receipt.item.part_path]
