"""Assembles an item's part file from encoded tiles. No tile of a chunk is encoded twice.

The lengths of all tiles are known, so the header is computed and written first. Then the tiles are
copied in file order, from spools or from memory. A thread reads a large file back behind the copy,
and compares its bytes; GDAL decodes a sample of its tiles meanwhile, and another thread syncs it.
A file that is only read, as it goes to a store, is left in its pieces, and read back from them.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import OperationError, VerifyError
from geobatch_tui.execution.io.disk import write_all
from geobatch_tui.execution.io.part_file import new_file, part_path, removed_on_error
from geobatch_tui.execution.io.pieced_file import PiecedFile, write_table
from geobatch_tui.execution.protocol.messages import ItemReceipt
from geobatch_tui.execution.raster.geotiff import tags
from geobatch_tui.execution.raster.geotiff.directories import directories_of
from geobatch_tui.execution.raster.geotiff.layout import ghost_area, lay_out
from geobatch_tui.execution.raster.geotiff.missing_tiles import Completer
from geobatch_tui.execution.raster.geotiff.read_back import (
    check_bytes,
    check_pieces,
    check_with_gdal,
)
from geobatch_tui.execution.raster.geotiff.spool import is_intact, read_rows
from geobatch_tui.execution.raster.geotiff.tile_index import TileIndex
from geobatch_tui.execution.raster.geotiff.tile_stores import (
    MemoryStore,
    ScratchStore,
    SpoolStore,
    Store,
)
from geobatch_tui.execution.raster.pyramid.encode_chunk import encode_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from geobatch_tui.execution.protocol.messages import ItemContext, Segment
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.geotiff.layout import Layout
    from geobatch_tui.execution.raster.geotiff.read_back import Opener
    from geobatch_tui.execution.raster.geotiff.tags import Template
    from geobatch_tui.execution.raster.geotiff.tile_index import Slots
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Spools that stay open; after many runs, or of many workers, there are more.
OPEN_SPOOLS = 64
#: A file of fewer bytes is read before a thread would have started.
ALONE = 1 << 20
#: Kinds of files of one tile of which GDAL has read one back whole in this process. Files of a kind
#: differ in place, fingerprint, size and pixels alone.
compared: set[str] = set()
#: Kinds that are remembered.
KINDS = 64


def write_whole(
    item: ItemContext,
    plan: RasterPlan,
    pixels: Pixels,
    valid: Valid | None,
    epoch: int,
    stage: Stage,
    encoded: EncodedTiles | None = None,
) -> ItemReceipt:
    """Write the part file of an item of one chunk straight from memory.

    Args and errors are those of :func:`geobatch_tui.execution.raster.geotiff.spool.write_chunk` and
    :func:`assemble`.
    """
    grid = item.plan.grid
    with stage("encode"):
        chunk = encode_chunk(plan, grid, 0, pixels, valid, encoded)
    index = TileIndex(plan, grid)
    index.put(0, chunk.rows)
    with ExitStack() as stack:
        store = stack.enter_context(closing(MemoryStore(chunk.payload)))
        return _finish(item, index, [store], epoch, stage, stack)


def assemble(
    item: ItemContext,
    plan: RasterPlan,
    segments: Sequence[Segment],
    epoch: int,
    stage: Stage,
    *,
    pieced: bool = False,
) -> ItemReceipt:
    """Write the part file of an item from its spooled chunks.

    Chunks without a segment, or with one of length 0, become holes: nodata, transparent or masked
    pixels. The order of the segments does not matter. ``pieced``: tiles of chunks stay in their
    spools.

    Raises:
        VerifyError: a spool is gone or damaged, or the part reads back otherwise than it was
            written; the part is removed. Its evidence lists the ``chunks`` whose segments are
            damaged and have to be computed again, if that is the cause.
        OperationError: a chunk is there twice.
        DiskFullError: no space; the part is removed.
        SchemaError, CrsError: GeoTIFF cannot hold this item.
    """
    index = TileIndex(plan, item.plan.grid)
    try:
        with ExitStack() as stack:
            with stage("assemble"):
                stores, spools = _load(item, index, segments, stack)
            named = spools if pieced else None
            return _finish(item, index, stores, epoch, stage, stack, named)
    except VerifyError as error:
        damaged = [segment.index for segment in segments if not is_intact(item, segment)]
        if not damaged:
            raise
        damage = VerifyError(
            f"{len(damaged)} spooled chunks are damaged, the first is {damaged[0]}",
            hint="they have to be computed again",
        )
        damage.evidence = {"chunks": damaged}
        raise damage from error


def _load(
    item: ItemContext, index: TileIndex, segments: Sequence[Segment], stack: ExitStack
) -> tuple[list[Store], tuple[str, ...]]:
    """Enter the tiles of all segments in the index; return the spools that hold them, and their
    names."""
    present = sorted((entry for entry in segments if entry.length), key=lambda entry: entry.index)
    indexes = [entry.index for entry in present]
    if len(set(indexes)) < len(indexes):
        raise OperationError("a chunk has more than one segment")
    numbers: dict[str, int] = {}
    stores: list[SpoolStore] = []
    for segment in present:
        if segment.spool not in numbers:
            numbers[segment.spool] = len(stores)
            path, stays = Path(item.work_dir) / segment.spool, len(stores) < OPEN_SPOOLS
            stores.append(stack.enter_context(closing(SpoolStore(path, stays=stays))))
        number = numbers[segment.spool]
        with stores[number].opened() as fd:
            rows = read_rows(fd, item, segment)
        index.check_chunk(rows, segment.index)
        index.put(number, rows)
    return [*stores], tuple(numbers)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a file is to hold."""

    index: TileIndex
    layout: Layout
    slots: Slots
    template: Template

    @property
    def bytes(self) -> tuple[Layout, Slots, tuple[int, int]]:
        """What its bytes are compared with."""
        return self.layout, self.slots, self.index.frame


