"""A second file that an operation compares features with: its content decides what comes out, so
it is part of the parameters."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field

_PIECE = 1 << 20


def compared(text: str) -> Any:
    """A field that names such a file; ``text`` is its help. Its digest is what makes outputs stale,
    not its name."""
    return Field(
        "",
        description=text,
        json_schema_extra={"unit": "", "kind": "operational", "path": True},
    )


def with_digest(values: Any, name: str) -> Any:
    """Raw parameters with the BLAKE2b-128 of the file that field ``name`` names, in hex, in the
    field ``<name>_digest``, unless it is there.

    Raises:
        ValueError: the file cannot be read.
    """
    if isinstance(values, dict) and values.get(name) and not values.get(f"{name}_digest"):
        return {**values, f"{name}_digest": _digest(name, str(values[name]))}
    return values


def _digest(name: str, path: str) -> str:
    state = hashlib.blake2b(digest_size=16)
    try:
        with Path(path).open("rb") as file:
            while piece := file.read(_PIECE):
                state.update(piece)
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from error
    return state.hexdigest()
