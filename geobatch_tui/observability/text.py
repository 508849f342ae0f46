r"""Foreign text made visible: file names, error texts and values that could drive a terminal.

Every character that does not print as itself is written as an escape: ``\xNN`` for C0 controls,
DEL and undecodable bytes (surrogates of ``surrogateescape``), ``\uNNNN`` or ``\UNNNNNNNN`` for
C1 controls, bidi controls, zero-width and other invisible characters. A backslash is doubled only
where it would read as such an escape, so the result tells two different inputs apart.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Letters and marks that Python counts as printable, but that show as nothing at all.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0"
_SUSPECT = re.compile(f"[\\\\{_INVISIBLE}]")
_RAW_BYTE = range(0xDC80, 0xDD00)
_ELLIPSIS = "…"


def safe(text: str, limit: int | None = None) -> str:
    """Write ``text`` on one line, without anything that could drive a terminal.

    The result is printable, encodes to UTF-8, and (without ``limit``) is injective. Of more than
    ``limit`` characters it ends in an ellipsis, and is never cut inside an escape.
    """
    if text.isprintable() and not _SUSPECT.search(text):
        if limit is None or len(text) <= limit:
            return text
        pieces: Sequence[str] = text
    else:
        pieces = _pieces(text)
    return "".join(pieces) if limit is None else _cut(pieces, limit)


def safe_lines(text: str) -> str:
    """Do as :func:`safe`, and keep line breaks, as for tracebacks."""
    return "\n".join(safe(line) for line in text.split("\n"))


def harmless(text: str) -> str:
    """Do as :func:`safe`, but only once: text of a ledger or its log, which is safe, stays."""
    bare = text.replace("\\", "")
    return text if safe(bare) == bare else safe(text)


def harmless_lines(text: str) -> str:
    """Do as :func:`harmless`, and keep line breaks."""
    return "\n".join(harmless(line) for line in text.split("\n"))


def _pieces(text: str) -> list[str]:
    pieces = []
    for position, char in enumerate(text):
        if char == "\\":
            following = text[position + 1 : position + 2]
            ambiguous = following in "xuU\\" or not _shows(following)
            pieces.append("\\\\" if following and ambiguous else char)
        elif _shows(char):
            pieces.append(char)
        else:
            pieces.append(_escape(ord(char)))
    return pieces


def _shows(char: str) -> bool:
    return char.isprintable() and char not in _INVISIBLE


def _escape(code: int) -> str:
    if code in _RAW_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _cut(pieces: Sequence[str], limit: int) -> str:
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    fitting: list[str] = []
    room = limit - len(_ELLIPSIS)
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        fitting.append(piece)
    return "".join(fitting) + _ELLIPSIS if limit > 0 else ""


def pasteable(command: str) -> str:
    """Write a shell command in printable characters only: to paste it types it, and no more.

    Words with control characters or undecodable bytes are quoted as ``$'...'``, which bash, zsh
    and ksh read back to the same bytes.
    """
    if safe(command.replace("\\", "/")) == command.replace("\\", "/"):
        return command
    try:
        words = shlex.split(command)
    except ValueError:
        return safe(command)
    return " ".join(_quoted(word) for word in words)


def command_line(command: str, *arguments: object) -> str:
    """Return a command to paste, its arguments quoted for a shell."""
    return pasteable(" ".join([command, *(shlex.quote(str(argument)) for argument in arguments)]))


def proper(command: str) -> str:
    """Make a ledger's command pasteable; empty if it has another form than ours have.

    Ours are one program and its words, each quoted where it has to be. Another one might be pasted
    without a look.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    return pasteable(command) if words and shlex.join(words) == command else ""


def _quoted(word: str) -> str:
    if safe(word.replace("\\", "/")) == word.replace("\\", "/"):
        return shlex.quote(word)
    # Octal, as it ends after three digits: some shells take more than two behind \\x.
    return "$'" + "".join(map(_typed, os.fsencode(word))) + "'"


def _typed(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b"'\\"
    return chr(byte) if plain else f"\\{byte:03o}"
