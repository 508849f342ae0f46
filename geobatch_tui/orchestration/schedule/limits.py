"""Limits: when and how often a unit is tried again, and what stops a run: failures of the machine,
too many failures, workers that cannot start."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from geobatch_tui.errors import Reaction

if TYPE_CHECKING:
    from geobatch_tui.config.units import FailureLimit
    from geobatch_tui.orchestration.schedule.events import Key

#: A server may ask for any wait; more than this is taken for a mistake, in seconds.
RETRY_AFTER_CAP = 3600.0

#: Failures that there must be before anything is called systemic.
MINIMUM = 20
SHARE = 0.5
WINDOW = 40
POISON_WINDOW = 200

_COUNTED = frozenset({Reaction.TRANSIENT, Reaction.RESOURCE, Reaction.UNKNOWN})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, the same on every replay.

    Args:
        max_attempts: tries that a unit gets in all, the first included.
        backoff_base: upper bound of the first delay, in seconds.
        backoff_cap: upper bound of every delay, in seconds.
        run_id: part of the seed, so that two runs do not wait in step.
    """

    max_attempts: int = 5
    backoff_base: float = 0.5
    backoff_cap: float = 60.0
    run_id: str = ""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        for name in ("backoff_base", "backoff_cap"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, not {value}")

    def delay(self, key: Key, n: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after the ``n``-th failed try (from 1) of the unit ``key``.

        Full jitter: ``U(0, min(cap, base * 2**(n - 1)))`` (M. Brooker, "Exponential Backoff and
        Jitter", AWS Architecture Blog, 2015). ``retry_after`` (seconds) is a lower bound: then
        up to a tenth of it is added, because a server that is overloaded has told everybody the
        same number.
        """
        chance = self._uniform(key, n)
        # 2**n overflows a float from n = 1024 on; the cap has long been reached by 64.
        delay = chance * min(self.backoff_cap, self.backoff_base * 2.0 ** min(n - 1, 64))
        if retry_after is None or not math.isfinite(retry_after) or retry_after <= 0:
            return delay
        return max(delay, min(retry_after, RETRY_AFTER_CAP) * (1 + 0.1 * chance))

    def _uniform(self, key: Key, n: int) -> float:
        """Return a number in [0, 1) that depends only on the run, the unit and ``n``."""
        seed = f"{self.run_id}\0{key[0].value}\0{key[1]}\0{n}".encode("utf-8", "surrogateescape")
        return int.from_bytes(blake2b(seed, digest_size=7).digest()) / (1 << 56)


class RetryBudget:
    """Tokens for retries of transient failures, so that an outage cannot multiply the load.

    A success earns a tenth of a token, a retry costs one. A run starts with ``initial`` tokens:
    a short job may retry before it has succeeded at anything. A long run of successes saves up 100
    at most, or ten million chunks would buy a million retries in an outage.
    """

    CEILING = 100

    def __init__(self, initial: int = 10) -> None:
        # Tenths, as integers: ten times 0.1 is not 1.0, and replays must agree.
        self._tenths = initial * 10

    def earn(self) -> None:
        if self._tenths < self.CEILING * 10:
            self._tenths += 1

    def spend(self) -> bool:
        """Take one token; False if there is none."""
        if self._tenths < 10:
            return False
        self._tenths -= 10
        return True


class FailureWindow:
    """The last ``size`` outcomes. They look systemic when at least ``minimum`` of them, and at
    least half, are failures."""

    def __init__(self, size: int, minimum: int = MINIMUM) -> None:
        self._size = size
        self._minimum = minimum
        self._outcomes: deque[bool] = deque()
        self._failed = 0

    def note(self, *, failed: bool) -> None:
        outcomes = self._outcomes
        outcomes.append(failed)
        self._failed += failed
        if len(outcomes) > self._size:
            self._failed -= outcomes.popleft()

    @property
    def systemic(self) -> bool:
        return self._failed >= self._minimum and self._failed >= SHARE * len(self._outcomes)


class Breaker:
    """Opens when failures stop being about single chunks.

    It sees final outcomes only: a unit that succeeded in the end is a success, however often it
    was tried. Invalid input (``permanent``) is no evidence about the machine, and is not counted.

    The textbook rule, half of the last 20, calls ten bad chunks side by side at the start of a
    job an outage. An outage hits whatever is tried; bad chunks are a bounded set. So the rule
    asks for 20 failures, and for half of the last 40: that opens after 20 failures in a row in
    the middle of a run, and never for fewer than 20 bad chunks close together.

    Poison gets a longer memory, because it arrives bunched by its nature: suspects leave
    their lane one after the other when everything else has long succeeded. Half of the last
    200 (or of all, before that) tells "each chunk crashes GDAL" from "the 25 crashing ones were
    judged last".
    """

    def __init__(self) -> None:
        self._recent = FailureWindow(WINDOW)
        self._poison = FailureWindow(POISON_WINDOW)

    def succeeded(self) -> None:
        self._recent.note(failed=False)
        self._poison.note(failed=False)

    def buried(self, reaction: Reaction) -> bool:
        """Note a dead letter; True if the failures now look systemic."""
        if reaction is Reaction.POISON:
            self._poison.note(failed=True)
            return self._poison.systemic
        if reaction in _COUNTED:
            self._recent.note(failed=True)
            return self._recent.systemic
        return False


def exceeds(limit: FailureLimit | None, dead: int, total: int) -> bool:
    """Whether ``dead`` dead letters of ``total`` units are more than ``limit`` tolerates. A share
    of an unknown ``total`` (0) is never exceeded."""
    if limit is None:
        return False
    if limit.count is not None and dead > limit.count:
        return True
    return limit.share is not None and total > 0 and dead > limit.share * total


class CrashLoop:
    """Worker deaths in a row that no unit is to blame for.

    Five in a row mean that workers cannot live here (a library is missing, a limit too low), and
    starting more only burns the machine. A kill from outside counts a hundredth: an operator or a
    test may shoot at workers while they start, faster than they can; but where something kills
    each of them for good, the run must end at last.
    """

    def __init__(self, limit: int = 5) -> None:
        self._limit = limit * 100
        self._hundredths = 0

    def alive(self) -> None:
        """Something worked: the row is broken."""
        self._hundredths = 0

    def died(self, *, from_outside: bool) -> bool:
        """Note a death; True if it is a crash loop."""
        self._hundredths += 1 if from_outside else 100
        return self._hundredths >= self._limit
