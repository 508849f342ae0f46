"""Notes of the user to runs. They lie in the user's own state directory: a run's ledger may belong
to somebody else, and says what happened, not what one thinks of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.durable import write_json_atomic
from geobatch_tui.observability.text import harmless
from geobatch_tui.orchestration.state.run_index import index_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEPT: Final = 500
"""Directories with notes; those whose notes are the oldest are dropped."""

_LONGEST: Final = 500  #: characters of a note


def notes_of(directory: Path) -> Mapping[str, str]:
    """Return the notes to the runs of a directory, by their ids; what cannot be read is none."""
    with contextlib.suppress(OSError, ValueError, AttributeError, RuntimeError):
        found = json.loads(_file(directory).read_text(encoding="utf-8"))
        return {
            str(run_id): harmless(text)[:_LONGEST]
            for run_id, text in found["notes"].items()
            if isinstance(text, str)
        }
    return {}


def put_note(directory: Path, run_id: str, text: str) -> None:
    """Keep a note to a run in place of the one before; an empty one is none. Raises StateError
    where it cannot be written."""
    try:
        path = _file(directory)
        notes = {**notes_of(directory), run_id: text.strip()[:_LONGEST]}
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {key: note for key, note in notes.items() if note}
        write_json_atomic(path, {"directory": os.fsdecode(directory.absolute()), "notes": kept})
        ages = sorted(path.parent.glob("*.json"), key=lambda file: -file.stat().st_mtime_ns)
        for old in ages[_KEPT:]:
            old.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        raise StateError(f"the note cannot be kept: {error}") from error


def _file(directory: Path) -> Path:
    name = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:24]
    return index_dir().parent / "run-notes" / f"{name}.json"
