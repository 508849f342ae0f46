"""How much a terminal may be sent now, by how long it took to come to what was sent before.

What lies between a console and its terminal (the pty, sshd, the network) takes more bytes than a
slow line carries in a minute, and tells nobody. So the terminal itself is asked, behind each
picture, for the position of its cursor: it answers once it has come that far. One that never
answers, or no more, is not asked again, and nothing is held back for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ASK: Final = "\x1b[6n"
"""What a terminal answers with the position of its cursor."""

_TIMES: Final = 8
PROBE: Final = f"\x1b[H \x1b[{_TIMES}b"
"""What goes before the first question: a blank, and a sequence that repeats it where the terminal
knows that. No table of terminals says which do; the position of their cursor does."""

UNLIMITED: Final = 1 << 30

_PATIENCE: Final = 10.0  #: seconds after which an answer is taken to be lost
_SLOWEST: Final = 500  #: bytes a second of the slowest line, on which large pictures take longer
_FIRST_ANSWER: Final = 0.5  #: seconds after which a terminal may be one that gives none
_PART_SECONDS: Final = 0.3  #: of the line's time that one part of a picture may take
_SMALLEST_PART: Final = 400  #: bytes
_AHEAD: Final = 600  #: bytes under way that the picture after a key need not wait for
_TELLING: Final = 200  #: bytes of a part that tells how fast the line is
_MEMORY: Final = 0.75  #: how much of what earlier parts tell counts with each one
_SLOW: Final = 8000  #: bytes a second below which a line is slow, until it is thrice as fast
_SURE: Final = 4  #: parts in a row that say so: a busy machine makes one late, too
_REST: Final = 2.0  #: how many times as long as it was busy the line rests, unless a key comes
_LONGEST_REST: Final = 3.0
_REMEMBERED: Final = 64  #: answers
_KEY_SECONDS: Final = 0.15  #: time that the console may take for the picture after a key


class _Part(NamedTuple):
    """What was sent: when, how many bytes, and whether the line was empty."""

    at: float
    size: int
    alone: bool


class LineLoad:
    """What is under way to a terminal. Keys and answers come in a thread of their own.

    Args:
        clock: seconds.

    Attributes:
        answers: whether the terminal answers: it has, and was not waited for in vain since. Else
            nothing is held back.
        repeats: whether the terminal knows the sequence that repeats a glyph.
        is_slow: whether what is sent is to be short even where it is less beautiful.
        sent_parts: how many parts of pictures were sent, with a question behind each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.answers = False
        self.repeats = False
        self.is_slow = False
        self.sent_parts = 0
        self._slow_parts = 0
        self._asked = self._probed = False
        #: The numbers of parts that the terminal came to, each with the time when it said so.
        self._reached: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=_REMEMBERED)
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: deque[_Part] = deque()
        self._last_answer = 0.0
        self._fastest = float("inf")  # answer: that of an empty line
        self._rate = float("inf")
        self._told_bytes = self._told_seconds = 0.0  # of parts that tell it, older ones count less
        self._rests_until = 0.0
        self._key_at: float | None = None

    def wants_question(self) -> bool:
        """Whether to ask behind what is sent next: not again before the first answer, nor where an
        answer was waited for in vain."""
        return self.answers or not self._asked

    def sent(self, count: int, *, whole: bool = True) -> None:
        """Note that so many bytes were sent, with a question behind them, and whether they make the
        picture whole."""
        with self._lock:
            now = self._clock()
            self._asked = True
            self.sent_parts += 1
            self._under_way.append(_Part(now, count, not self._under_way))
            if whole and self._key_at is not None and now > self._key_at + _KEY_SECONDS:
                self._key_at = None

    def key_came(self) -> None:
        """Note that the operator did something: its picture is wanted at once."""
        with self._lock:
            self._key_at = self._clock()

    def answered(self, column: int = 0) -> None:
        """Note that the terminal has come to the next question, with its cursor in this column, the
        first of which is 0."""
        with self._lock:
            if not self._probed:
                self._probed = True
                self.repeats = column == 1 + _TIMES
            self.answers = True
            if not self._under_way:
                return
            now = self._clock()
            part = self._under_way.popleft()
            self._reached.append((self.sent_parts - len(self._under_way), now))
            self._fastest = min(self._fastest, now - part.at)
            busy = now - part.at - self._fastest if part.alone else now - self._last_answer
            self._last_answer = now
            if part.size >= _TELLING:
                # No mean of rates: what goes through a buffer at once says nothing of the line.
                self._told_bytes = _MEMORY * self._told_bytes + part.size
                self._told_seconds = _MEMORY * self._told_seconds + max(busy, 0.001)
                self._rate = self._told_bytes / self._told_seconds
                self._slow_parts = self._slow_parts + 1 if self._rate < _SLOW else 0
                self.is_slow = self._slow_parts >= _SURE or (
                    self.is_slow and self._rate < 3 * _SLOW
                )
            self._rests_until = now + min(_REST * busy, _LONGEST_REST)

    def is_waiting(self) -> bool:
        """Whether an answer is under way, as far as is known of a terminal that never gave one."""
        with self._lock:
            if not self._under_way:
                return False
            return self.answers or self._clock() < self._under_way[0].at + _FIRST_ANSWER

    def room(self) -> int:
        """Return how many bytes a part of a picture may have now; 0: none is to be sent."""
        with self._lock:
            now = self._clock()
            if self.answers and self._under_way and _expires(self._under_way[0]) < now:
                self.answers = False
                self._under_way.clear()
            if not self.answers:
                return UNLIMITED
            ahead = sum(part.size for part in self._under_way)
            hurried = self._key_at is not None
            rests = now < self._rests_until
            if ahead > _AHEAD or (not hurried and (rests or self._under_way)):
                return 0
            return max(_SMALLEST_PART, int(min(self._rate * _PART_SECONDS, UNLIMITED)))

    def wait(self) -> float:
        """Return the seconds after which there may be room though no answer and no key came."""
        with self._lock:
            now = self._clock()
            if self._under_way:
                return max(_expires(self._under_way[0]) - now, 0.01)
            return max(self._rests_until - now, 0.01)

    def reached_at(self, part: int) -> float | None:
        """Return when the terminal had come to a part, by its number from 1; None: not yet. That of
        one that does not answer is now."""
        with self._lock:
            if not self.answers:
                return self._clock()
            return next((at for number, at in self._reached if number >= part), None)


def _expires(part: _Part) -> float:
    """Return when an answer to a part is taken to be lost."""
    return part.at + max(_PATIENCE, part.size / _SLOWEST)
