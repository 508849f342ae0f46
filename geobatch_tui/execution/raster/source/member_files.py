"""The files of a mosaic or a stack: where each lies on the grid of all, and its pixels there."""

from __future__ import annotations

import base64
import contextlib
import os
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SourceChangedError, SourceNotFoundError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.source import block_file, opened_source
from geobatch_tui.execution.raster.source.opened_source import OpenSource
from geobatch_tui.execution.raster.source.twin_files import Twins
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.sources.object_sources import place_of_version
from geobatch_tui.execution.stores.network_faults import changed
from geobatch_tui.execution.stores.object_url import ObjectUrl, is_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.execution.raster.types import Indices, Pixels, Valid
    from geobatch_tui.execution.stores.store_client import Version

#: Files that a worker has open at once.
MOST_OPEN = 16
#: Numbers that are kept of a file: its window on the grid of all, its size and its time.
_NUMBERS = 6


def packed(rows: Iterable[Sequence[int]], numbers: int = _NUMBERS) -> str:
    """Return rows of ``numbers``, as windows, sizes and times of files, as text for a plan: a
    hundred thousand of them take less than a megabyte."""
    table = np.array(list(rows), "<i8").reshape(-1, numbers)
    # Columns first, as differences: the numbers of one kind are alike.
    steps = np.diff(table, axis=0, prepend=np.zeros((1, numbers), "<i8"))
    return base64.b64encode(zlib.compress(np.ascontiguousarray(steps.T).tobytes(), 6)).decode()


def unpacked(text: str, numbers: int = _NUMBERS) -> Indices:
    """Return what :func:`packed` was given, as (files, numbers)."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").reshape(numbers, -1)
    table: Indices = np.cumsum(steps.T, axis=0)
    return table


def known_of(facts: Facts, pixels: Pixels) -> Valid | None:
    """Return where ``pixels`` (bands, h, w) of a file are valid by their alpha or nodata, (bands or
    1, h, w); None: everywhere."""
    if facts.alpha:
        return pixels[-1:] > 0
    if all(value is None for value in facts.nodatavals):
        return None
    return np.stack(
        [
            validity.differs(band, value)
            for band, value in zip(pixels, facts.nodatavals, strict=True)
        ]
    )


@dataclass(slots=True)
class MemberFiles:
    """The files of one item; belongs to one thread.

    Attributes:
        paths: in the order of the inputs.
        table: (files, 6): column, row, width and height of each on the grid of all; its size in
            bytes and its time as they were planned.
        reading: the file that was read last and the window in it, for the blame.
    """

    paths: Sequence[str]
    table: Indices
    allow_vrt: bool = False
    reading: tuple[str, Window] | None = None
    _open: OrderedDict[int, tuple[OpenSource, contextlib.ExitStack]] = field(
        default_factory=OrderedDict
    )
    _twins: Twins = field(default_factory=Twins)
    #: What GDAL said of a file of each kind.
    _facts: dict[bytes, Facts] = field(default_factory=dict)

    def under(self, window: Window) -> list[int]:
        """Return the numbers of the files that ``window`` meets, in their order."""
        left, top, width, height = self.table[:, :4].T
        meets = (left < window.right) & (left + width > window.col_off)
        meets &= (top < window.bottom) & (top + height > window.row_off)
        numbers: list[int] = np.flatnonzero(meets).tolist()
        return numbers

    def window_of(self, number: int) -> Window:
        """Return where a file lies."""
        return Window(*(int(value) for value in self.table[number, :4]))

    def is_stored(self, number: int) -> bool:
        """Whether a file holds the pixels of its window as they are read."""
        del number
        return True

    def read(self, number: int, window: Window) -> tuple[Pixels, Valid | None]:
        """Return the pixels (bands, h, w) of ``window``, which lies in the file, and where they
        are valid, (bands or 1, h, w); None: everywhere.

        Raises:
            SourceChangedError, SourceNotFoundError: the file is not as planned.
            CorruptSourceError, RasterioError: it cannot be read.
        """
        place = self.window_of(number)
        left, top = window.col_off - place.col_off, window.row_off - place.row_off
        inside = Window(left, top, window.width, window.height)
        self.reading = self.paths[number], inside
        opened = self.opened(number)
        pixels = opened.read_window(inside)
        known = known_of(opened.facts, pixels)
        if not opened.facts.mask:
            return pixels, known
        valid = opened.read_mask(inside)[np.newaxis]
        return pixels, valid if known is None else known & valid

    def opened(self, number: int) -> OpenSource:
        """Return a file, which stays open for a while; errors as :meth:`read`."""
        known = self._open.get(number)
        if known is not None:
            self._open.move_to_end(number)
            return known[0]
        while len(self._open) >= MOST_OPEN:
            self._open.popitem(last=False)[1][1].close()
        path = self.paths[number]
        wanted = self._check(number, path)
        with contextlib.ExitStack() as stack:
            twin = None if wanted is not None else self._twins.look(path)
            facts = None if twin is None else self._facts.get(twin.kind)
            dataset = None
            if wanted is not None:
                facts = self._facts_of_object(path)
            elif facts is None:
                vrt = self.allow_vrt
                dataset = stack.enter_context(opened_source.open_source(path, allow_vrt=vrt))
                facts = Facts.of(dataset)
                if twin is not None:
                    self._facts[twin.kind] = facts
            opened = OpenSource.of(path, facts, stack, dataset, wanted)
            opened.stack = stack.pop_all()  # GDAL may open it later, and is closed with it
            self._open[number] = opened, opened.stack
        return opened

    def _facts_of_object(self, path: str) -> Facts:
        """Have GDAL look at the head of an object; what it opens is a file for the moment."""
        with opened_source.open_source(path, allow_vrt=self.allow_vrt, head=True) as dataset:
            return Facts.of(dataset)

    def _check(self, number: int, path: str) -> Version | None:
        """Raise SourceChangedError if a file is not the one that was planned. Return the version of
        an object."""
        if is_url(path):
            version = block_file.object_at(path).version
            if place_of_version(version) != tuple(self.table[number, 4:].tolist()):
                raise changed(ObjectUrl.of(path))
            return version
        try:
            now = os.stat(path)  # noqa: PTH116 -- thousands of them
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"{path} is gone since the run was planned") from error
        if (now.st_size, now.st_mtime_ns) != tuple(self.table[number, 4:].tolist()):
            raise SourceChangedError(f"{path} changed since the run was planned")
        return None

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1][1].close()
