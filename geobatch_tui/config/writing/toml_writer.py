"""Writes a job as a TOML job file that loads as the same job."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import tomli_w

from geobatch_tui.config.chains import step_kinds, written_steps
from geobatch_tui.config.fields import leaves
from geobatch_tui.config.schema import dump_job
from geobatch_tui.config.sources import STEP, STEPS
from geobatch_tui.config.storage.store_section import STORES, written
from geobatch_tui.config.toml_lines import TEXT_OR_COMMENT
from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.io.disk import replacing
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.schema import Job


type _Table = dict[str, Any]


def job_toml(job: Job, folder: Path | None = None, *, defaults: bool = False) -> str:
    """Write ``job`` as the text of a job file, with ``defaults`` or without.

    TOML has no None, which is a parameter that is not given: it is left out, and means the same.
    So is what was found when the job was read: another reading finds it anew.

    Args:
        job: the job.
        folder: of the job file; functions that lie in it are named by paths relative to it.
        defaults: write what is the default, too.
    """
    known = leaves(job.op.name)
    is_chain = bool(step_kinds.steps_of(job.op.name))
    texts: list[str] = []
    for section, values in dump_job(job).items():
        kept: _Table = {}
        for name, value in values.items():
            leaf = known[f"{section}.{name}"]
            # The format says whether steps that both have are of rasters or of features.
            decides = is_chain and leaf.key == "output.format"
            if value is None or leaf.found or leaf.key == STEPS:
                continue
            if defaults or leaf.required or decides or value != leaf.default:
                kept |= written(value) if leaf.key == STORES else {name: value}
        if is_chain and section == "op":
            texts += _chain(written_steps.tables(job, folder, defaults=defaults), kept)
        elif kept:
            texts.append(tomli_w.dumps({section: kept}))
    return "\n".join(texts)


def _chain(steps: list[_Table], op: _Table) -> list[str]:
    """Write steps as tables of a list, below the operation where more is said of it than its
    name: a job has one or the other."""
    if op.get("curves") == "linear" and any(step.get("linear") for step in steps):
        del op["curves"]  # follows from that step
    if steps and not op.keys() - {"name"}:
        return [_table(step, STEP) for step in steps]
    if not steps:
        op[STEPS.partition(".")[2]] = []
    return [tomli_w.dumps({"op": op}), *(_table(step, STEPS) for step in steps)]


def _table(step: _Table, name: str) -> str:
    """Write a step as a table of a list: short ones, too, which tomli_w would put on one line."""
    # Tables in it are those of the last one of the list.
    return re.sub(r"(?m)^(\[+)step([].])", rf"\1{name}\2", tomli_w.dumps({STEP: step})).replace(
        f"[{name}]", f"[[{name}]]", 1
    )


def write_job(job: Job, path: Path, *, defaults: bool = False) -> None:
    """Write :func:`job_toml` to ``path``, as :func:`write_text` does."""
    write_text(job_toml(job, path.absolute().parent, defaults=defaults), path)


def write_text(text: str, path: Path) -> None:
    """Write a job file, whole or not at all; replace what is there. Raises ConfigError if it cannot
    be written."""
    name = safe(str(path))
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"cannot write {name}: a path in the job is not UTF-8, which TOML cannot hold",
            hint="rename the file or directory",
        ) from None
    try:
        with replacing(path) as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(data)
    except OSError as error:
        raise ConfigError(f"cannot write {name}: {error.strerror}") from error


def comments(text: str) -> int:
    """Count the comments of a job file in TOML."""
    return sum(match[0].startswith("#") for match in TEXT_OR_COMMENT.finditer(text))
