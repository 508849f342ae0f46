"""Writes a job as a TOML job file that loads as the same job."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final

import tomli_w

from geobatch_tui.config.fields import Leaf, leaves
from geobatch_tui.config.schema import dump_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from geobatch_tui.config.schema import Job, JobValues


#: Texts, in which ``#`` begins no comment, and comments; long texts first.
_TOKENS: Final = re.compile(
    r'"{3}(?:[^\\]|\\.)*?"{3}|'
    r"'{3}.*?'{3}|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*",
    re.DOTALL,
)


def job_toml(job: Job, *, defaults: bool = False) -> str:
    """Write ``job`` as the text of a job file.

    TOML has no None, which is a parameter that is not given: it is left out, and means the same.

    Args:
        job: the job.
        defaults: also the values that are their defaults.
    """
    known = leaves(job.op.name)
    sections: JobValues = {}
    for section, values in dump_job(job).items():
        written = {
            name: value
            for name, value in values.items()
            if value is not None and (defaults or _differs(known[f"{section}.{name}"], value))
        }
        if written:
            sections[section] = written
    return tomli_w.dumps(sections)


def write_job(job: Job, path: Path, *, defaults: bool = False) -> None:
    """Write :func:`job_toml` to ``path``, whole or not at all; replace what is there.

    Raises:
        ConfigError: it cannot be written.
    """
    name = safe(str(path))
    try:
        data = job_toml(job, defaults=defaults).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"cannot write {name}: a path in the job is not UTF-8, which TOML cannot hold",
            hint="rename the file or directory",
        ) from None
    part = None
    try:
        with NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.stem[:32]}.", suffix=".part", delete=False
        ) as stream:
            part = Path(stream.name)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(_mode(path))
        part.replace(path)
    except OSError as error:
        if part is not None:
            with suppress(OSError):
                part.unlink()
        raise ConfigError(f"cannot write {name}: {error.strerror}") from error


def comments(text: str) -> int:
    """Count the comments of a job file in TOML."""
    return sum(match[0].startswith("#") for match in _TOKENS.finditer(text))


def _differs(leaf: Leaf, value: object) -> bool:
    return leaf.required or value != leaf.default


def _mode(path: Path) -> int:
    """Return the permissions of the file that is replaced, or those of a new one."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
