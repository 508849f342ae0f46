"""Steering a run: signals, and the same commands in the engine's process and over a UNIX socket.

A closed set of verbs, no path, no code, no configuration: who can reach the socket can steer the
run and nothing else. Each command is an event in the log and in the ledger, with uid and pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import signal
import socket
import struct
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from geobatch_tui.errors import GeobatchError, StateError
from geobatch_tui.ledger.place.lock import RunLock, live_holder
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.ledger.schema.updates import LettersDismissed
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.session import own_state_of_run, state_of_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.observability.snapshot import Snapshot

VERBS = frozenset(
    {"ping", "pause", "resume", "set_workers", "drain", "cancel", "retry_dead", "dismiss"}
)
LINE_LIMIT = 64 * 1024
"""Bytes of one command; a longer line ends the connection."""

REPLY_SECONDS = 10.0
_FRESH = 60.0
"""Seconds in which a socket is not swept."""

#: A command that does not fit the run, or one that comes when its state is closed already.
_REFUSALS = (ValueError, TypeError, AttributeError, KeyError, RecursionError, GeobatchError)

_UCRED = struct.Struct("3i")


class Steered(Protocol):
    """A run that obeys commands. All methods are called on the engine's loop."""

    def steer(self, verb: str, arguments: Json, origin: str) -> dict[str, object]:
        """Apply a command; the reply as JSON. Raises ValueError for arguments that do not fit."""
        ...


@dataclass(slots=True)
class Control:
    """A handle on a run in this process, for a console on another thread: make one, give it to
    :func:`geobatch_tui.run`, and :meth:`send` from anywhere.

    ``ready`` is called on the engine's loop once the run holds its directory and takes commands;
    ``observe`` takes a snapshot four times a second there, and may be set at any time. As long as
    it is None no snapshot is built for it.
    """

    ready: Callable[[], None] | None = None
    observe: Callable[[Snapshot], None] | None = None
    _run: Steered | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _early: list[_Asked] = field(default_factory=list)

    def attach(self, run: Steered) -> None:
        """Let the run obey from now on (called by the engine, on its loop)."""
        self._run, self._loop = run, asyncio.get_running_loop()
        for asked in self._early:
            asked.put_to(run)
        self._early.clear()
        if self.ready is not None:
            self.ready()

    def send(self, verb: str, **arguments: object) -> Future[Json]:
        """Send a command, which takes effect on the engine's loop, once the run has started. Return
        the run's reply to come, which is StateError where the run refused, or is over. Raises
        ValueError for an unknown verb."""
        if verb not in VERBS:
            raise ValueError(f"there is no command {verb!r}")
        asked = _Asked(verb, arguments)
        run, loop = self._run, self._loop
        if run is None or loop is None:
            self._early.append(asked)
            return asked.reply
        try:
            loop.call_soon_threadsafe(asked.put_to, run)
        except RuntimeError:  # its loop is closed
            asked.reply.set_exception(StateError("the run is over"))
        return asked.reply


@dataclass(frozen=True, slots=True)
class _Asked:
    verb: str
    arguments: Json
    reply: Future[Json] = field(default_factory=Future)

    def put_to(self, run: Steered) -> None:
        """Have the run obey. A refusal goes into the reply, or the loop would log it."""
        try:
            self.reply.set_result(run.steer(self.verb, self.arguments, "console"))
        except _REFUSALS as error:
            reason = safe(str(error), limit=200)
            self.reply.set_exception(StateError(f"the run refused {self.verb}: {reason}"))


