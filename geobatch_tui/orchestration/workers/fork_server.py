"""Starts worker processes through multiprocessing's fork server.

The fork server is a fresh interpreter that loads GDAL once and single-threaded, then forks
workers in milliseconds. It must be started before the run takes its lock: it and its workers hold
inherited descriptors for as long as they live.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.errors import StateError
from geobatch_tui.execution.runtime.environment import ENGINE, FOLDER, worker_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PRELOAD = "geobatch_tui.execution.worker.preload"

_LONGEST = 75
"""Bytes of TMPDIR up to which there is room for multiprocessing's own names, which have 32."""


def start_fork_server(data: str = "raster") -> None:
    """Start the fork server, or do nothing if it runs. Returns while it still loads.

    Meant to be the first act of a command, before other threads run: for a moment ``os.environ`` is
    the environment of the workers. The server loads the libraries of ``data``, ``raster``,
    ``chain`` or ``vector``; its workers can do all, but load the others' each at its first chunk.

    Raises StateError on a platform that has no fork server.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise StateError(
            "this platform has no fork server, which worker processes need",
            hint='set engine.executor = "thread"',
        )
    from multiprocessing import forkserver

    # The tracker first: console code that closes or redirects fd 2 later breaks its start.
    start_tracker()
    forkserver.set_forkserver_preload([PRELOAD])
    # A Ctrl-C while it loads is for the engine alone.
    environment = worker_environment(os.environ, data=data)
    environment |= {ENGINE: str(os.getpid()), FOLDER: _socket_folder()}
    with _blocked(signal.SIGINT, signal.SIGHUP), _environment(environment):
        forkserver.ensure_running()


def start_tracker() -> None:
    """Start multiprocessing's resource tracker, or do nothing if it runs. It is a ``python -c``,
    which would take its modules from the current directory first: a file ``signal.py`` there would
    run."""
    from multiprocessing import resource_tracker

    with _blocked(signal.SIGHUP), _environment({**os.environ, "PYTHONSAFEPATH": "1"}):
        resource_tracker.ensure_running()


def _socket_folder() -> str:
    """Return the folder of the fork server's socket, whose whole name may have 107 bytes: below
    /tmp if TMPDIR is too long, as on clusters."""
    import tempfile
    from multiprocessing import util

    _leave_inherited_folder()
    before = tempfile.tempdir
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _LONGEST:
            tempfile.tempdir = "/tmp"  # noqa: S108 - a folder of its own is made in it
        return str(util.get_temp_dir())
    finally:
        tempfile.tempdir = before


#: Processes that have a folder of their own.
_settled: set[int] = set()


def _leave_inherited_folder() -> None:
    """Forget the folder that this process has of the one that spawned it, as a Dask worker has: a
    fork server removes its folder when it ends, and the sockets of others would go with it."""
    if os.getpid() not in _settled:
        _settled.add(os.getpid())
        if multiprocessing.parent_process() is not None:
            multiprocessing.current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]  # noqa: SLF001


@contextlib.contextmanager
def _blocked(*signals: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    changed = {name: value for name, value in wanted.items() if before.get(name) != value}
    dropped = [name for name in before if name not in wanted]
    try:
        for name in dropped:
            del os.environ[name]
        os.environ.update(changed)
        yield
    finally:
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in (*dropped, *changed) if name in before})


@dataclass(slots=True)
class Process:
    """A worker process: its ``pid``, and a ``sentinel`` that becomes readable when it ended."""

    pid: int
    sentinel: int
    _lifeline: int

    def exitcode(self) -> int | None:
        """Return the exit code; negative: the signal; None: unknown, as the fork server died too.
        Only after the sentinel became readable; once."""
        from multiprocessing import forkserver

        try:
            code: int = forkserver.read_signed(self.sentinel)
        except (OSError, EOFError):
            return None
        return code

    def close(self) -> None:
        """Close the sentinel and the pipe whose end tells the worker that its engine is gone."""
        os.close(self.sentinel)
        os.close(self._lifeline)


@dataclass(frozen=True, slots=True)
class Request:
    """A process that the fork server was asked for, which waits to be told what to do. Use
    :func:`ask`."""

    _sentinel: int
    _lifeline: int

    def run(self, body: object) -> Process:
        """Have the process call ``body._bootstrap(parent_sentinel)``; ``body`` is of an importable
        class. Once. Blocks until the fork server has loaded: call it from a thread."""
        from multiprocessing import forkserver, reduction

        parts = ({"sys_path": sys.path}, body)
        payload = b"".join(bytes(reduction.ForkingPickler.dumps(part)) for part in parts)
        try:
            pid = _refuse_error(forkserver.read_signed(self._sentinel))
            view = memoryview(payload)
            while view:
                view = view[os.write(self._lifeline, view) :]
        except BaseException:
            self.close()
            raise
        return Process(pid, self._sentinel, self._lifeline)

    def close(self) -> None:
        """Take the request back: the process ends without a word (see ``preload``)."""
        os.close(self._sentinel)
        os.close(self._lifeline)


def ask(fds: list[int]) -> Request:
    """Ask the fork server for a process that inherits ``fds``, where
    `multiprocessing.forkserver.get_inherited_fds` returns them. Does not wait for it."""
    from multiprocessing import forkserver

    start_fork_server()
    return Request(*forkserver.connect_to_new_process(fds))


def _refuse_error(pid: int) -> int:
    """Return a pid; raise OSError if it is the number of an error instead (see ``preload``)."""
    if pid < 0:
        raise OSError(-pid, f"cannot start a worker process: {os.strerror(-pid)}")
    return pid
