"""Reads windows of a source for the compiled kernels: pixels, and which of them are valid.

Validity follows GDAL, by kind of source. Alpha and masks hold for all bands. Nodata holds for each
band by itself, and no output pixel has its centre where all bands are nodata
(UNIFIED_SRC_NODATA=PARTIAL); or a pixel is invalid only where all bands are nodata (YES). With a
mask and nodata, a pixel is valid where both say so: GDAL heeds one of the two, not always the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Warp
    from geobatch_tui.execution.raster.source_facts import PixelSource
    from geobatch_tui.execution.raster.types import DType, Number, Pixels, Valid

#: Types that the kernels take as they are.
NATIVE = frozenset({"uint8", "int16", "uint16", "float32", "float64"})
#: Types that are converted to float64, which holds them exactly.
WIDENED = frozenset({"int8", "int32", "uint32"})
#: GDAL's option: YES, PARTIAL.
UNIFIED = "UNIFIED_SRC_NODATA"
#: Bytes of a source that are in memory at once: few enough to come from the heap.
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
        """Return whole numbers of three or four bands as (h * w, 4); None for other pixels. With
        three bands the last is there twice. The array is made once."""
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
    """Reads windows of a source for one warp."""

    source: PixelSource
    warp: Warp

    @property
    def bands(self) -> int:
        """Number of bands without alpha."""
        return self.source.facts.count - self.source.facts.alpha

    @property
    def dtype(self) -> DType:
        """The type that the kernels work on."""
        own = self.source.facts.dtype
        return np.dtype(own if own in NATIVE else "float64")

    def fits(self, window: Window) -> bool:
        """Whether a window is small enough to be in memory at once."""
        each = self.bands * (self.dtype.itemsize + (self.warp.src_nodata is not None)) + 2
        return int(window.size * each) <= SOURCE_BYTES

    def read_samples(self, window: Window) -> Sampled:
        """Read pixels and validity of ``window``. Raises CorruptSourceError if a block is
        damaged."""
        pixels = self.source.read_window(window)
        alpha = pixels[-1] if self.source.facts.alpha else None
        pixels = pixels[: self.bands].astype(self.dtype, copy=False)
        valid = self._valid(pixels, alpha, window)
        if valid is None or valid.all():
            return Sampled(window, pixels, None, None, alpha)
        centre = valid[0] if len(valid) == 1 else valid.any(axis=0)
        return Sampled(window, pixels, valid, centre, alpha)

    def _valid(self, pixels: Pixels, alpha: Pixels | None, window: Window) -> Valid | None:
        if alpha is not None:
            return (alpha > 0)[np.newaxis]
        unmasked = None
        if self.source.facts.mask:
            unmasked = self.source.read_mask(window)[np.newaxis]
        if self.warp.src_nodata is None:
            return unmasked
        valid = ~is_nodata(pixels, self.warp.src_nodata)
        if self.warp.options.get(UNIFIED) == "YES":
            valid = valid.any(axis=0)[np.newaxis]
        return valid if unmasked is None else valid & unmasked


def is_nodata(pixels: Pixels, nodata: Number) -> Valid:
    """Return where ``pixels`` are ``nodata`` for GDAL: floats to within two units in the last place
    of their sum (GDALWarpNoDataMasker, ARE_REAL_EQUAL)."""
    if math.isnan(nodata):
        return np.isnan(pixels)
    value = pixels.dtype.type(nodata)
    same: Valid = pixels == value
    if pixels.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            eps = np.finfo(pixels.dtype).eps
            same |= np.abs(pixels - value) < eps * np.abs(pixels + value) * 2
    return same
