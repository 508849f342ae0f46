"""The engine's end of a worker's pipe: numbered messages in both directions, on the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from geobatch_tui.execution.protocol import wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_READ = 1 << 18


class Pipe:
    """Sends and receives messages through a socket, and never blocks the loop.

    Args:
        end: the socket; it is closed with the pipe.
        on_message: called with the number and the bytes of each message that arrives.
        on_torn: called when no more will come: the other end is closed, or sent bytes that are no
            message (:attr:`why` says so then).
    """

    def __init__(
        self,
        end: socket.socket,
        on_message: Callable[[int, bytes], None],
        on_torn: Callable[[], None],
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._on_message = on_message
        self._on_torn = on_torn
        self._frames = wire.Frames()
        self._outgoing = bytearray()
        self._started = False
        self._flushing = False
        self._writing = False
        self._whole = True
        self.why = ""

    def start(self) -> None:
        """Begin to send and to receive, once the other end has its process."""
        self._started = True
        asyncio.get_running_loop().add_reader(self._end.fileno(), self._readable)
        self._flush()

    def send(self, frame: bytes) -> None:
        """Queue a frame of :func:`wire.pack`; frames of one turn of the loop go out together."""
        self._outgoing += frame
        if not self._flushing and not self._writing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def tear(self, why: str) -> None:
        """Take nothing more from the other end; ``why``, if it is known."""
        asyncio.get_running_loop().remove_reader(self._end.fileno())
        self._whole, self.why = False, why
        self._on_torn()

    def drain(self) -> None:
        """Take the messages that have arrived already, once the other end is dead."""
        while self._whole:
            try:
                data = self._end.recv(_READ)
            except OSError:
                return
            if not data:
                return
            self._take(data)

    def close(self) -> None:
        """Close the socket; unsent frames are dropped."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._end.fileno())
        loop.remove_writer(self._end.fileno())
        self._started = False
        self._end.close()

    def _flush(self) -> None:
        self._flushing = False
        if not self._started:
            return
        try:
            while self._outgoing:
                del self._outgoing[: self._end.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()  # it is dying: its sentinel tells the rest
        loop = asyncio.get_running_loop()
        if self._outgoing and not self._writing:
            loop.add_writer(self._end.fileno(), self._flush)
        elif self._writing and not self._outgoing:
            loop.remove_writer(self._end.fileno())
        self._writing = bool(self._outgoing)

    def _readable(self) -> None:
        try:
            data = self._end.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:  # the worker is dying, or something closed its end behind its back
            self.tear("")

    def _take(self, data: bytes) -> None:
        try:
            for number, body in self._frames.feed(data):
                self._on_message(number, body)
        except ValueError as error:
            self.tear(f"the worker's pipe carries no messages: {error}")
