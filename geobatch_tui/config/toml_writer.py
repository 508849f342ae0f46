"""Writes a job as a TOML job file that loads as the same job."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from geobatch_tui.config.fields import Leaf, leaves
from geobatch_tui.config.schema import dump_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from geobatch_tui.config.schema import Job


#: What may hold a ``#`` that begins no comment, and comments: long texts first.
_TOKENS: Final = re.compile(
    r'"{3}(?:[^\\]|\\.)*?"{3}|'
    r"'{3}.*?'{3}|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*",
    re.DOTALL,
)


def job_toml(job: Job, *, defaults: bool = False) -> str:
    """``job`` as the text of a job file.

    A value of None (a parameter that is not given) has no place in TOML: it is left out, and a
    job file without it means the same.

    Args:
        job: the job.
        defaults: also the values that are their defaults.
    """
    known = leaves(job.op.name)
    sections: dict[str, dict[str, Any]] = {}
    for section, values in dump_job(job).items():
        kept = {
            name: value
            for name, value in values.items()
            if value is not None and (defaults or _differs(known[f"{section}.{name}"], value))
        }
        if kept:
            sections[section] = kept
    return tomli_w.dumps(sections)


def write_job(job: Job, path: Path, *, defaults: bool = False) -> None:
    """Writes :func:`job_toml` to ``path``, whole or not at all; replaces what is there.

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
    """How many comments a job file in TOML has."""
    return sum(match[0].startswith("#") for match in _TOKENS.finditer(text))


def _differs(leaf: Leaf, value: Any) -> bool:
    return leaf.required or value != leaf.default


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those that a new one would get."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
