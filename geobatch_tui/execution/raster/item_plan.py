"""Finishes the plan of an item whose raster is known: encoding, chunks, memory, and notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import chunking
from geobatch_tui.execution.raster.encode import encoding
from geobatch_tui.execution.raster.grid import pixel_grid, projection
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.pyramid import passthrough
from geobatch_tui.execution.raster.source import size_checks
from geobatch_tui.execution.raster.source.blocks import KEPT_TILES
from geobatch_tui.execution.raster.steps import step_table
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.messages import ProbeTask
    from geobatch_tui.execution.raster.plan import Encoding, Raster, StepPlan, Warp
    from geobatch_tui.execution.raster.source_facts import Facts

#: Sources of fewer raw bytes fit GDAL's block cache, which decodes each block once.
_CACHED = 64 * 2**20
#: Room for headers, tags and tables.
HEADER_BYTES = 65536
#: Read amplification from which there is a warning.
_AMPLIFIED = 4.0
#: A note: bytes of an object that a worker fetches before it uses them; and how many they are at
#: most, and as a part of the memory of a chunk.
AHEAD_BYTES = "ahead_bytes"
MOST_AHEAD, AHEAD_PART = 32 * 2**20, 8
#: Chunks beyond which an item is large enough for a finer lattice of places.
MANY_CHUNKS = 256


@dataclass(frozen=True, slots=True)
class Draft:
    """The parts of an item's plan that are settled before its encoding.

    Attributes:
        grid: that of ``raster``, the output.
        warp: the one warp that makes its pixels, if that is all.
        chain: the steps that make them, if there are any.
        pixel_bytes: bytes that the chain takes for a pixel of a chunk, at its peak.
        amplification: how many times the pixels that chunks need are decoded.
    """

    dataset: DatasetReader
    facts: Facts
    raster: Raster
    grid: pixel_grid.PixelGrid
    warnings: list[str]
    notes: dict[str, object]
    warp: Warp | None = None
    chain: tuple[StepPlan, ...] = ()
    pixel_bytes: int = 0
    amplification: Callable[[ChunkGrid], float] | None = None

    @property
    def is_copy(self) -> bool:
        """Whether the output has the pixels of the source on the same grid."""
        return self.warp is None and not self.chain


def finish(task: ProbeTask, draft: Draft) -> ItemPlan:
    """Plan encoding and chunks of ``draft``.

    Raises:
        SchemaError, PreflightError: the encoding does not fit the pixels.
        MemoryBudgetError: not even one tile fits in a chunk's budget.
    """
    raster, grid, warnings = draft.raster, draft.grid, draft.warnings
    image = encoding.Image(
        raster.width, raster.height, raster.count, raster.dtype,
        raster.colormap is not None, raster.validity,
    )  # fmt: skip
    encoded = encoding.plan_encoding(task.output, image)
    plan = RasterPlan.of(raster, encoded, draft.warp, draft.chain)
    if draft.is_copy:
        plan = _passed_through(task, draft, plan)
        draft.notes["passthrough"] = plan.encoding.passthrough
    remote = is_url(task.source)
    if remote:
        draft.notes[AHEAD_BYTES] = min(MOST_AHEAD, task.chunking.max_bytes // AHEAD_PART)
    chunks, cost = _chunks(task, draft, plan)
    if draft.amplification is not None:
        _note_amplification(draft, draft.amplification(chunks))
    # Chunks of an object share requests with those beside them.
    if remote or draft.warp is not None or _reads_beyond(draft.chain, chunks):
        draft.notes["overlaps"] = True
        if draft.chain and not remote and _fits_two_rows(draft, chunks):
            draft.notes["strip_rows"] = 2
    if encoded.alpha_as_mask:
        warnings.append("JPEG has no alpha: it becomes a mask, which hides pixels whose alpha is 0")
    draft.notes["overviews"] = [list(size) for size in encoded.overviews]
    draft.notes["overview_resampling"] = encoded.overview_resampling
    raw = raster.width * raster.height * _stored_bytes(raster)
    pyramid = raw // 3 if encoded.overviews else 0
    box = None
    if crs_lookup.is_on_earth(grid.crs):
        box = projection.lonlat_box(grid)
        draft.notes["lonlat"] = projection.lonlat_lattice(grid, _lattice_nodes(len(chunks)))
    else:
        warnings.append(
            f"PROJ knows no way from {crs_lookup.named(grid.crs)} to longitude and latitude "
            "on WGS 84"
        )
    return ItemPlan(
        grid=chunks,
        chunk_bytes=cost.of(
            min(chunks.chunk_width, chunks.width), min(chunks.chunk_height, chunks.height)
        ),
        output_bytes=raw + pyramid + HEADER_BYTES,
        detail=plan.to_json(),
        bounds_lonlat=None if box is None else (box.minx, box.miny, box.maxx, box.maxy),
        warnings=tuple(warnings),
        notes=draft.notes,
    )


def _passed_through(task: ProbeTask, draft: Draft, plan: RasterPlan) -> RasterPlan:
    """Return the plan of a copy, with its tiles copied as they are if they can be."""
    creation = task.output.get("creation") or {}
    renamed = task.params.get("dst_nodata") is not None
    if renamed or not passthrough.fits(task.source, draft.facts, plan, creation):
        return plan
    encoded: Encoding = replace(plan.encoding, passthrough=True)
    return replace(plan, encoding=encoded)


def _note_amplification(draft: Draft, times: float) -> None:
    dataset = draft.dataset
    draft.notes["read_amplification"] = round(times, 2)
    raw_source = dataset.width * dataset.height * size_checks.pixel_bytes(dataset)
    if times >= _AMPLIFIED and raw_source > _CACHED:
        cols, rows = draft.facts.block
        draft.warnings.append(
            f"the source is stored in blocks of {cols}x{rows} pixels: about {times:.0f} times "
            "the pixels needed are decoded; tiles of 512x512 would read faster"
        )


def _reads_beyond(chain: tuple[StepPlan, ...], chunks: ChunkGrid) -> bool:
    """Whether a chunk reads pixels that others read too, or as many of another grid."""
    middle = chunks.window(len(chunks) // 2)
    return len(chain) > 1 and step_table.needed_source(chain, middle) != middle


def _fits_two_rows(draft: Draft, chunks: ChunkGrid) -> bool:
    """Whether the blocks that two chunks, one below the other, read stay in a worker's cache: then
    it goes along both rows at once, and decodes what lies between them once. Blocks as wide as the
    source are shared by a whole row."""
    facts, below = draft.facts, chunks.columns
    if len(chunks) <= below or facts.block[0] >= facts.width:
        return False
    middle = (chunks.rows - 1) // 2 * below + chunks.columns // 2
    upper, lower = chunks.window(middle), chunks.window(middle + below)
    both = Window.between(upper.col_off, upper.row_off, lower.right, lower.bottom)
    needed = step_table.needed_source(draft.chain, both)
    blocks = ChunkGrid(facts.width, facts.height, *facts.block).under(needed)
    return len(blocks) * size_checks.block_bytes(draft.dataset) <= KEPT_TILES


def _lattice_nodes(chunks: int) -> int:
    """Return the nodes a side of the lattice that places chunks on the earth."""
    if chunks == 1:
        return 3
    return 9 if chunks <= MANY_CHUNKS else 17


def _stored_bytes(raster: Raster) -> int:
    """Return the bytes of a pixel over all bands, with its validity."""
    return raster.count * np.dtype(raster.dtype).itemsize + (raster.validity == "mask")


def _chunks(task: ProbeTask, draft: Draft, plan: RasterPlan) -> tuple[ChunkGrid, chunking.Cost]:
    cols, rows = draft.facts.block
    in_rows = draft.is_copy and cols == draft.facts.width and rows < plan.encoding.block_height
    overhead = 16 * 2**20 if draft.is_copy else chunking.OVERHEAD
    ahead = int(str(draft.notes.get(AHEAD_BYTES, 0)))
    cost = chunking.Cost(
        max(_stored_bytes(plan), -(-draft.pixel_bytes // chunking.COPIES)),
        overhead + 2 * size_checks.block_bytes(draft.dataset) + ahead,
    )
    block = (plan.encoding.block_width, plan.encoding.block_height)
    chunks, noted = chunking.cut(
        (plan.width, plan.height),
        block,
        task.chunking,
        cost,
        full_width=in_rows,
        by_choice=chunking.CHAIN_BYTES if draft.chain else 0,
    )
    draft.warnings.extend(noted)
    return chunks, cost
