"""The process that the shell waits for while another one has the console, and runs in it.

Whoever leaves a console wants the prompt back at once, and the run to go on. So ``geobatch`` forks
before it has loaded anything or started a thread: the child is the console and the engine, and the
parent does nothing but wait. When the console is left, the parent ends, and the child goes on
without a terminal; nothing is drained, started or read anew. If another run is to be opened
meanwhile, the parent forks again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

#: Signals that somebody sends to the process that the shell knows: they are for the console.
_PASSED_ON: Final = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1}
)
_HEARD: Final = _PASSED_ON | {signal.SIGCHLD}
_MOST: Final = 1 << 16
#: The first process of a container: when it ends, all others do.
_FIRST: Final = 1


class _Parent:
    """The way from the console to the process that waits for it; in that one there is none."""

    way: socket.socket | None = None
    pid = 0


def fork_console(words: Sequence[str]) -> list[str]:
    """Fork. In the child, return the words of the command that it is to run: those given, or of
    another command that a console asked for. The parent never returns: it ends as the child does,
    or when it is told that the child goes on without it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    while True:
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            ours.close()
            _Parent.way, _Parent.pid = theirs, os.getppid()
            return list(words)
        words = _wait(child, ours)


def is_there() -> bool:
    """Whether somebody waits for this process, and can be told not to."""
    return _Parent.way is not None and os.getppid() == _Parent.pid


def was_killed() -> bool:
    """Whether whoever waited for this process was killed."""
    return _Parent.way is not None and os.getppid() != _Parent.pid


def let_go(words: Sequence[str] = ()) -> None:
    """Let the shell go on, or open the command ``words`` on the terminal; this process goes on in a
    session of its own, and must not touch the terminal any more."""
    way, _Parent.way = _Parent.way, None
    if way is None:
        return
    # Where the parent leads the session, its end sends this process HUP and CONT; what Textual has
    # set up for CONT would take the terminal again, and end the run by an error.
    for number in (signal.SIGHUP, signal.SIGCONT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
    with contextlib.suppress(OSError), way:
        way.send(json.dumps(list(words)).encode())
        os.kill(_Parent.pid, signal.SIGCHLD)
    with contextlib.suppress(OSError):  # it leads a session already
        os.setsid()


def _wait(child: int, way: socket.socket) -> list[str]:
    """Wait for the child; return the words of a command that is to take its place."""
    left = False
    while True:
        told = signal.sigwaitinfo(_HEARD)
        if told.si_signo in _PASSED_ON:
            # What the terminal sends, the child has got itself.
            if told.si_code <= 0 and told.si_pid != child:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, told.si_signo)
            continue
        with contextlib.suppress(OSError):
            words: list[str] = json.loads(way.recv(_MOST))
            if words:
                return words
            left = True
            if os.getpid() != _FIRST:
                _end(0)
        _look(child, left=left)


def _look(child: int, *, left: bool) -> None:
    """End with the child if it ended; stop with it if it stopped."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            _end(0)
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            if pid == child:
                os.kill(os.getpid(), signal.SIGSTOP)
        elif pid == child:
            # The code of a run that was left is nobody's.
            _end(0 if left else os.waitstatus_to_exitcode(status))


def _end(code: int) -> NoReturn:
    """End with this exit code, or by the signal whose number is negative."""
    sys.stdout.flush()
    if code < 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        with contextlib.suppress(OSError):  # SIGKILL has no other way
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(128 - code if code < 0 else code)