def _finish(
    item: ItemContext,
    index: TileIndex,
    stores: list[Store],
    epoch: int,
    stage: Stage,
    stack: ExitStack,
    spools: tuple[str, ...] | None = None,
) -> ItemReceipt:
    """Complete the index, write the file and verify it; in pieces if ``spools`` are named."""
    scratch = stack.enter_context(closing(ScratchStore(Path(item.work_dir))))
    stores = [*stores, scratch]
    with stage("assemble"):
        template, holes = _completed(item, index, stores, scratch)
    part = part_path(item, epoch)
    with stage("write"):
        layout, slots = _lay_out(index, template)
    wanted = _Wanted(index, layout, slots, template)
    if spools is not None:
        with stage("write"):
            _write_pieces(part, (len(spools), scratch), layout, _runs(slots, index.frame))
        paths = [Path(item.work_dir) / name for name in spools]
        opener = partial(PiecedFile, part, paths)
        with removed_on_error(part), stage("verify"):
            digest, verified = _verify(part, wanted, opener)
    elif layout.size < ALONE:
        with stage("write"):
            _write(part, wanted, stores)
        with removed_on_error(part), stage("verify"):
            digest, verified = _verify_small(part, wanted)
    else:
        digest, verified = _write_and_verify(part, wanted, stores, stage)
    facts = _facts(index, layout, slots, holes=holes, verified=verified)
    return ItemReceipt(str(part), layout.size, digest, facts, spools)


def _completed(
    item: ItemContext, index: TileIndex, stores: Sequence[Store], scratch: ScratchStore
) -> tuple[Template, int]:
    """Make the tags, and the tiles that no chunk has made; return the tags, and how many tiles are
    holes."""
    make = partial(tags.make_template, index.plan, item.fingerprint)
    completer = Completer(index, stores, scratch)
    if index.owned == len(index.levels):
        return make(), completer.complete()
    # GDAL takes a tenth of a second for its first tags: they are made beside the upper overviews.
    with ThreadPoolExecutor(1) as other:
        making = other.submit(make)
        holes = completer.complete()
        return making.result(), holes


class _Written:
    """How much of a file is written, for the thread that reads it behind the one that writes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._end = 0
        self._is_over = False

    def reach(self, end: int) -> None:
        """Tell that ``end`` bytes are written."""
        with self._changed:
            self._end = end
            self._changed.notify_all()

    def stop(self) -> None:
        """Tell that no more will be."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def wait(self, end: int) -> None:
        """Wait for ``end`` bytes. Raises VerifyError if they will not be written."""
        with self._changed:
            self._changed.wait_for(lambda: self._end >= end or self._is_over)
            if self._end < end:
                raise VerifyError(f"the file was not written beyond byte {self._end}")


def _write_and_verify(
    path: Path, wanted: _Wanted, stores: Sequence[Store], stage: Stage
) -> tuple[str, int]:
    """Write a large file, while another thread reads every byte behind, and compares; then GDAL
    decodes a sample of tiles. Returns as :func:`_verify`."""
    written = _Written()
    with ThreadPoolExecutor(1) as other:
        with stage("write"):
            reading = other.submit(check_bytes, path, *wanted.bytes, written.wait)
            try:
                _write(path, wanted, stores, written.reach)
            finally:
                written.stop()
        with removed_on_error(path), stage("verify"):
            return _verified(path, wanted, reading)


