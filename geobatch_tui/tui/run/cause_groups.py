"""Dead letters grouped by cause: messages that differ only in numbers, paths and names are one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from geobatch_tui.tui.run.model import DeadGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.tui.run.model import LetterView

_SHORT = 3  #: characters of a name that may be a word of the message, too
_QUOTED = re.compile(r"'[^']{1,400}'|\"[^\"]{1,400}\"")
_PATH = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:/)?(?:/[^\s/:,;()]+){2,}/?")
_HEX = re.compile(r"\b(?:0x)?[0-9a-fA-F]{12,}\b")
_SIZE = re.compile(r"(?<![\w.])\+?\d+ ?x ?\d+\b")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[ ,]\d{3}(?![\d]))*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
_LIST = re.compile(r"<n>(?:, ?<n>)+(?: ?\.\.\.)?")


def normalised(message: str, source: str = "") -> str:
    """Replace what differs from chunk to chunk in a message; ``source`` is the file that it is of,
    whose name may have blanks and brackets.

    Quoted names become ``<name>``, paths ``<path>``, long hexadecimal words ``<hex>``, numbers
    ``<n>``, and so do lists of them: blocks and windows differ in how many there are, too.
    """
    text = message
    for name in (source, source.rpartition("/")[2]):
        if len(name) > _SHORT:
            text = text.replace(name, "<path>")
    text = _QUOTED.sub("<name>", text)
    text = _PATH.sub("<path>", text)
    text = _HEX.sub("<hex>", text)
    text = _SIZE.sub("<n>", text)
    return _LIST.sub("<n>", _NUMBER.sub("<n>", text)).strip()


def shortened(message: str) -> str:
    """Shorten each path in a message to its last part; the place stands beside it."""
    return _PATH.sub(lambda match: match[0].rstrip("/").rpartition("/")[2], message)


def grouped(letters: Iterable[LetterView]) -> tuple[DeadGroup, ...]:
    """Group letters by class and normalised message, the largest group first."""
    found: dict[tuple[str, str], list[LetterView]] = defaultdict(list)
    for letter in letters:
        found[letter.error_class, letter.cause].append(letter)
    groups = [_group(key, members) for key, members in found.items()]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.error_class)))


def _group(key: tuple[str, str], letters: Sequence[LetterView]) -> DeadGroup:
    times = [letter.t for letter in letters]
    suggestions = Counter(letter.suggestion for letter in letters if letter.suggestion)
    return DeadGroup(
        error_class=key[0],
        # One letter has nothing to be told apart from: its own words say more.
        message=shortened(letters[0].message) if len(letters) == 1 else key[1],
        count=len(letters),
        where=_where(letters),
        suggestion=suggestions.most_common(1)[0][0] if suggestions else "",
        attempts=max(letter.attempts for letter in letters),
        first_t=min(times),
        last_t=max(times),
        letters=tuple(letter.dead_id for letter in letters),
    )


def _where(letters: Sequence[LetterView]) -> str:
    """Return the place of a single letter, the one source of all, or the number of sources."""
    if len(letters) == 1:
        return letters[0].where
    sources = {letter.source for letter in letters}
    if len(sources) == 1:
        name = next(iter(sources)).rstrip("/").rpartition("/")[2]
        return f"all in {name}" if name else letters[0].where
    return f"{len(sources)} sources"
