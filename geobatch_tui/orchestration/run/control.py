"""Steering a run: the same commands in the engine's process and over a UNIX socket.

A closed set of verbs, no path, no code, no configuration: who can reach the socket can steer the
run and nothing else. Each command is an event in the log and in the ledger, with uid and pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import tempfile
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from geobatch_tui.errors import GeobatchError, StateError
from geobatch_tui.ledger.place.lock import live_holder
from geobatch_tui.ledger.place.owner import is_ours
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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
    """A handle on a run in this process, for a console on another thread.

    Make one, give it to :func:`geobatch_tui.run`, and :meth:`send` from anywhere.

    Attributes:
        ready: called on the engine's loop once the run holds its directory and takes commands.
        observe: takes a snapshot four times a second, on the engine's loop; may be set at any
            time. As long as it is None no snapshot is built for it.
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
