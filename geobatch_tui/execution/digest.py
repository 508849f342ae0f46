"""BLAKE2b-128 of whole files: what outputs are known by."""

from __future__ import annotations

import hashlib
from pathlib import Path

#: BLAKE2b-128.
DIGEST_SIZE = 16
_PIECE = 1 << 20


def digest_of(path: str | Path) -> tuple[str, int]:
    """BLAKE2b-128 of a file, in hex, and its size."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    size = 0
    with Path(path).open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size
