"""Options of a run that no job file sets: what to try again, what to show, how long to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from geobatch_tui.observability.lines import early_line
from geobatch_tui.orchestration.state.repaired_files import install
from geobatch_tui.orchestration.state.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.ledger.write.writer import Ledger
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.run.control import Control


@dataclass(frozen=True, slots=True)
class Requeue:
    """Dead letters to try again: all (both empty), by error class, or by chunk or item key.
    ``replanned``: ids of items that the ledger forgets, so that they are planned anew;
    ``replaced``: an item, and a file of repaired features for it."""

    classes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    replanned: tuple[int, ...] = ()
    replaced: tuple[str, Path] | None = None

    def apply(self, ledger: Ledger, output_dir: Path) -> None:
        if self.replaced is not None:
            install(state_of_run(output_dir).root, *self.replaced)
        ledger.requeue_dead(self.classes or None, self.keys or None)
        if self.replanned:
            ledger.drop_items(self.replanned)


@dataclass(frozen=True, slots=True)
class Sample:
    """Part of a job: only these inputs, and of their items only these chunks, by item key, with so
    many workers at most. The chunks are those of the whole job: its workers decide their size."""

    inputs: Sequence[Input]
    chunks: Mapping[str, Collection[int]]
    workers: int

    def chunk_ids(self, reader: LedgerReader) -> frozenset[int]:
        """Return the ids of the chunks, once their items are planned."""
        rows = [(reader.item_by_key(key), indexes) for key, indexes in self.chunks.items()]
        return frozenset(
            row.first_chunk + index
            for row, indexes in rows
            if row is not None
            for index in indexes
            if index < row.n_chunks
        )


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one run. ``observe`` gets a snapshot four times a second;
    ``log_stream`` gets each line of log (with its newline left to the receiver). With ``sample``
    no more than that is run, and the user's index of runs does not hear of it."""

    fresh: bool = False
    requeue: Requeue | None = None
    observe: Callable[[Snapshot], None] | None = None
    log_stream: Callable[[str], None] | None = None
    log_format: Literal["json", "text"] = "json"
    max_duration: float | None = None
    adopt_only: bool = False
    control: Control | None = None
    sample: Sample | None = None

    def say(self, event: str, message: str) -> None:
        """Tell whoever reads log lines what happens before there is a log."""
        if self.log_stream is not None:
            self.log_stream(early_line(event, message, as_text=self.log_format == "text"))

    def observer(self) -> Callable[[Snapshot], None] | None:
        """Return what takes snapshots at the moment; None: nothing does."""
        return self.observe or (self.control.observe if self.control is not None else None)
