"""Files of a mosaic that lie on other grids than it, each warped into its part of the mosaic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import Raster, Warp, number_of
from geobatch_tui.execution.raster.source.member_files import MemberFiles, known_of, unpacked
from geobatch_tui.execution.raster.steps.step import facts_of
from geobatch_tui.execution.raster.warp import warp_window

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.plan import StepPlan
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.types import Indices, Pixels, Points, Valid

#: Numbers that are kept of a file: which warp, and two of its corner.
NUMBERS = 3


@dataclass(slots=True)
class WarpedFiles(MemberFiles):
    """The files of a mosaic on several grids.

    Attributes:
        raster: the mosaic.
        warps: how files come onto its grid.
        which: for each file which of them does; -1: none need.
        corners: (files, 2): the corner of the first pixel of each.
    """

    raster: Raster | None = None
    warps: tuple[Json, ...] = ()
    which: Indices | None = None
    corners: Points | None = None

    def prepare(self, step: StepPlan) -> None:
        """Take what the plan says of grids."""
        table = unpacked(step.values["warped"], NUMBERS)
        self.raster, self.warps = step.raster, tuple(step.values["warps"])
        self.which = table[:, 0]
        self.corners = np.ascontiguousarray(table[:, 1:]).view("<f8")

    def is_stored(self, number: int) -> bool:
        return self.which is None or self.which[number] < 0

    def opened(self, number: int) -> OpenSource:
        opened = MemberFiles.opened(self, number)
        if not self.is_stored(number) and self.corners is not None:
            # Of files that are alike but for their place, one was asked where it lies.
            a, b, _, d, e, _ = opened.facts.transform
            x, y = self.corners[number].tolist()
            opened.facts = replace(opened.facts, transform=(a, b, x, d, e, y))
        return opened

    def read(self, number: int, window: Window) -> tuple[Pixels, Valid | None]:
        if self.is_stored(number) or self.raster is None or self.which is None:
            return MemberFiles.read(self, number, window)
        place, told = self.window_of(number), self.warps[self.which[number]]
        opened, warp = self.opened(number), Warp.from_json(told["warp"])
        part = self._part(self.raster, place, opened, told)
        inside = Window(
            window.col_off - place.col_off, window.row_off - place.row_off,
            window.width, window.height,
        )  # fmt: skip
        needed = warp_window.needed_source(opened.facts, part, warp, inside)
        self.reading = self.paths[number], needed
        pixels, valid = warp_window.warp_window(opened, part, warp, inside)
        if valid is not None:
            return pixels, valid[np.newaxis]
        return pixels, known_of(facts_of(part), pixels)

    def _part(self, whole: Raster, place: Window, opened: OpenSource, told: Json) -> Raster:
        """Return the part of the mosaic that a file covers, with what the file has there."""
        a, _, x, _, e, y = whole.transform
        return replace(
            whole,
            width=place.width,
            height=place.height,
            transform=(a, 0.0, x + place.col_off * a, 0.0, e, y + place.row_off * e),
            count=opened.facts.count,
            dtype=opened.facts.dtype,
            validity=told["validity"],
            nodata=number_of(told["nodata"]),
        )
