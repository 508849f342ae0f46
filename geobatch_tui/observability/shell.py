"""Shell commands to be shown and copied, whatever the names in them."""

from __future__ import annotations

import os
import shlex

from geobatch_tui.observability.text import safe


def pasteable(command: str) -> str:
    """A shell command in printable characters only, so that pasting it does nothing but type it.

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


def proper(command: str) -> str:
    """A command that a ledger keeps, pasteable; empty if it is not of the form that ours have: one
    program and its words, each quoted where it has to be. Anything else is not run when pasted
    without looking."""
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