def socket_path(run_id: str) -> Path:
    """Return the path of a run's socket: short (AF_UNIX allows 107 bytes), in our own directory."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    root = Path(tempfile.gettempdir(), f"geobatch-{os.getuid()}")
    if base:
        root = Path(base, "geobatch")
    return root / f"{run_id[-8:]}-{os.getpid()}.sock"


@contextlib.asynccontextmanager
async def listening(run: Steered, path: Path) -> AsyncIterator[Path | None]:
    """Listen for commands at ``path`` while the block runs. Yields None where no socket can be made
    (a directory of somebody else's, a path too long): the run goes on, it just cannot be steered
    from outside."""
    try:
        _make_private(path.parent)
        _sweep(path.parent)
        _remove(path)
        server = await asyncio.start_unix_server(
            lambda reader, writer: _serve(run, reader, writer), path, limit=LINE_LIMIT
        )
        _close_to_others(path)
    except OSError:
        yield None
        return
    try:
        yield path
    finally:
        # Not waited for: half-open consoles do not hold up the end of a run.
        server.close()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _sweep(directory: Path) -> None:
    """Remove the sockets of engines that were killed: nobody listens there."""
    for path in directory.glob("*.sock"):
        # Another engine may sweep, or end, at the same time: then it is gone.
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            # One that was made just now may be about to listen.
            if time.time() - path.lstat().st_mtime < _FRESH:
                continue
            connection.setblocking(False)
            try:
                connection.connect(str(path))
            except ConnectionRefusedError:
                _remove(path)


def _close_to_others(path: Path) -> None:
    path.chmod(0o600)


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{directory} is not private")


async def _serve(run: Steered, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    origin = _peer(writer)
    try:
        while origin is not None:
            line = await reader.readline()
            if not line:
                break
            writer.write(json.dumps(_answer(run, line, origin)).encode() + b"\n")
            await writer.drain()
    except (ValueError, ConnectionError):  # a line over the limit, or the console is gone
        pass
    finally:
        writer.close()


def _peer(writer: asyncio.StreamWriter) -> str | None:
    """Return uid and pid at the other end, as text; None for another user than ours or root."""
    peer = writer.get_extra_info("socket")
    pid, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return f"uid {uid}, pid {pid}" if uid in {os.getuid(), 0} else None


def _check_peer(connection: socket.socket, root: Path) -> None:
    """Raise PermissionError if the run's state is another user's, whose lock file may name any
    socket, or another user listens; root may steer the runs of others."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid, me = _UCRED.unpack(raw)[1], os.geteuid()
    if uid in {me, 0} and is_ours(root):
        return
    if me != 0 or uid != root.lstat().st_uid:
        raise PermissionError(f"the run or what listens there is another user's (uid {uid})")


def _answer(run: Steered, line: bytes, origin: str) -> dict[str, object]:
    try:
        command = json.loads(line)
        verb = command.pop("verb")
        if verb not in VERBS:
            return {"ok": False, "error": "there is no such command"}
        return {"ok": True, **run.steer(verb, command, origin)}
    except _REFUSALS as error:
        return {"ok": False, "error": safe(str(error), limit=200)}


def send(directory: str | Path, verb: str, **arguments: object) -> Json:
    """Send a command to the run in another process that holds an output directory. Returns its
    reply. Raises StateError where no run is live there, or it does not answer."""
    state = state_of_run(Path(directory))
    holder = live_holder(state.lock)
    if holder is None or not holder.socket:
        raise StateError(
            f"no live run in {safe(str(directory))} listens to commands",
            hint="`geobatch status DIR` tells its state",
        )
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REPLY_SECONDS)
            connection.connect(holder.socket)
            _check_peer(connection, Path(state.root))
            connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply: Json = json.loads(stream.readline(LINE_LIMIT) or b"{}")
    except (OSError, ValueError) as error:
        raise StateError(f"the run in {safe(str(directory))} does not answer: {error}") from error
    if not reply.get("ok"):
        raise StateError(f"the run refused {verb}: {safe(str(reply.get('error', 'no reply')))}")
    return reply


@contextlib.contextmanager
def handled(
    *,
    drain: Callable[[int], None],
    cancel: Callable[[int], None],
    reopen_logs: Callable[[], None],
) -> Iterator[None]:
    """Install the handlers on the running loop, and take them away again.

    INT and TERM: first ``drain``, second ``cancel``, third ``os._exit``. HUP: ignored, as the run
    outlives its terminal. QUIT: stacks to stderr. USR1: reopen the logs. Outside the main thread
    (a console's engine) nothing is installed: its owner steers by commands.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    received = 0

    def on_end(number: int) -> None:
        nonlocal received
        received += 1
        if received == 1:
            drain(number)
        elif received == 2:
            cancel(number)
        else:
            os._exit(128 + number)

    handlers: dict[int, Callable[[], None]] = {
        signal.SIGINT: lambda: on_end(signal.SIGINT),
        signal.SIGTERM: lambda: on_end(signal.SIGTERM),
        signal.SIGHUP: lambda: None,
        signal.SIGUSR1: reopen_logs,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    # pytest's capture and a console have no real stderr to write stacks to.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        faulthandler.register(signal.SIGQUIT, all_threads=True)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
            if received and number in {signal.SIGINT, signal.SIGTERM}:
                # The run has ended for a signal and the process is about to: one more of them
                # must not replace its exit code.
                signal.signal(number, signal.SIG_IGN)
        faulthandler.unregister(signal.SIGQUIT)


def dismissal(arguments: Json, origin: str) -> LettersDismissed:
    """Make the update for a command: ``letters``, pairs of id and time, and ``note``. Raises
    TypeError or ValueError where they are anything else."""
    letters, note = arguments.get("letters"), arguments.get("note")
    if not isinstance(letters, list) or not isinstance(note, str | None):
        raise TypeError("dismiss takes a list of letters and a note")
    try:
        pairs = tuple((int(dead_id), float(t)) for dead_id, t in letters)
    except TypeError as error:
        raise TypeError("a letter is a pair of numbers: its id and its time") from error
    return LettersDismissed(pairs, note, origin)


def dismiss(directory: Path, letters: Sequence[tuple[int, float]], note: str | None) -> int:
    """Note in the ledger of a run that has ended that dead letters, by ids and times, are known;
    return how many were noted. ``note``: for those who read them; None takes an earlier one back.

    Raises:
        LockHeldError: a run is live: send it the command ``dismiss``.
        PlanMismatchError, StateError: there is no run, or its ledger cannot be written.
    """
    state = own_state_of_run(directory)
    with (
        RunLock.acquire(state.lock),
        Ledger.open(state.ledger, state.output_dir) as ledger,
    ):
        return ledger.dismiss_dead(letters, note, f"uid {os.getuid()}, pid {os.getpid()}")
