"""Surveys: what a step has to know of all pixels that it gets, before it can be planned.

A survey of a large raster is made in parts, each a task of its own whose result the ledger keeps
(``orchestration/plan/parts``), so that all workers make it and none is made twice. What is found
depends neither on the parts nor on their order.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, NoReturn, Protocol

from geobatch_tui.execution.protocol.looking import SurveyReceipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster

#: Pixels of a part, at least: a second or so of work, which is what an end costs.
PART = 2**26


class Surveyed[Block](Protocol):
    """A raster whose windows are computed: an ``Upstream``."""

    @property
    def raster(self) -> Raster: ...

    def windows(self) -> Iterator[Window]: ...

    def parts(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Block]]: ...


class Survey[Block, Found](Protocol):
    """Looks at pixels, some windows at a time, and joins what it saw."""

    def look(self, up: Raster, parts: Iterable[tuple[Window, Block]]) -> Json:
        """Return what is to be known of these windows of ``up``."""
        ...

    def join(self, up: Raster, looks: Sequence[Json]) -> Found:
        """Return what is to be known of all of ``up``."""
        ...


class Reached(Exception):  # noqa: N818 -- no error: what was asked for is found
    """Ends a planning that was for a part of a survey alone."""

    def __init__(self, receipt: SurveyReceipt) -> None:
        super().__init__(receipt)
        self.receipt = receipt


@dataclass(slots=True)
class Surveys:
    """The surveys of a chain, in the order in which planning asks for them.

    Attributes:
        known: what the parts of the first of them show.
        asked: whether planning ends at the first that is not known.
        part: which of its parts is looked at; None: it is only told how many there are.
        step: the number in the job of the step that is planned.
        most: of how many parts a survey has at most; 0: of any number.
    """

    known: Sequence[Sequence[Json]] = ()
    asked: bool = False
    part: int | None = None
    step: int = 0
    most: int = 0
    _taken: int = 0

    def take[Block, Found](
        self, survey: Survey[Block, Found], up: Surveyed[Block]
    ) -> tuple[Found, float]:
        """Return what a survey of ``up`` finds, and the seconds that it took.

        Raises:
            CorruptSourceError: pixels cannot be read.
            Reached: only a part of it was asked for.
        """
        number, self._taken = self._taken, self._taken + 1
        if number < len(self.known):
            looks = self.known[number]
        else:
            windows = [*up.windows()]
            if self.asked:
                self._answer(survey, up, windows)
            looks = [_look(survey, up, windows)]
        found = survey.join(up.raster, [look["found"] for look in looks])
        return found, sum(float(look["seconds"]) for look in looks)

    def _answer[Block, Found](
        self, survey: Survey[Block, Found], up: Surveyed[Block], windows: Sequence[Window]
    ) -> NoReturn:
        """Raise Reached with the part, or with how many there are."""
        enough = -(-len(windows) // self.most) if self.most else 1
        parts = [*batched(windows, max(enough, PART // windows[0].size))]
        look = {} if self.part is None else _look(survey, up, parts[self.part])
        raise Reached(SurveyReceipt(len(parts), self.step, look))


def _look[Block, Found](
    survey: Survey[Block, Found], up: Surveyed[Block], windows: Sequence[Window]
) -> Json:
    began = time.monotonic()
    found = survey.look(up.raster, up.parts(windows))
    return {"found": found, "seconds": round(time.monotonic() - began, 3)}
