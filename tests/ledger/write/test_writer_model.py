"""Any sequence of valid updates, in any grouping, leaves what a plain model says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import (
    ChunkDone,
    ChunkReleased,
    ChunkStarted,
    ChunkWaiting,
    DeadLetter,
    ItemChanged,
    ItemPlanned,
    ItemPublished,
    ItemRow,
    ItemState,
)
from geobatch_tui.ledger.write.writer import Ledger

OPEN = ("pending", "running", "retry")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "start",
                "start",
                "done",
                "done",
                "wait",
                "release",
                "bury",
                "bury_item",
                "plan",
                "replan",
                "adopt",
                "change",
                "publish",
                "requeue",
                "drop",
                "crash",
                "cut",
            ]
        ),
        st.integers(0, 1000),
    ),
    max_size=60,
)


class Model:
    """What the ledger should hold, in dictionaries; emits updates that are valid in its state."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.items: dict[int, ItemState] = {}
        self.ranges: dict[int, range] = {}
        self.chunks: dict[int, str] = {}
        self.lettered: set[int] = set()
        self.next_item = self.next_chunk = 1

    def row(self, item: int, n: int) -> ItemRow:
        first, self.next_chunk = self.next_chunk, self.next_chunk + n
        self.ranges[item] = range(first, first + n)
        key = f"{item}.tif"
        digests = ("a", "b", "c", "d")
        return ItemRow(item, key, "in", 1, 1, *digests, {"n": n}, {}, key, first, n, out_digest="e")

    def forget(self, item: int) -> None:
        for chunk in self.ranges.pop(item, ()):
            del self.chunks[chunk]
        self.items.pop(item, None)
        self.lettered.discard(item)

    def owner(self, chunk: int) -> int:
        return next(item for item, chunks in self.ranges.items() if chunk in chunks)

    def pick(self, choice: int, *states: str) -> int | None:
        """A chunk in one of these states, of a planned item."""
        fit = [
            chunk
            for chunk, state in self.chunks.items()
            if state in states and self.items[self.owner(chunk)] is ItemState.PLANNED
        ]
        return fit[choice % len(fit)] if fit else None

    def pick_item(self, choice: int, *states: ItemState) -> int | None:
        fit = [item for item, state in self.items.items() if state in states]
        return fit[choice % len(fit)] if fit else None

    # --- steps: each returns an update, or None where it does not apply

    def start(self, choice):
        if chunk := self.pick(choice, "pending", "retry"):
            self.chunks[chunk] = "running"
            return ChunkStarted(chunk)
        return None

    def done(self, choice):
        if chunk := self.pick(choice, "running"):
            self.chunks[chunk] = "done"
            where = (f"s{choice % 3}", choice, 1, 1)
            return ChunkDone(chunk, self.owner(chunk), 1, *where, 1, 1, 1, 0.1, 0.0, 1)
        return None

    def wait(self, choice):
        if chunk := self.pick(choice, "running"):
            self.chunks[chunk] = "retry"
            return ChunkWaiting(chunk, choice % 5, 0, choice % 2, choice, "X", "m")
        return None

    def release(self, choice):
        if chunk := self.pick(choice, "running"):
            self.chunks[chunk] = "pending"
            return ChunkReleased(chunk)
        return None

    def bury(self, choice):
        if chunk := self.pick(choice, *OPEN):
            self.chunks[chunk] = "dead"
            return DeadLetter(self.owner(chunk), chunk, 1, 0, f"E{choice % 2}", {"chunk": "c"})
        return None

    def bury_item(self, choice):
        item = self.pick_item(choice, ItemState.PLANNED, ItemState.HELD)
        if item is None:
            return None
        self.items[item] = ItemState.DEAD
        self.lettered.add(item)
        for chunk in self.ranges[item]:
            if self.chunks[chunk] in OPEN:
                self.chunks[chunk] = "dead"
        return DeadLetter(item, None, 1, 0, f"E{choice % 2}", {"item": "i"})

    def plan(self, choice):
        item, self.next_item = self.next_item, self.next_item + 1
        row = self.row(item, 1 + choice % 6)
        self.items[item] = ItemState.PLANNED
        self.chunks.update(dict.fromkeys(self.ranges[item], "pending"))
        return ItemPlanned(row)

    def replan(self, choice):
        item = self.pick_item(choice, *ItemState)
        if item is None:
            return None
        self.forget(item)
        row = self.row(item, 1 + choice % 6)
        self.items[item] = ItemState.PLANNED
        self.chunks.update(dict.fromkeys(self.ranges[item], "pending"))
        return ItemPlanned(row)

    def adopt(self, choice):
        item = self.pick_item(choice, *ItemState) if choice % 2 else None
        if item is None:
            item, self.next_item = self.next_item, self.next_item + 1
        self.forget(item)
        row = self.row(item, 1 + choice % 6)
        self.items[item] = ItemState.PUBLISHED
        self.chunks.update(dict.fromkeys(self.ranges[item], "done"))
        return ItemPlanned(row, adopted=True)

    def change(self, choice):
        calm = [ItemState.PLANNED, ItemState.HELD]
        item = self.pick_item(choice, *calm, ItemState.ORPHAN, ItemState.DEAD)
        if item is None:
            return None
        state = [*calm, ItemState.ORPHAN][choice % 3]
        if item in self.lettered:
            # Such an item can only leave the job, and come back as what it was.
            left = self.items[item] is ItemState.ORPHAN
            state = ItemState.PLANNED if left else ItemState.ORPHAN
        self.items[item] = state
        if item in self.lettered and state is ItemState.PLANNED:
            self.items[item] = ItemState.DEAD
        return ItemChanged(item, state, "because")

    def publish(self, choice):
        item = self.pick_item(choice, ItemState.PLANNED)
        if item is None or any(self.chunks[chunk] in OPEN for chunk in self.ranges[item]):
            return None
        self.items[item] = ItemState.PUBLISHED
        part = self.out / f".{item}.part"
        part.write_bytes(b"whole")
        return ItemPublished(item, str(part), 5, "e", {})

    # --- what is no update

    def requeue(self) -> None:
        for item, state in self.items.items():
            dead = [chunk for chunk in self.ranges[item] if self.chunks[chunk] == "dead"]
            if state is ItemState.ORPHAN or not (dead or item in self.lettered):
                continue
            redo = self.ranges[item] if state is ItemState.PUBLISHED else dead
            self.chunks.update(dict.fromkeys(redo, "pending"))
            self.items[item] = ItemState.PLANNED
            self.lettered.discard(item)

    def crash(self) -> None:
        for chunk, state in self.chunks.items():
            if state in ("running", "retry"):
                self.chunks[chunk] = "pending"


