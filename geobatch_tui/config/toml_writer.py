"""Writes a job as a TOML job file that loads as the same job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tomli_w

from geobatch_tui.config.fields import leaves
from geobatch_tui.config.schema import dump_job
from geobatch_tui.config.toml_lines import TEXT_OR_COMMENT
from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.io.disk import replacing
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.schema import Job, JobValues


def job_toml(job: Job, *, defaults: bool = False) -> str:
    """Write ``job`` as the text of a job file, with ``defaults`` or without.

    TOML has no None, which is a parameter that is not given: it is left out, and means the same.
    """
    known = leaves(job.op.name)
    sections: JobValues = {}
    for section, values in dump_job(job).items():
        for name, value in values.items():
            leaf = known[f"{section}.{name}"]
            if value is not None and (defaults or leaf.required or value != leaf.default):
                sections.setdefault(section, {})[name] = value
    return tomli_w.dumps(sections)


def write_job(job: Job, path: Path, *, defaults: bool = False) -> None:
    """Write :func:`job_toml` to ``path``, whole or not at all; replace what is there. Raises
    ConfigError if it cannot be written."""
    name = safe(str(path))
    try:
        data = job_toml(job, defaults=defaults).encode()
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
