"""Retries: the delay after a failed try, and the number that a run can afford."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.orchestration.schedule.events import Key

#: A server may ask for any wait; more than this is taken for a mistake, in seconds.
RETRY_AFTER_CAP = 3600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, the same on every replay.

    Args:
        max_attempts: tries that a unit gets in all, the first included.
        backoff_base: upper bound of the first delay, in seconds.
        backoff_cap: upper bound of every delay, in seconds.
        run_id: part of the seed, so that two runs do not wait in step.
        probes_wait: whether a probe waits for a store that is away, as chunks do.
    """

    max_attempts: int = 5
    backoff_base: float = 0.5
    backoff_cap: float = 60.0
    run_id: str = ""
    probes_wait: bool = False

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
