"""Starts geobatch as processes of its own, forked from one that has loaded what every command loads.

To load it takes most of the CPU time of a short command. The process that forks has one thread; what
it forks gets its words, environment, folder and streams, and is from then on a process as any other:
it starts its own workers, may be killed, and ends with its exit code.

It has also loaded the libraries of workers for rasters, as a fork server takes longer for them than
a small job for its work. A command's fork server is a fork of the command then, before it did
anything, which goes through all that a fork server of its own interpreter does, and finds the modules
loaded. What depends on the environment comes later, in the fork server: GDAL's drivers, operations,
machine code. The fork servers of jobs about features are interpreters of their own.

All of them hash text alike. So where outputs of two runs are compared, one of the runs is made by an
interpreter of its own, or in the process of the test.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from multiprocessing import forkserver, process, resource_tracker, util
from multiprocessing.connection import wait
from pathlib import Path

LOADED = (
    "cli.boundary",
    "cli.root",
    "cli.commands.run",
    "cli.display.progress",
    "config.layers",
    "orchestration.api",
    "orchestration.workers.process_pool",
    "tui.console.app",
    "tui.console.launch",
    "tui.screens.dashboard",
)
_MOST = 1 << 20


class Forked:
    """A process, as `subprocess.Popen` has it; ``cpu``: seconds that it took, once it ended."""

    def __init__(self, pid):
        self.pid, self.returncode, self.cpu = pid, None, 0.0
        self._fd = os.pidfd_open(pid)

    def poll(self):
        """The exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout=None):
        """Wait for the end; the exit code, negative for a signal. Raises TimeoutExpired."""
        if self.returncode is None:
            if not wait([self._fd], timeout):
                raise subprocess.TimeoutExpired("geobatch", timeout)
            self.returncode, self.cpu = _Server.ask({"wait": self.pid})
            os.close(self._fd)
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._fd, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class _Server:
    """The process that forks, one for a process of tests."""

    _socket: socket.socket | None = None
    pid: int | None = None

    @classmethod
    def _start(cls):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, __file__, str(theirs.fileno())]
        process = subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        cls._socket, cls.pid = ours, process.pid

        def stop():
            ours.close()
            process.wait()

        atexit.register(stop)

    @classmethod
    def ask(cls, request, fds=()):
        if cls._socket is None:
            cls._start()
        socket.send_fds(cls._socket, [json.dumps(request).encode()], fds)
        return json.loads(cls._socket.recv(_MOST))


def helpers():
    """The id of the process that forks, in a set that is empty before it was needed."""
    return {_Server.pid} - {None}


def begin(words, *, env, stdout, stderr, stdin=None, cwd=None, session=False, file_size=None):
    """Start a command; its streams are open files, stdin holds nothing if there is none.
    ``file_size``: the most bytes that any file may have."""
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - no path of ours
        fds = [(stdin or null).fileno(), stdout.fileno(), stderr.fileno()]
        return _begin(words, fds, env=env, cwd=cwd, session=session, file_size=file_size)


def begin_on_terminal(words, terminal, *, env, cwd):
    """Start a command as the leader of a session on the terminal that is open as ``terminal``."""
    return _begin(words, [terminal] * 3, env=env, cwd=cwd, session=True, terminal=True)


def _begin(words, fds, *, cwd, **how):
    return Forked(_Server.ask({"words": words, "cwd": str(cwd or Path.cwd()), **how}, fds))


def run(words, *, env, cwd=None, timeout):
    """Run a command to its end, as `subprocess.run` does, with its streams as text."""
    import tempfile

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = begin(words, env=env, stdout=out, stderr=err, cwd=cwd)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="surrogateescape"))
    return subprocess.CompletedProcess(words, process.returncode, *texts)


# --- the process that forks ----------------------------------------------------------------------


def _serve(requests):
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for name in LOADED:
        importlib.import_module(f"geobatch_tui.{name}")
    _load_for_workers()
    gc.freeze()
    while True:
        content, fds, _, _ = socket.recv_fds(requests, _MOST, 3)
        if not content:
            return
        request = json.loads(content)
        if "wait" in request:
            _, status, used = os.wait4(request["wait"], 0)
            ended = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
            requests.send(json.dumps(ended).encode())
            continue
        pid = os.fork()
        if pid == 0:
            requests.close()
            _become(request, fds)
        for fd in fds:
            os.close(fd)
        requests.send(json.dumps(pid).encode())


def _become(request, fds):
    """Be the command that is asked for; does not return."""
    if request["session"]:
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    if "terminal" in request:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # As Python opens them: those of the process that forks know what these descriptors were.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        lines = number == 2 or os.isatty(number)
        stream = open(  # noqa: SIM115 - a descriptor, for good
            number,
            "w" if number else "r",
            1 if lines else -1,
            errors="backslashreplace" if number == 2 else None,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if request.get("file_size") is not None:
        limit = request["file_size"], resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv[1:] = request["words"]
    durable = importlib.import_module("geobatch_tui.ledger.place.durable")
    # It looks at the variable as it is loaded.
    durable._name, durable._left = durable._parse(os.environ.get(durable.VARIABLE, ""))
    util.spawnv_passfds = _start_fork_server
    importlib.import_module("geobatch_tui.__main__").command()


def _load_for_workers():
    """Load what workers for rasters load, as they do; which operations there are is each command's
    to say."""
    from geobatch_tui.execution.ops import registry
    from geobatch_tui.execution.runtime import environment
    from geobatch_tui.execution.worker import warmup

    environment.complete()
    warmup._import_for_pixels()
    registry._entries.cache_clear()


_spawn = util.spawnv_passfds


def _start_fork_server(path, words, passed):
    """As multiprocessing's, which starts an interpreter: fork this process, which has done nothing
    yet, if it is a fork server for rasters that is wanted."""
    wanted = "multiprocessing.forkserver" in words[-1]
    alone = threading.active_count() == 1
    if not wanted or not alone or os.environ.get("GEOBATCH_PRELOAD") == "vector":
        return _spawn(path, words, passed)
    pid = os.fork()
    if pid == 0:
        _be_fork_server(words[-1], {0, 1, 2, *map(int, passed)})
    return pid


def _be_fork_server(code, fds):
    """Be an interpreter that was started with ``code`` and inherited ``fds``; does not return."""
    status = 1
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - descriptors
            if fd not in fds:
                with suppress(OSError):
                    os.close(fd)
        atexit._clear()
        util._finalizer_registry.clear()
        process.current_process()._config.pop("tempdir", None)
        for one in (forkserver._forkserver, resource_tracker._resource_tracker):
            one.__init__()
        exec(code, {})  # noqa: S102 - multiprocessing's own
    except SystemExit:
        status = 0
    except BaseException:  # noqa: BLE001 - what nobody caught, as an interpreter has it
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        os._exit(status)


if __name__ == "__main__":
    del sys.path[0]  # the folder of tests
    with socket.socket(fileno=int(sys.argv[1])) as place:
        _serve(place)
