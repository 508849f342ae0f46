"""Saves a draft to a job file: in place where it came from one, so that its comments stay; else
anew, after a question what becomes of comments that are there."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geobatch_tui.config.chains import written_steps
from geobatch_tui.config.fields import leaves
from geobatch_tui.config.job_reader import is_gdalg
from geobatch_tui.config.paths import presets
from geobatch_tui.config.schema import dump_job
from geobatch_tui.config.sources import STEP, STEPS, typed
from geobatch_tui.config.storage.store_section import STORES
from geobatch_tui.config.writing.toml_editing import edited_toml
from geobatch_tui.config.writing.toml_writer import comments, write_job, write_text
from geobatch_tui.errors import ConfigError, GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.parts.dialogs import Choice, PathDialog, Question

if TYPE_CHECKING:
    from geobatch_tui.config.fields import Leaf
    from geobatch_tui.config.schema import Job
    from geobatch_tui.tui.parts.console_app import Console

    type Step = dict[str, Any]

_BACKUP: Final = ".bak"
_TOML: Final = ".toml"


async def save(app: Console, draft: Draft) -> Path | None:
    """Ask for a path and write the job there, whole or not at all; return it, None: left. Raises
    ConfigError where it cannot be written."""
    proposed = _proposed(draft)
    said = (
        "As TOML. In the file that the job came from only what differs is written; a new one has "
        "absolute paths, and not what is the default."
    )
    path = await app.push_screen_wait(PathDialog("Save", said, proposed))
    if path is None:
        return None
    if path == origin_of(draft):
        text = await asyncio.to_thread(edited, draft, path)
        if text is not None:
            await asyncio.to_thread(write_text, text, path)
            return path
    found = await asyncio.to_thread(_comments, path)
    if found and not await _lose(app, path, found):
        return None
    await asyncio.to_thread(write_job, draft.loaded.job, path)
    return path


def origin_of(draft: Draft) -> Path | None:
    """Return the job file in TOML that a draft came from: that it was read from, or that its run
    was started with, if that is still a file of this job, and none of the examples: these are
    read, and written by nobody."""
    path = draft.path or draft.loaded.path
    if path is None or path.suffix.lower() != _TOML or not path.is_file():
        return None
    if draft.path is None:
        if path.absolute() in presets():
            return None
        # A run's record names it, and might name anything.
        try:
            if Draft.of_file(path).loaded.job.job.name != draft.loaded.job.job.name:
                return None
        except GeobatchError:
            return None
    return path


def edited(draft: Draft, path: Path) -> str | None:
    """Return the text of the file at ``path`` with the draft's values; None: it must be written
    anew. Raises ConfigError if it cannot be read, or is no valid job any more."""
    saved = Draft.of_file(path)
    was, now = saved.loaded.job, draft.loaded.job
    try:
        known, text = leaves(now.op.name), path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {safe(str(path))}: {error.strerror}") from error
    old, new = _values(was), _values(now)
    if old.get(STORES) != new.get(STORES):
        return None  # kept as one list, written as tables
    changes: dict[str, object] = {
        key: _written(known[key], value, draft, path)
        for key, value in new.items()
        if key in known and not known[key].found and key not in {STEPS, STORES}
        if old.get(key) != value
    }
    changes |= {key: None for key in old if key not in new and key != STEPS}
    folder = path.absolute().parent
    before, after = (written_steps.tables(job, folder) if _chain(job) else [] for job in (was, now))
    if before == after:
        return edited_toml(text, changes)
    if not before or not after:
        return None
    values = tomllib.loads(text)
    said = values.get(STEP) or values.get("op", {}).get("steps") or ()
    if len(said) != len(before):
        return None  # they are a pipeline in words
    return edited_toml(text, changes, _as_said(after, list(zip(before, said, strict=True))))


def _as_said(steps: list[Step], known: list[tuple[Step, Step]]) -> list[Step]:
    """Return steps as the file says them, where it says the same: relative paths, and what is the
    default. ``known`` has those of the file, each as it is read and as it is said."""
    found = []
    for step in steps:
        place = next((n for n, (read, _) in enumerate(known) if read == step), None)
        if place is None:
            names = (step.get("name"), step.get("use"))
            alike = ((read.get("name"), read.get("use")) == names for read, _ in known)
            place = next((n for n, same in enumerate(alike) if same), None)
        if place is None:
            found.append(step)
            continue
        read, said = known.pop(place)
        kept = {key: value for key, value in said.items() if read.get(key) == step.get(key)}
        found.append(
            {
                key: kept.get(key, step.get(key))
                for key in (*said, *step)
                if key in kept or key in step
            }
        )
    return found


def _values(job: Job) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, values in dump_job(job).items()
        for name, value in values.items()
    }


def _chain(job: Job) -> bool:
    return "steps" in dump_job(job)["op"]


def _written(leaf: Leaf, value: object, draft: Draft, path: Path) -> object:
    """Return a value as it is written: as it was typed, where that means the same in the file;
    None where it is the default."""
    if value is None or (value == leaf.default and not leaf.required):
        return None
    text = draft.edits.get(leaf.key)
    if text is None or (leaf.path and path.absolute().parent != Path.cwd()):
        return value
    return typed(text, leaf, table=leaf.mapping)


def _proposed(draft: Draft) -> Path:
    origin = origin_of(draft)
    if origin is not None:
        return origin
    if draft.path is None:
        name = safe(draft.loaded.job.job.name).replace("/", "-").replace(" ", "")
        return Path.cwd() / f"{name}{_TOML}"
    name = draft.path.name
    if is_gdalg(draft.path):
        name = name.removesuffix(".json").removesuffix(".gdalg")
    return draft.path.with_name(name).with_suffix(_TOML)


async def _lose(app: Console, path: Path, found: int) -> bool:
    """Ask what becomes of comments; back the file up if wanted. Return whether to go on."""
    backup = path.with_name(f"{path.name}{_BACKUP}")
    answer = await app.push_screen_wait(
        Question(
            "Save",
            f"{safe(path.name)} has {figures.plural(found, 'comment')}, "
            "which a file that is written anew does not keep.",
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
