"""Surveys of all pixels that a step gets: they are made in parts, by all workers.

A part is named by what decides it: the source, the steps up to that which asks, and what the
surveys before it found. So a plan that was interrupted goes on where it was, and one whose later
steps changed makes none again.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.execution.params.frozen import may_survey
from geobatch_tui.execution.protocol.looking import SurveyReceipt, SurveyTask
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.orchestration.plan.fingerprints import digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from geobatch_tui.execution.protocol.messages import Json, Outcome, ProbeTask
    from geobatch_tui.orchestration.plan.parts.group_parts import Kept

    #: Has a worker look at a part.
    Ask = Callable[[SurveyTask[ProbeTask]], Awaitable[Outcome | Failure]]

#: Parts that are asked for at once.
TOGETHER = 64
#: Sources of fewer bytes are left to their probe, which opens them anyway.
SMALL = 2**22


class SurveyParts:
    """The surveys of one job's items.

    Args:
        ask: has a worker look at a part.
        kept: remembers them.
        code: digest of the code that looks.
    """

    def __init__(self, ask: Ask, kept: Kept, code: str) -> None:
        self._ask = ask
        self._kept = kept
        self._code = code

    async def ready(self, probe: ProbeTask) -> ProbeTask | Failure:
        """Return the probe with the surveys that it needs; those of a small source are left to
        it."""
        identity = probe.source_id
        if identity is None or identity.size < SMALL:
            return probe
        if not any(map(may_survey, probe.params.get("steps", ()))):
            return probe
        while True:
            told = await self._receipt(SurveyTask(0, probe))
            if isinstance(told, Failure):
                return told
            if not told.parts:
                return probe
            looks = await self._looks(probe, told)
            if isinstance(looks, Failure):
                return looks
            probe = replace(probe, surveys=(*probe.surveys, looks))

    async def _looks(self, probe: ProbeTask, told: SurveyReceipt) -> tuple[Json, ...] | Failure:
        """Return what each part shows; nothing more is asked for once one failed."""
        if probe.source_id is None:
            raise TypeError(f"a survey of {probe.key!r}, which is not identified")
        identity = [probe.source_id.size, probe.source_id.mtime_ns, probe.source_id.digest]
        steps = probe.params["steps"][: told.step]
        whose = [self._code, probe.key, probe.source_options, identity, steps, probe.surveys]
        name = digest(whose)
        found: dict[int, Json] = {}
        failures: list[Failure] = []

        async def run(parts: Iterator[int]) -> None:
            for part in parts:
                if failures:
                    return
                look = await self._look(f"{name}-{part}", SurveyTask(0, probe, part))
                if isinstance(look, Failure):
                    failures.append(look)
                else:
                    found[part] = look

        parts = iter(range(told.parts))
        await asyncio.gather(*(run(parts) for _ in range(TOGETHER)))
        return failures[0] if failures else tuple(found[part] for part in range(told.parts))

    async def _look(self, name: str, task: SurveyTask[ProbeTask]) -> Json | Failure:
        body = self._kept.recall(name)
        if body is not None:
            self._kept.keep(name, None)
            look: Json = json.loads(zlib.decompress(body))
            return look
        told = await self._receipt(task)
        if isinstance(told, Failure):
            return told
        self._kept.keep(name, zlib.compress(json.dumps(told.look).encode()))
        return told.look

    async def _receipt(self, task: SurveyTask[ProbeTask]) -> SurveyReceipt | Failure:
        outcome = await self._ask(task)
        if isinstance(outcome, Failure):
            return outcome
        if not isinstance(outcome.receipt, SurveyReceipt):
            raise TypeError(f"a survey of {task.source!r}: {type(outcome.receipt).__name__}")
        return outcome.receipt
