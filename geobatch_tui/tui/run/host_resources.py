"""What a run takes of this machine, and what is left of it: CPU, load, open files, disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from geobatch_tui.tui.run.model import View

_PERIOD: Final = 1.0  #: seconds between two measurements, at least


@dataclass(frozen=True, slots=True)
class Resources:
    """A machine at one moment.

    Attributes:
        cpu: share of all its cores that is in use, 0 to 1; None: not known yet.
        cores: how many there are.
        load: processes that ran or waited, over the last minute.
        files: open files of the run's processes.
        disk_free: bytes that are free where the outputs go; None: that cannot be told.
    """

    cpu: float | None = None
    cores: int = 1
    load: float = 0.0
    files: int = 0
    disk_free: int | None = None

    @property
    def busy(self) -> bool:
        """Whether far more processes want the cores than there are."""
        return self.load > 2 * self.cores


class ResourceMeter:
    """Measures the machine, a value a second at most.

    Attributes:
        latest: None where nothing was measured: the run is on another machine.
    """

    def __init__(self) -> None:
        self.latest: Resources | None = None
        self._next = 0.0

    def measure(self, directory: Path, pids: Iterable[int], now: float) -> None:
        """Take a value, unless the last one is fresh.

        Args:
            directory: where the outputs go.
            pids: processes of the run on this machine; those that are gone count nothing.
            now: seconds on any clock that only goes forward.
        """
        if now < self._next:
            return
        import psutil

        share = psutil.cpu_percent(None) / 100
        self.latest = Resources(
            # psutil's first value says nothing: there is no time that it could be of.
            cpu=share if self._next else None,
            cores=os.cpu_count() or 1,
            load=os.getloadavg()[0],
            files=sum(_open_files(pid) for pid in pids),
            disk_free=_free(directory),
        )
        self._next = now + _PERIOD


def _open_files(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).num_fds())
    except psutil.Error:
        return 0


def _free(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def bytes_to_come(view: View) -> float | None:
    """Estimate the bytes that the chunks that are left will write, as those of the run so far did;
    None: too little is known."""
    run = view.run
    if run is None or not run.n_done:
        return None
    left = view.counts["total"] - view.settled
    return run.bytes_out / run.n_done * left
