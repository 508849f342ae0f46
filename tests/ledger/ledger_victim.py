"""A small run that a test kills at a named place: three items of two chunks, one batch each.

As a process it reads an output directory and a place from each line of stdin, has a fork of itself
run there and die at that place, and answers with its exit status: what a run loads is loaded once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from geobatch_tui.ledger.place import durable
from geobatch_tui.ledger.place.durable import write_json_atomic
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema.updates import (
    ChunkDone,
    ChunkStarted,
    ItemPlanned,
    ItemPublished,
    ItemRow,
    ItemState,
    RunEnded,
)
from geobatch_tui.ledger.write.writer import Ledger

ITEMS = (1, 2, 3)


def row(out: Path, item_id: int) -> ItemRow:
    return ItemRow(
        item_id=item_id,
        key=f"{item_id}.tif",
        source="in.tif",
        src_size=1,
        src_mtime_ns=1,
        src_digest="a",
        params_digest="b",
        code_digest="c",
        fingerprint="d",
        params={},
        plan={},
        out_path=str(out / f"{item_id}.tif"),
        first_chunk=item_id * 2 - 1,
        n_chunks=2,
    )


def content(item_id: int) -> bytes:
    return b"pixels of item %d" % item_id


def finish(ledger: Ledger, out: Path, item_id: int) -> None:
    """Compute what is open of an item, and publish it."""
    first = item_id * 2 - 1
    item = ledger.item_by_key(f"{item_id}.tif")
    if item is None:
        ledger.apply([ItemPlanned(row(out, item_id))])
    elif item.state is ItemState.PUBLISHED:
        return
    for chunk in (first, first + 1):
        ledger.apply([ChunkStarted(chunk)])
    ledger.apply(
        [
            ChunkDone(chunk, item_id, 1, "s", chunk, 1, 1, 1, 1, 1, 0.1, 0.0, 1)
            for chunk in (first, first + 1)
        ]
    )
    part = out / f".{item_id}.{ledger.epoch}.part"
    part.write_bytes(content(item_id))
    ledger.apply([ItemPublished(item_id, str(part), len(content(item_id)), "e" * 32, {})])


def run(out: Path) -> None:
    state = StateDir.open(out, create=True)
    ledger = Ledger.open(state.ledger, out)
    ledger.recover()
    epoch = ledger.begin_run("victim", {}, {})
    write_json_atomic(state.plan, {"epoch": epoch})
    for item_id in ITEMS:
        finish(ledger, out, item_id)
    ledger.apply([RunEnded("complete", 0, "complete")])
    ledger.close()


def forked(out: Path, place: str) -> int:
    """Exit status of a process that runs, and dies at ``place`` if it gets there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            durable._name, durable._left = durable._parse(place)
            run(out)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            raise
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        out, _, place = line.rstrip("\n").rpartition("\t")
        print(forked(Path(out), place), flush=True)  # noqa: T201 - its answer
