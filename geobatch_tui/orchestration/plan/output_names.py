"""Names of outputs, where they are made of texts that strangers chose."""

from __future__ import annotations

import hashlib
import os
import unicodedata

#: Bytes of the longest name of a file.
NAME_MAX = 255
ROOM = 100
"""Bytes of a layer's name, or of a field, in that of an output."""

_PLAIN = frozenset("-_. ")
_KINDS = frozenset("LMN")
"""First letters of Unicode's categories of letters, marks and digits."""


def shortened(stem: str, room: int) -> str:
    """Return ``stem`` in at most ``room`` bytes; if it is longer, its head and a mark of it all."""
    raw = os.fsencode(stem)
    return stem if len(raw) <= room else marked(raw, raw, room)


def marked(head: bytes, whole: bytes, room: int) -> str:
    """Return the ``head`` of a name and a mark of the ``whole``, in at most ``room`` bytes."""
    mark = hashlib.blake2b(whole, digest_size=4).hexdigest()
    # The cut may fall inside a character, which must not become odd bytes.
    return f"{head[: room - 9].decode('utf-8', 'ignore')}~{mark}"


def folded(key: str) -> str:
    """Return a form that is the same for names that some filesystems do not tell apart."""
    return unicodedata.normalize("NFC", key).casefold()


def plain_name(text: str, *, marks: bool) -> str:
    """Return ``text`` as a part of a file's name: characters other than letters, digits, ``-``,
    ``_``, ``.`` and blank become ``_``. A name that is changed, or too long, or of which ``marks``
    is asked, ends in a mark of the text."""
    plain = "".join(
        sign if sign in _PLAIN or unicodedata.category(sign)[0] in _KINDS else "_" for sign in text
    ).strip(". ")
    raw = os.fsencode(plain)
    if plain == text and len(raw) <= ROOM and not marks:
        return plain
    return marked(raw, text.encode("utf-8", "surrogatepass"), ROOM)


def key_of(name: str, suffix: str) -> str:
    """Return the path of an output whose ``name`` has no suffix yet; parts that are too long are
    cut, and marked."""
    *folders, last = name.split("/")
    parts = [shortened(folder, NAME_MAX) for folder in folders]
    return "/".join([*parts, shortened(last, NAME_MAX - len(suffix)) + suffix])
