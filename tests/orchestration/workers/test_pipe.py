"""The engine's end of a worker's pipe."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from geobatch_tui.execution.protocol import wire
from geobatch_tui.orchestration.workers.pipe import Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ends:
    """A pipe, the socket at its other end, and what the pipe told."""

    def __init__(self) -> None:
        ours, self.other = socket.socketpair()
        self.messages: list[tuple[int, object]] = []
        self.torn = 0
        self.pipe = Pipe(ours, self._message, self._tear)

    def _message(self, number: int, body: bytes) -> None:
        self.messages.append((number, wire.unpack(body)))

    def _tear(self) -> None:
        self.torn += 1


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.other.close()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_messages_come_whole_and_in_order(ends: Ends) -> None:
    ends.pipe.start()
    frames = wire.pack(1, "one") + wire.pack(2, "two")
    for at in range(0, len(frames), 7):
        ends.other.sendall(frames[at : at + 7])
        await turns()
    assert ends.messages == [(1, "one"), (2, "two")]
    assert ends.torn == 0
    ends.pipe.close()


async def test_what_is_sent_before_the_start_waits_for_it(ends: Ends) -> None:
    ends.other.setblocking(False)
    ends.pipe.send(wire.pack(1, "early"))
    await turns()
    with pytest.raises(BlockingIOError):
        ends.other.recv(100)
    ends.pipe.start()
    assert ends.other.recv(100) == wire.pack(1, "early")
    ends.pipe.close()


async def test_more_than_the_socket_holds_is_sent_as_it_is_read(ends: Ends) -> None:
    sent = wire.pack(1, "x" * 5_000_000) + wire.pack(2, "after")
    ends.pipe.start()
    ends.pipe.send(sent[:4_000_000])
    await turns()
    ends.pipe.send(sent[4_000_000:])
    ends.other.setblocking(False)
    loop = asyncio.get_running_loop()
    received = bytearray()
    async with asyncio.timeout(30):
        while len(received) < len(sent):
            received += await loop.sock_recv(ends.other, 1 << 20)
    assert received == sent
    ends.pipe.close()


async def test_a_closed_end_tears_the_pipe_once(ends: Ends) -> None:
    ends.pipe.start()
    ends.other.sendall(wire.pack(3, "last"))
    ends.other.close()
    await turns()
    assert ends.messages == [(3, "last")]
    assert (ends.torn, ends.pipe.why) == (1, "")
    ends.pipe.close()


async def test_bytes_that_are_no_message_tear_it_and_say_so(ends: Ends) -> None:
    ends.pipe.start()
    ends.other.sendall(b"\xff" * 64)
    await turns()
    assert ends.torn == 1
    assert "carries no messages" in ends.pipe.why
    ends.pipe.close()


async def test_what_a_dead_worker_said_is_drained(ends: Ends) -> None:
    ends.pipe.start()
    ends.other.sendall(wire.pack(4, "before it died"))
    ends.other.close()
    ends.pipe.drain()
    assert ends.messages == [(4, "before it died")]
    ends.pipe.close()
    await turns()
    assert ends.torn == 0


async def test_sending_to_a_dead_end_is_no_error(ends: Ends) -> None:
    ends.pipe.start()
    ends.other.close()
    ends.pipe.send(wire.pack(5, "in vain"))
    await turns()
    assert ends.torn == 1
    ends.pipe.send(wire.pack(6, "closed before it is sent"))
    ends.pipe.close()
    await turns()
