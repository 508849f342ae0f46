"""The properties of a source raster that reading its pixels needs.

A probe asks GDAL for them once and the plan carries them, so that a chunk whose blocks are read
without GDAL need not open the file with GDAL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rasterio.enums import ColorInterp, MaskFlags

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster.plan import json_number, number_of

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.types import Number, Pixels, Transform, Valid


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties of a source, by rasterio's names where it has them; all bands are of one type.

    ``block`` is the width and height of a block in pixels. ``alpha``: the last band is alpha.
    ``mask``: one mask, stored apart from the bands, holds for all of them.
    """

    driver: str
    width: int
    height: int
    count: int
    dtype: str
    transform: Transform
    block: tuple[int, int]
    alpha: bool
    mask: bool
    nodatavals: tuple[Number | None, ...]

    @classmethod
    def of(cls, dataset: DatasetReader) -> Facts:
        """Read the properties of ``dataset``. Raises SchemaError if a band that is not the last is
        alpha."""
        a, b, c, d, e, f = (float(value) for value in tuple(dataset.transform)[:6])
        rows, cols = dataset.block_shapes[0]
        return cls(
            driver=dataset.driver,
            width=dataset.width,
            height=dataset.height,
            count=dataset.count,
            dtype=dataset.dtypes[0],
            transform=(a, b, c, d, e, f),
            block=(int(cols), int(rows)),
            alpha=_has_alpha(dataset),
            mask=_has_mask(dataset),
            nodatavals=tuple(dataset.nodatavals),
        )

    @classmethod
    def from_notes(cls, notes: Json) -> Facts | None:
        """Return the properties in a plan's notes; None for plans of earlier versions."""
        if "source_nodata" not in notes:
            return None
        width, height, count = notes["source_size"]
        nodata = tuple(number_of(value) for value in notes["source_nodata"])
        return cls(
            driver=notes["driver"],
            width=width,
            height=height,
            count=count,
            dtype=notes["source_dtype"],
            transform=tuple(notes["source_transform"]),
            block=tuple(notes["source_block"]),
            alpha=notes["source_alpha"],
            mask=notes["source_mask"],
            nodatavals=nodata * (count if len(nodata) == 1 else 1),
        )

    def to_notes(self) -> dict[str, object]:
        """Return the properties JSON-ready, for :meth:`from_notes`."""
        nodata = [json_number(value) for value in self.nodatavals]
        return {
            "driver": self.driver,
            "source_size": [self.width, self.height, self.count],
            "source_block": list(self.block),
            "source_dtype": self.dtype,
            "source_transform": list(self.transform),
            "source_alpha": self.alpha,
            "source_mask": self.mask,
            "source_nodata": nodata[:1] if len(set(nodata)) == 1 else nodata,
        }

    @property
    def nodata_differs(self) -> bool:
        """Whether bands have different nodata values."""
        # NaN differs from itself, but not as a nodata value.
        return len({"nan" if v is not None and math.isnan(v) else v for v in self.nodatavals}) > 1


class PixelSource(Protocol):
    """A raster whose pixels can be read by windows: a file, or what the steps before give."""

    @property
    def facts(self) -> Facts: ...

    def read_window(self, window: Window) -> Pixels:
        """Return the pixels (bands, h, w), as a file would store them."""
        ...

    def read_mask(self, window: Window) -> Valid:
        """Return the mask (h, w) that is stored apart from the bands; only where ``facts.mask``."""
        ...


def _has_alpha(dataset: DatasetReader) -> bool:
    """Whether the last band is alpha. Raises SchemaError if another one is."""
    positions = [i for i, kind in enumerate(dataset.colorinterp) if kind == ColorInterp.alpha]
    if positions and positions != [dataset.count - 1]:
        raise SchemaError(
            f"band {positions[0] + 1} of {dataset.count} is an alpha band; only the last may be",
            hint="reorder the bands with gdal_translate -b first",
        )
    return bool(positions)


def _has_mask(dataset: DatasetReader) -> bool:
    """Whether one mask, stored apart from the bands, holds for the whole dataset."""
    flags = dataset.mask_flag_enums[0]
    others = {MaskFlags.alpha, MaskFlags.nodata}
    return MaskFlags.per_dataset in flags and others.isdisjoint(flags)
