"""Saves a draft to a job file; asks first what becomes of comments that are there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.config.job_reader import is_gdalg
from geobatch_tui.config.toml_writer import comments, write_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.parts.dialogs import Choice, PathDialog, Question

if TYPE_CHECKING:
    from geobatch_tui.tui.jobs.draft import Draft
    from geobatch_tui.tui.parts.console_app import Console

_BACKUP = ".bak"


async def save(app: Console, draft: Draft) -> Path | None:
    """Ask for a path and write the job there, whole or not at all; return it, None: left. Raises
    ConfigError where it cannot be written."""
    said = "As TOML, with absolute paths; what is the default is left out."
    path = await app.push_screen_wait(PathDialog("Save", said, _proposed(draft)))
    if path is None:
        return None
    found = await asyncio.to_thread(_comments, path)
    if found and not await _lose(app, path, found):
        return None
    await asyncio.to_thread(write_job, draft.loaded.job, path)
    return path


def _proposed(draft: Draft) -> Path:
    if draft.path is None:
        name = safe(draft.loaded.job.job.name).replace("/", "-").replace(" ", "")
        return Path.cwd() / f"{name}.toml"
    name = draft.path.name
    if is_gdalg(draft.path):
        name = name.removesuffix(".json").removesuffix(".gdalg")
    return draft.path.with_name(name).with_suffix(".toml")


async def _lose(app: Console, path: Path, found: int) -> bool:
    """Ask what becomes of comments; back the file up if wanted. Return whether to go on."""
    backup = path.with_name(f"{path.name}{_BACKUP}")
    answer = await app.push_screen_wait(
        Question(
            "Save",
            f"{safe(path.name)} has {figures.plural(found, 'comment')}, "
            "which the form does not keep.",
            (
                Choice("", "No", "write nothing"),
                Choice("both", "Both", f"the file as it is becomes {safe(backup.name)}"),
                Choice("lose", "Replace", "the comments are lost"),
            ),
        )
    )
    if answer == "both":
        await asyncio.to_thread(_copy, path, backup)
    return bool(answer)


def _comments(path: Path) -> int:
    try:
        return comments(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError):
        return 0  # there is none, or it is no job file whose comments anybody could miss
    except OSError as error:
        raise ConfigError(f"cannot read {safe(str(path))}: {error.strerror}") from error


def _copy(path: Path, backup: Path) -> None:
    import shutil

    try:
        shutil.copy2(path, backup)
    except OSError as error:
        raise ConfigError(f"cannot write {safe(str(backup))}: {error.strerror}") from error