def _verify(path: Path, wanted: _Wanted, pieces: Opener) -> tuple[str, int]:
    """Read every byte of a file in pieces in another thread, while GDAL decodes a sample of tiles
    in this one: the other cores are nearly always idle. Return the digest, and how many tiles GDAL
    decoded.

    Every tile was decoded when it was encoded, and compared; here its bytes are compared.
    """
    with ThreadPoolExecutor(1) as other:
        reading = other.submit(check_pieces, pieces, *wanted.bytes)
        return _verified(path, wanted, reading, pieces)


def _verified(
    path: Path, wanted: _Wanted, reading: Future[str], pieces: Opener | None = None
) -> tuple[str, int]:
    """Have GDAL decode a sample beside the thread that is ``reading``."""
    try:
        count = check_with_gdal(path, wanted.index, wanted.template.identity, pieces=pieces)
    finally:
        # The thread's error comes first: it names the byte that is wrong.
        digest = reading.result()
    return digest, count


def _verify_small(path: Path, wanted: _Wanted) -> tuple[str, int]:
    """Verify a file that is read before a thread would have started. GDAL opens all files of one
    tile and one kind, and decodes the first."""
    digest = check_bytes(path, *wanted.bytes)
    # Files of several tiles may each have them in a wrong order.
    kind = wanted.template.kind if len(wanted.slots) == 1 else ""
    alike = kind in compared
    verified = check_with_gdal(path, wanted.index, wanted.template.identity, alike=alike)
    if kind and not alike:
        if len(compared) >= KINDS:
            compared.clear()
        compared.add(kind)
    return digest, verified


def _lay_out(index: TileIndex, template: Template) -> tuple[Layout, Slots]:
    """Return the layout of the file, and the slots of its tiles in file order."""
    slots, directories, tiles = index.sequence()
    by_band = index.planes > 1
    layout = lay_out(
        directories_of(index, template),
        (directories, tiles),
        ghost=ghost_area(by_band=by_band, mask=index.masked) if any(index.frame) else b"",
        frame=index.frame,
        bigtiff=index.plan.encoding.bigtiff,
    )
    return layout, slots


def _write(
    path: Path,
    wanted: _Wanted,
    stores: Sequence[Store],
    tell: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the file; ``tell`` how many bytes of it are written."""
    end = len(wanted.layout.header)
    with new_file(path, later=True) as fd:
        write_all(fd, wanted.layout.header)
        tell(end)
        for store, offset, length in _runs(wanted.slots, wanted.index.frame):
            stores[store].copy(fd, offset, length)
            end += length
            tell(end)


def _write_pieces(
    path: Path,
    scratch: tuple[int, ScratchStore],
    layout: Layout,
    runs: Sequence[tuple[int, int, int]],
) -> None:
    """Write what no spool has of the file, and the table of its pieces. The scratch file, here
    with its number among the stores, follows the header."""
    number, tiles = scratch
    header = len(layout.header)
    own = (0, 0, header)
    pieces = [
        (0, header + offset, length) if store == number else (store + 1, offset, length)
        for store, offset, length in runs
    ]
    with new_file(path, later=True) as fd:
        write_all(fd, layout.header)
        if tiles.size:
            tiles.copy(fd, 0, tiles.size)
        write_table(fd, header + tiles.size, [own, *pieces])


def _runs(slots: Slots, frame: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Return store, offset and length of the longest stretches that can be copied at once."""
    slots = slots[slots["length"] > 0]
    starts = slots["offset"].astype(np.int64) - frame[0]
    ends = starts + frame[0] + slots["length"] + frame[1]
    is_first = np.ones(len(slots), bool)
    is_first[1:] = (slots["store"][1:] != slots["store"][:-1]) | (starts[1:] != ends[:-1])
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts, len(slots))[1:] - 1
    stores, lengths = slots["store"][firsts], ends[lasts] - starts[firsts]
    return list(zip(stores.tolist(), starts[firsts].tolist(), lengths.tolist(), strict=True))


def _facts(
    index: TileIndex, layout: Layout, slots: Slots, *, holes: int, verified: int
) -> dict[str, object]:
    """Return the facts for the file's receipt."""
    encoding = index.plan.encoding
    return {
        "driver": "GTiff",
        "layout": "COG" if any(index.frame) else "tiled",
        "compress": encoding.compress,
        "level": encoding.level,
        "quick": encoding.quick,
        "predictor": encoding.predictor,
        "max_z_error": encoding.max_z_error,
        "interleave": encoding.interleave,
        "passthrough": encoding.passthrough,
        "overviews": len(encoding.overviews),
        "overview_resampling": encoding.overview_resampling if encoding.overviews else "",
        "bigtiff": layout.bigtiff,
        "tiles": len(slots),
        "sparse_tiles": int((slots["length"] == 0).sum()),
        "hole_tiles": holes,
        "has_mask": index.masked,
        "verified_tiles": verified,
    }
