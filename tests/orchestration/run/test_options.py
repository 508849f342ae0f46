"""Options that change a ledger before a run, or choose part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import planned, session_of

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run.options import Requeue, Sample

if TYPE_CHECKING:
    from pathlib import Path


class Ledger:
    """Stands for the ledger: keeps what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def requeue_dead(self, classes: Any, keys: Any) -> None:
        self.calls.append(("requeue", classes, keys))

    def drop_items(self, ids: Any) -> None:
        self.calls.append(("drop", ids))


@pytest.mark.parametrize(
    ("requeue", "calls"),
    [
        (Requeue(), [("requeue", None, None)]),
        (Requeue(("SchemaError",)), [("requeue", ("SchemaError",), None)]),
        (Requeue(keys=("a@0,0",)), [("requeue", None, ("a@0,0",))]),
        (Requeue(replanned=(3, 4)), [("requeue", None, None), ("drop", (3, 4))]),
    ],
)
def test_letters_are_requeued(requeue: Requeue, calls: list[Any], tmp_path: Path) -> None:
    """Empty means all; items that are planned anew are forgotten, after that."""
    ledger: Any = Ledger()
    requeue.apply(ledger, tmp_path)
    assert ledger.calls == calls


def test_repaired_features_are_there_before_the_letters_are_requeued(tmp_path: Path) -> None:
    (tmp_path / ".geobatch").mkdir(mode=0o700)
    repaired = tmp_path / "mended.gpkg"
    repaired.write_bytes(b"features")
    place = tmp_path / ".geobatch/replaced/a.gpkg/repaired.gpkg"

    class Looking(Ledger):
        def requeue_dead(self, classes: Any, keys: Any) -> None:
            assert place.read_bytes() == b"features"
            super().requeue_dead(classes, keys)

    ledger: Any = Looking()
    Requeue(replaced=("a.gpkg", repaired)).apply(ledger, tmp_path)
    assert len(ledger.calls) == 1


async def test_a_sample_knows_its_chunks_once_they_are_planned(tmp_path: Path) -> None:
    """Of items that are in the ledger; a number that their new grid lacks is left out."""
    with session_of(Project(tmp_path)) as session:
        for row in (planned(1, 1, 3), planned(2, 4, 2)):
            session.put(lu.ItemPlanned(row))
        await session.flush()
        sample = Sample([], {"1.tif": [0, 2], "2.tif": [1, 2], "gone.tif": [0]}, 2)
        assert sample.chunk_ids(session.reader) == {1, 3, 5}
