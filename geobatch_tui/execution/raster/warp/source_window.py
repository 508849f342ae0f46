"""Windows of a source as the compiled kernels take them: pixels, and which of them are valid.

Validity is GDAL's, by kind of source. Alpha and masks count for all bands. Nodata counts for each
band, and no output pixel is centred where all bands hold it (UNIFIED_SRC_NODATA=PARTIAL); or only
where all bands hold it (YES). Beside a mask, a pixel is valid where both say so: GDAL looks at one
of the two, now this, now that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window as RasterWindow

from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.source.opened_source import Held
    from geobatch_tui.execution.raster.types import DType, Number, Pixels, Valid

#: Types that the kernels take as they are.
NATIVE = frozenset({"uint8", "int16", "uint16", "float32", "float64"})
#: Types that go through float64, which holds them exactly.
WIDENED = frozenset({"int8", "int32", "uint32"})
#: GDAL's option: YES, PARTIAL.
UNIFIED = "UNIFIED_SRC_NODATA"
#: The part of a source that is held at once, in bytes: little enough to come from the heap.
SOURCE_BYTES = 16 * 2**20
#: Numbers of bands that are resampled together.
QUADS = (3, 4)


@dataclass(slots=True)
class Sampled:
    """A ``window`` of the source: ``pixels`` (bands, h, w); ``valid`` (bands or 1, h, w), which of
    them may be taps; ``centre`` (h, w), which may have the centre of an output pixel in them; both
    None if all may. ``alpha`` (h, w) if the source has it."""

    window: Window
    pixels: Pixels
    valid: Valid | None
    centre: Valid | None
    alpha: Pixels | None
    _quads: Pixels | None = None

    @property
    def off(self) -> tuple[int, int]:
        """The first pixel (x, y)."""
        return self.window.col_off, self.window.row_off

    @property
    def planes(self) -> Pixels:
        """The pixels as (bands, h * w)."""
        return self.pixels.reshape(len(self.pixels), -1)

    def quads(self) -> Pixels | None:
        """Whole numbers of three or four bands as (h * w, 4), made once; None of others. With three
        bands the last stands twice."""
        dtype = self.pixels.dtype
        if self._quads is None and len(self.pixels) in QUADS and dtype.kind != "f":
            small = dtype.itemsize == 1
            together = np.empty(self.planes.shape[1], np.uint32 if small else np.uint64)
            run = pixel_loops.interleave_bytes if small else pixel_loops.interleave_words
            run(self.planes.view(f"u{dtype.itemsize}"), together)
            self._quads = together.view(dtype).reshape(-1, 4)
        return self._quads

    def all_valid(self, part: Window) -> bool:
        """Whether no source pixel in ``part`` is invalid."""
        return self.valid is None or bool(self.valid[:, *part.slices_in(self.window)].all())


@dataclass(frozen=True, slots=True)
class Sampler:
    """Reads windows of one source for one plan."""

    held: Held
    bands: int
    alpha: bool
    mask: bool
    nodata: Number | None
    unified: bool

    @classmethod
    def of(cls, held: Held, plan: RasterPlan) -> Sampler:
        facts = held.facts
        nodata = None if plan.warp is None else plan.warp.src_nodata
        unified = plan.warp is not None and plan.warp.options.get(UNIFIED) == "YES"
        return cls(held, facts.count - facts.alpha, facts.alpha, facts.mask, nodata, unified)

    @property
    def dtype(self) -> DType:
        """The type that the kernels work on."""
        own = self.held.facts.dtype
        return np.dtype(own if own in NATIVE else "float64")

    def fits(self, window: Window) -> bool:
        """Whether a window is small enough to be held at once."""
        each = self.bands * (self.dtype.itemsize + (self.nodata is not None)) + 2
        return int(window.size * each) <= SOURCE_BYTES

    def read_samples(self, window: Window) -> Sampled:
        """Read pixels and validity of ``window``. Raises CorruptSourceError if a block is
        damaged."""
        pixels = self.held.read_window(window)
        alpha = pixels[-1] if self.alpha else None
        pixels = pixels[: self.bands].astype(self.dtype, copy=False)
        valid = self._valid(pixels, alpha, window)
        if valid is None or valid.all():
            return Sampled(window, pixels, None, None, alpha)
        centre = valid[0] if len(valid) == 1 else valid.any(axis=0)
        return Sampled(window, pixels, valid, centre, alpha)

    def _valid(self, pixels: Pixels, alpha: Pixels | None, window: Window) -> Valid | None:
        if alpha is not None:
            return (alpha > 0)[np.newaxis]
        shown = None
        if self.mask:
            shown = (self.held.dataset.read_masks(1, window=RasterWindow(*window.srcwin)) > 0)[
                np.newaxis
            ]
        if self.nodata is None:
            return shown
        valid = ~holds(pixels, self.nodata)
        if self.unified:
            valid = valid.any(axis=0)[np.newaxis]
        return valid if shown is None else valid & shown


def holds(pixels: Pixels, nodata: Number) -> Valid:
    """Where ``pixels`` are ``nodata`` to GDAL: of floats, to within two units in the last place
    of their sum (GDALWarpNoDataMasker, ARE_REAL_EQUAL)."""
    if math.isnan(nodata):
        return np.isnan(pixels)
    if pixels.dtype.kind != "f":
        same: Valid = pixels == pixels.dtype.type(nodata)
        return same
    value = pixels.dtype.type(nodata)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(pixels - value) < np.finfo(pixels.dtype).eps * np.abs(pixels + value) * 2
        close: Valid = (pixels == value) | near
        return close
