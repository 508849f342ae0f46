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
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from geobatch_tui import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER = struct.Struct("!IQ")
#: A frame larger than this is no message of ours but a lost framing.
LIMIT = 1 << 30

_ROOM = "geobatch_tui.execution.protocol"
#: Modules of messages. Each is loaded by the first message of it: an engine that shows nothing has
#: no use for previews.
_MODULES = frozenset(f"{_ROOM}.{name}" for name in (
    "looking", "messages", "preview_messages", "segments", "window",
))  # fmt: skip
_SEGMENTS = f"{_ROOM}.segments"


class _Arguments(dict[type, "Callable[[object], tuple[object, ...]] | None"]):
    """Makers of the arguments that make a message anew, by its type; None: it is pickled as others.
    By default each field of a frozen one is set by a loop in Python, which takes the engine longer
    than all the rest of a frame."""

    def __missing__(self, kind: type) -> Callable[[object], tuple[object, ...]] | None:
        made = None
        if kind.__module__ in _MODULES and kind.__module__ != _SEGMENTS and is_dataclass(kind):
            names = [field.name for field in fields(kind)]
            made = attrgetter(*names) if len(names) > 1 else None
        self[kind] = made
        return made


_ARGUMENTS = _Arguments()


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing: object) -> Any:
        arguments = _ARGUMENTS[type(thing)]
        return NotImplemented if arguments is None else (type(thing), arguments(thing))


@cache
def _class_of(module: str, name: str) -> type:
    """Find a message type. Raises UnpicklingError for anything else."""
    found: object = None
    if module in _MODULES:
        found = vars(import_module(module)).get(name)
    elif (module, name) == (errors.__name__, errors.Reaction.__name__):
        found = errors.Reaction
    if not isinstance(found, type) or found.__module__ != module:
        raise pickle.UnpicklingError(f"{module}.{name} is not a message type")
    return found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        return _class_of(module, name)


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