def compare(path: Path, model: Model) -> None:
    """The ledger's counters, states and audit against the model."""
    with LedgerReader(path) as reader:
        assert reader.audit() == []
        counted = Counter(
            state
            for chunk, state in model.chunks.items()
            if model.items[model.owner(chunk)] is not ItemState.ORPHAN
        )
        counts = reader.counts()
        assert {name: n for name, n in counts.items() if n and name != "total"} == dict(counted)
        assert counts["total"] == counted.total()
        found = {row.item_id: row.state for row in reader.items()}
        assert found == model.items
        names = {"RETRY_WAIT": "retry"}
        chunks = {
            chunk.chunk_id: names.get(chunk.state.name, chunk.state.name.lower())
            for item in found
            for chunk in reader.chunks(item)
        }
        assert chunks == model.chunks


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_the_ledger_is_what_the_model_says(steps):
    """Counters, states and the audit hold at every cut, over crashes, requeues and drops."""
    with TemporaryDirectory() as name:
        out = Path(name)
        (out / ".geobatch").mkdir()
        path = out / ".geobatch" / "ledger.db"
        model = Model(out)
        ledger = Ledger.open(path)
        try:
            ledger.begin_run("r", {}, {})
            batch = []
            for step, choice in [*steps, ("cut", 0)]:
                if step in ("requeue", "drop", "crash", "cut"):
                    ledger.apply(batch)
                    batch = []
                if step == "requeue":
                    ledger.requeue_dead()
                    model.requeue()
                elif step == "drop":
                    item = model.pick_item(choice, *ItemState)
                    if item is not None:
                        ledger.drop_items([item])
                        model.forget(item)
                elif step == "crash":
                    ledger.close(archive=bool(choice % 2))
                    ledger = Ledger.open(path)
                    ledger.recover()
                    ledger.begin_run("r", {}, {})
                    model.crash()
                elif step == "cut":
                    compare(path, model)
                elif (update := getattr(model, step)(choice)) is not None:
                    batch.append(update)
        finally:
            ledger.close(archive=False)
