"""Looks at the files of a group, some at a time: what each is, and where it lies.

Most of them are alike but for their place, so what they are is told once for each kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster import source_raster
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.source import (
    block_file,
    object_source,
    opened_source,
    size_checks,
)
from geobatch_tui.execution.raster.source.member_files import packed, unpacked
from geobatch_tui.execution.raster.source.twin_files import Twin, Twins
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.sources.object_sources import place_of_version
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.types import Indices, Points

    #: Places an open file, and notes warnings and where its CRS comes from.
    Place = Callable[[DatasetReader, list[str], dict[str, object]], PixelGrid]


#: Objects whose heads are on their way, that of the next among them.
AHEAD = 8
#: Numbers that are kept of a file: its kind, two of its corner, size and time.
_NUMBERS = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """What files are, but for their place.

    Attributes:
        facts: those that GDAL tells; their transform has no corner.
        crs: WKT of the CRS that the job gives them.
        step: width and height of a pixel in its units, and two numbers for its rotation: the
            first, second, fourth and fifth of a transform.
        block_bytes: of one of their blocks.
        known: notes, as where the CRS comes from.
        warnings: sentences for the operator.
    """

    facts: Facts
    crs: str
    step: tuple[float, float, float, float]
    block_bytes: int
    known: Json
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return it JSON-ready, for :meth:`from_json`."""
        return {
            "facts": self.facts.to_notes(), "crs": self.crs, "step": list(self.step),
            "block_bytes": self.block_bytes, "known": dict(self.known),
            "warnings": list(self.warnings),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Json) -> Kind:
        """Raises ValueError if it is not what :meth:`to_json` made."""
        facts = Facts.from_notes(data["facts"])
        if facts is None:
            raise ValueError("a kind of files without its facts")
        a, b, d, e = data["step"]
        step, warnings = (a, b, d, e), tuple(data["warnings"])
        return cls(facts, data["crs"], step, data["block_bytes"], data["known"], warnings)

    def grid(self, corner: tuple[float, float]) -> PixelGrid:
        """Return the grid of a file whose first pixel has this corner."""
        (a, b, d, e), (x, y) = self.step, corner
        crs = crs_lookup.crs_of(self.crs)
        return PixelGrid(crs, (a, b, x, d, e, y), self.facts.width, self.facts.height)


@dataclass(frozen=True, slots=True)
class Looks:
    """What some files are, in their order.

    Attributes:
        kinds: each is there once.
        kind: the number of each file's kind.
        corners: (files, 2): where the corner of the first pixel lies, in units of the CRS.
        statuses: (files, 2): size in bytes and time of each.
    """

    kinds: tuple[Kind, ...]
    kind: Indices
    corners: Points
    statuses: Indices

    def to_json(self) -> dict[str, object]:
        """Return it JSON-ready and small, for :meth:`joined`."""
        corners = np.ascontiguousarray(self.corners, "<f8").view("<i8")
        table = np.column_stack([self.kind, corners, self.statuses])
        return {"kinds": [kind.to_json() for kind in self.kinds], "files": packed(table, _NUMBERS)}

    @classmethod
    def joined(cls, parts: Sequence[Json]) -> Looks:
        """Join parts that :meth:`to_json` made, in their order."""
        numbers: dict[str, int] = {}
        kinds, tables = [], []
        for part in parts:
            own = []
            for data in part["kinds"]:
                text = json.dumps(data, sort_keys=True)
                if text not in numbers:
                    numbers[text] = len(numbers)
                    kinds.append(Kind.from_json(data))
                own.append(numbers[text])
            table = unpacked(part["files"], _NUMBERS)
            table[:, 0] = np.array(own)[table[:, 0]]
            tables.append(table)
        whole = np.concatenate(tables)
        corners = np.ascontiguousarray(whole[:, 1:3]).view("<f8")
        return cls(tuple(kinds), whole[:, 0], corners, whole[:, 3:5])


@dataclass(slots=True)
class _Looking:
    """The files so far; ``known`` has of each kind of twins its number, and what to add to the tie
    point of one for the corner of its first pixel."""

    place: Place
    allow_vrt: bool
    numbers: dict[str, int] = field(default_factory=dict)
    kinds: list[Kind] = field(default_factory=list)
    rows: list[tuple[int, int, int]] = field(default_factory=list)
    corners: list[tuple[float, float]] = field(default_factory=list)
    twins: Twins = field(default_factory=Twins)
    known: dict[bytes, tuple[int, float, float]] = field(default_factory=dict)

    def add(self, path: str) -> None:
        size, moment, twin = self._status(path)
        if twin is not None and twin.kind in self.known:
            number, right, down = self.known[twin.kind]
            corner = twin.x + right, twin.y + down
        else:
            number, corner = self._open(path)
            if twin is not None:
                self.known[twin.kind] = number, corner[0] - twin.x, corner[1] - twin.y
        self.rows.append((number, size, moment))
        self.corners.append(corner)

    def _status(self, path: str) -> tuple[int, int, Twin | None]:
        if is_url(path):
            return *place_of_version(block_file.object_at(path).version), None
        now = os.stat(path)  # noqa: PTH116 -- thousands of them
        return now.st_size, now.st_mtime_ns, self.twins.look(path)

    def _open(self, path: str) -> tuple[int, tuple[float, float]]:
        with opened_source.open_source(path, allow_vrt=self.allow_vrt, head=True) as dataset:
            source_raster.check_types(path, dataset)
            size_checks.refuse_bomb(path, dataset, sys.maxsize)
            facts, warnings = source_raster.facts_of_source(dataset)
            known: dict[str, object] = {}
            placed = self.place(dataset, warnings, known)
            a, b, x, d, e, y = placed.transform
            own = replace(facts, transform=(*facts.transform[:2], 0.0, *facts.transform[3:5], 0.0))
            block, wkt = size_checks.block_bytes(dataset), crs_lookup.wkt_of(placed.crs)
            kind = Kind(own, wkt, (a, b, d, e), block, known, tuple(warnings))
        text = json.dumps(kind.to_json(), sort_keys=True)
        if text not in self.numbers:
            self.numbers[text] = len(self.kinds)
            self.kinds.append(kind)
        return self.numbers[text], (x, y)


def look(paths: Sequence[str], place: Place, *, allow_vrt: bool) -> Looks:
    """Look at ``paths``; plain GeoTIFFs like one before are read by their directory alone.

    Raises:
        InvalidInputError and its kin: a file cannot be opened; the message names it.
    """
    looking = _Looking(place, allow_vrt)
    with contextlib.ExitStack() as stack:
        stack.enter_context(opened_source.gdal_options())
        for number, path in enumerate(paths):
            for one in filter(is_url, paths[number : number + AHEAD]):
                object_source.foresee(one, None, beside=True)
            looking.add(path)
    rows = np.array(looking.rows, "<i8").reshape(-1, 3)
    corners = np.array(looking.corners, "<f8").reshape(-1, 2)
    return Looks(tuple(looking.kinds), rows[:, 0], corners, rows[:, 1:])
