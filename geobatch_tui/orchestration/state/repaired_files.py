"""Installs files of repaired features, for the workers that compute their item again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.io.disk import sync_directory
from geobatch_tui.ledger.place.durable import output_error

if TYPE_CHECKING:
    from collections.abc import Sequence

#: One file each; a format of several files would come in incomplete.
_SUFFIXES = (".gpkg", ".fgb", ".geojson")


def item_of(chunks: Sequence[str], file: Path) -> str:
    """Return the item that ``file`` is for, by the chunks or items that are to be retried. Raises
    ConfigError if they are not of one item, or the file cannot be taken."""
    keys = {chunk.rpartition("@")[0] or chunk for chunk in chunks}
    if len(keys) != 1:
        raise ConfigError(
            "--replace needs --chunk with the chunk or item that the features belong to"
        )
    if file.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--replace takes {', '.join(_SUFFIXES)}, not {file.name!r}")
    if not file.is_file():
        raise ConfigError(f"--replace: there is no file {str(file)!r}")
    (key,) = keys
    if Path(key).is_absolute() or ".." in Path(key).parts:
        raise ConfigError(f"--chunk: {key!r} is no item")
    return key


def install(root: Path, key: str, file: Path) -> None:
    """Copy ``file`` into the state directory ``root``, in place of an earlier one of the item."""
    place = root / "replaced" / key
    fresh = place.with_name(f".{place.name}.new")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(file, fresh)
        with fresh.open("rb") as copied:
            os.fsync(copied.fileno())
        # The earlier one goes last: whatever happens, one of them is there.
        place.mkdir(mode=0o700, exist_ok=True)
        named = place / f"repaired{file.suffix.lower()}"
        fresh.rename(named)
        for directory in (place, place.parent):
            sync_directory(directory)
        for other in place.iterdir():
            if other != named:
                other.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise output_error(error, place) from error
