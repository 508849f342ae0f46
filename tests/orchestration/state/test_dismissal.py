"""Dead letters that an operator knows of, noted by a command or in the ledger of a run that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from run_project import Project
from scripted_session import planned, session_of

from geobatch_tui.errors import LockHeldError, PlanMismatchError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.state.dismissal import dismiss, dismissal

if TYPE_CHECKING:
    from pathlib import Path


def test_a_command_names_letters_by_id_and_time() -> None:
    made = dismissal({"letters": [[1, 2.5], ["3", "4"]], "note": "known"}, "uid 1, pid 2")
    assert made == lu.LettersDismissed(((1, 2.5), (3, 4.0)), "known", "uid 1, pid 2")
    assert dismissal({"letters": []}, "me").note is None


@pytest.mark.parametrize(
    "arguments",
    [{}, {"letters": "1"}, {"letters": [1]}, {"letters": [[1, None]]}, {"letters": [], "note": 3}],
)
def test_a_command_that_is_none(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        dismissal(arguments, "me")


async def test_letters_of_a_run_that_ended(tmp_path: Path) -> None:
    """By id and time: another letter with an old one's id is not taken for it."""
    project = Project(tmp_path)
    with session_of(project) as session:
        session.put(lu.ItemPlanned(planned(1, 1, 2)))
        session.put(lu.DeadLetter(1, 1, 1, 0, "SchemaError", {"chunk": "1.tif@0,0"}))
        await session.flush()
        with pytest.raises(LockHeldError):
            dismiss(project.out, [(1, 0.0)], "known")
    with LedgerReader(project.out / ".geobatch/ledger.db") as reader:
        (letter,) = reader.all_letters()
    pair = (letter.dead_id, letter.t)
    assert dismiss(project.out, [pair, (letter.dead_id + 1, letter.t)], "known") == 1
    assert dismiss(project.out, [(letter.dead_id, letter.t + 1.0)], "known") == 0

    def mark() -> Any:
        with LedgerReader(project.out / ".geobatch/ledger.db") as reader:
            (found,) = reader.all_letters()
        return found.record.get("dismissed")

    assert mark()["note"] == "known"
    assert dismiss(project.out, [pair], None) == 1
    assert mark() is None


def test_a_directory_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(PlanMismatchError):
        dismiss(tmp_path, [], None)
