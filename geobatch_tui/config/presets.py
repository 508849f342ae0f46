"""The example jobs that come with geobatch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]


def sample_dir() -> Path | None:
    """Where the examples and their data are: inside an installed package, or beside it in a clone.

    None: they are missing from this installation.
    """
    for place in (_PACKAGE / "sample_configs", _PACKAGE.parent / "sample_configs"):
        if (place / "demo.toml").is_file():
            return place
    return None


def presets() -> list[Path]:
    """Job files to begin with, by name."""
    place = sample_dir()
    if place is None:
        return []
    return sorted(path for path in place.iterdir() if path.suffix in {".toml", ".yaml"})
