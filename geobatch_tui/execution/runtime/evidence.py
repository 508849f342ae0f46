"""Evidence of failures as text: tails of fd 2, tracebacks, names of signals.

Nothing is made safe to show here: the text of a C library is kept as it is, with bytes that are no
UTF-8 as escapes. Whoever shows it makes it safe.
"""

from __future__ import annotations

import re
import signal
import traceback

#: Bytes of fd 2 that are kept of one task.
TAIL = 64 * 1024
#: A task that wrote more than this to fd 2 failed: nobody can tell what it said.
FLOOD = 16 * 1024 * 1024
#: Stands in place of the bytes that were cut out of a flooded file.
FLOOD_NOTE = "geobatch: this task floods fd 2:"
#: Characters kept of a traceback and of a message.
TRACEBACK = 64 * 1024
MESSAGE = 8 * 1024

#: Lines that tell of lost bytes, whatever the call returned. libtiff's write procedure says
#: `_tiffWriteProc: No space left on device.` and GDAL goes on as if nothing had happened.
_DAMAGE = re.compile(
    rb"^.*(?:_tiff\w*Proc\b|\bERROR\b|\bFATAL\b|No space left|Disk quota exceeded|File too large"
    rb"|Input/output error).*$",
    re.MULTILINE,
)
#: Errors of GDAL and PROJ as they warp past the edge of a projection: no bytes are lost, and the
#: pixels there are invalid by definition.
_HARMLESS = re.compile(
    rb"PROJ: .*(?:[Ii]nvalid (?:latitude|longitude|coordinate|x or y)|outside of projection domain"
    rb"|[Pp]oint outside|[Tt]olerance condition|[Nn]o inverse operation|[Nn]on-convergent)"
    rb"|Reprojection failed, err ="
    rb"|Unable to compute source region"
)


def tail(data: bytes, limit: int = TAIL) -> str:
    """Return the last ``limit`` bytes of a worker's output, as text that JSON can hold."""
    return data[-limit:].decode("utf-8", "backslashreplace")


def is_flooded(data: bytes) -> bool:
    """Whether a task wrote more to fd 2 than anybody can judge."""
    return len(data) > FLOOD or FLOOD_NOTE.encode() in data


def damage(data: bytes) -> str | None:
    """Return the first line of ``data`` that tells of lost bytes, or None."""
    for match in _DAMAGE.finditer(data):
        if not _HARMLESS.search(match[0]):
            return match[0][:MESSAGE].decode("utf-8", "backslashreplace").strip()
    return None


def harmless(text: str) -> bool:
    """Whether a message of GDAL only says that a point lies outside of a projection."""
    return _HARMLESS.search(text.encode("utf-8", "replace")) is not None


def message_of(error: BaseException) -> str:
    """Return the message of an exception, even if its ``__str__`` fails."""
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - boundary: a foreign __str__ may raise anything
        text = f"(its message cannot be made: {type(second).__name__})"
    return cut(text or type(error).__name__, MESSAGE)


def traceback_of(error: BaseException) -> str:
    """Return the full traceback with its causes; the middle is cut out of an endless one."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as second:  # noqa: BLE001 - boundary: a foreign __str__ may raise anything
        frames = "".join(traceback.format_tb(error.__traceback__))
        text = f"{frames}{type(error).__name__} (no text: {type(second).__name__})\n"
    return cut(text, TRACEBACK)


def cut(text: str, limit: int) -> str:
    """Return ``text`` if it fits ``limit`` characters, else its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


def exit_words(exitcode: int) -> str:
    """Say how a process ended; ``exitcode`` is as in multiprocessing."""
    if exitcode < 0:
        return f"died by {signal_name(exitcode)}"
    return f"exited with code {exitcode}"


def signal_name(exitcode: int) -> str:
    """Return ``SIGSEGV`` for -11; empty for an ordinary exit."""
    if exitcode >= 0:
        return ""
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"
