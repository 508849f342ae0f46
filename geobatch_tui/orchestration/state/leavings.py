"""Leavings of engines and workers that ended before they could tidy up: part files beside the
outputs, probes and passes, files for fd 2, files without their names yet, copies of objects."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from geobatch_tui.execution.stores.store_settings import OBJECTS
from geobatch_tui.ledger.place.owner import remove_tree

PART = re.compile(r"^\..*\.(\d+)\.part$", re.DOTALL)
"""``.<stem>.<fp8>.<epoch>.part``: what a worker writes next to the final name."""

PROBE = re.compile(r"\.geobatch-probe-(\d+)(?:-[0-9a-f]+)?(?:-renamed)?")
"""Probes of directories, of owners, and of what nodes see; with the process that made them."""

UNNAMED = re.compile(r"worker-\d+\.err|\.[a-z]+\.[a-z]+\.[0-9a-f]{8}")
"""Files for fd 2 of workers, and files that have not taken their names yet."""


def sweep_leavings(output_dir: Path, root: Path) -> None:
    """Remove what engines that are dead left in an output directory and in its state directory.
    Only the holder of the run's lock may."""
    _remove_dead(output_dir, PROBE)
    _remove_dead(root, PROBE)
    _remove_dead(root, UNNAMED)
    if (copies := root / OBJECTS).is_dir() and not copies.is_symlink():
        remove_tree(copies)


def sweep_parts(output_dir: Path, before: int) -> int:
    """Remove the part files of all epochs ``before`` one; return their number. Only the holder of
    the run's lock may."""
    removed = 0
    for directory, names, files in os.walk(output_dir):
        names[:] = [name for name in names if name != ".geobatch"]
        for name in files:
            match = PART.match(name)
            if match and int(match[1]) < before:
                Path(directory, name).unlink(missing_ok=True)
                removed += 1
    return removed


def _remove_dead(directory: Path, names: re.Pattern[str]) -> None:
    """Remove files of these names from a directory, unless they name a live process; also empty
    directories that name a dead one."""
    with os.scandir(directory) as entries:
        for entry in entries:
            match = names.fullmatch(entry.name)
            if match is None or (match.groups() and Path("/proc", match[1]).exists()):
                continue
            if entry.is_file(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)
            elif match.groups() and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):  # what is in it is somebody's
                    Path(entry.path).rmdir()
