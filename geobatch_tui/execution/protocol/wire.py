"""Frames on the pipe between the engine and a worker.

A frame is a length and a task id in front of a pickle. The id is outside, so that a message that
cannot be read can still be answered. Only our own message types are unpickled: a worker that a
hostile file took over cannot make the engine run its code.
"""

from __future__ import annotations

import io
import pickle
import struct
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from geobatch_tui import errors
from geobatch_tui.execution.protocol import looking, messages, preview_messages, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER = struct.Struct("!IQ")
#: A frame larger than this is no message of ours but a lost framing.
LIMIT = 1 << 30

_CLASSES: dict[tuple[str, str], type] = {
    (thing.__module__, name): thing
    for name, thing in (
        *vars(looking).items(),
        *vars(messages).items(),
        *vars(preview_messages).items(),
        *vars(segments).items(),
        ("Reaction", errors.Reaction),
    )
    if isinstance(thing, type) and thing.__module__.startswith("geobatch_tui.")
}


#: A message as the arguments that make it. By default each field of a frozen one is set by a loop
#: in Python, which takes the engine longer than all the rest of a frame.
_ARGUMENTS: dict[type, Callable[[object], tuple[object, ...]]] = {
    thing: attrgetter(*(field.name for field in fields(thing)))
    for thing in _CLASSES.values()
    if thing.__module__ != segments.__name__ and is_dataclass(thing) and len(fields(thing)) > 1
}


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing: object) -> Any:
        arguments = _ARGUMENTS.get(type(thing))
        return NotImplemented if arguments is None else (type(thing), arguments(thing))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        message_type = _CLASSES.get((module, name))
        if message_type is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not a message type")
        return message_type


def pack(ident: int, message: object) -> bytes:
    """Make a frame. Raises whatever pickling raises for a message that is not plain."""
    buffer = io.BytesIO()
    _Pickler(buffer, 5).dump(message)
    body = buffer.getbuffer()
    return HEADER.pack(len(body), ident) + body


def unpack(body: bytes) -> Any:
    """Read the message in a frame's body. Raises UnpicklingError for foreign types."""
    return _Unpickler(io.BytesIO(body)).load()


class Frames:
    """Cuts a stream of bytes into frames, however the bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add bytes; give ``(task id, body)`` of each frame that is now complete. Raises ValueError
        if the framing is lost."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER.size:
                length, ident = HEADER.unpack_from(buffer, start)
                if length > LIMIT:
                    raise ValueError(f"a frame of {length} bytes")
                end = start + HEADER.size + length
                if len(buffer) < end:
                    break
                body = bytes(buffer[start + HEADER.size : end])
                start = end
                yield ident, body
        finally:
            del buffer[:start]
