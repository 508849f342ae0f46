"""The plan of one raster item: everything that decides its bytes, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.types import (
        BigTiff,
        Compress,
        Format,
        Interleave,
        Method,
        Number,
        Transform,
        Validity,
    )


@dataclass(frozen=True, slots=True)
class Encoding:
    """Layout and codec of the output file.

    Attributes:
        level: the codec's own scale: the quality of JPEG and WEBP (100: WEBP without loss), the
            level of the second codec of LERC.
        predictor: 1, 2 or 3, as in TIFF.
        overviews: width and height of each level, largest first.
        sparse: whether tiles of nothing but nodata are left out.
        passthrough: whether tiles of full resolution are copied from the source, byte for byte.
        max_z_error: how far LERC may move a value, in its unit.
        alpha_as_mask: whether alpha is stored as a mask, since the codec has no band for it.
    """

    format: Format
    block_width: int
    block_height: int
    compress: Compress
    level: int
    predictor: int
    interleave: Interleave
    overviews: tuple[tuple[int, int], ...]
    overview_resampling: str
    bigtiff: BigTiff = "IF_NEEDED"
    sparse: bool = False
    passthrough: bool = False
    max_z_error: float = 0.0
    alpha_as_mask: bool = False


@dataclass(frozen=True, slots=True)
class Warp:
    """Resampling of source pixels to output pixels; a plan without one is a plain copy.

    ``xscale`` and ``yscale`` are GDAL's XSCALE and YSCALE: output over source size for the whole
    item, pinned so that every window gives the same pixels. ``path`` is the source of coordinates;
    those of ``lattice`` are at most ``error_threshold`` source pixels from PROJ's.
    """

    src_crs: str
    resampling: str
    xscale: float
    yscale: float
    tolerance: float
    src_nodata: Number | None
    options: Mapping[str, str]
    error_threshold: float = 0.0
    path: Method = "exact"


@dataclass(frozen=True, slots=True)
class RasterPlan:
    """Output grid, bands and encoding of one item.

    ``crs`` is WKT2; ``transform`` leads from pixel corners to CRS units. ``count`` includes an
    alpha band. ``colormap`` maps 0..255 to RGBA for palette images. ``tags`` is the metadata of the
    default domain, ``domains`` that of the others by name, ``band_tags`` that of each band, empty
    if no band has any.
    """

    width: int
    height: int
    crs: str
    transform: Transform
    count: int
    dtype: str
    nodata: Number | None
    validity: Validity
    colorinterp: tuple[str, ...]
    colormap: tuple[tuple[int, int, int, int], ...] | None
    descriptions: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str, ...]
    tags: Mapping[str, str]
    area_or_point: str
    warp: Warp | None
    encoding: Encoding
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    band_tags: tuple[Mapping[str, str], ...] = ()

    def stored(self) -> RasterPlan:
        """Return the plan of the file's own bands, where alpha is stored as a mask."""
        if not self.encoding.alpha_as_mask:
            return self
        return replace(
            self,
            count=self.count - 1,
            validity="mask",
            colorinterp=self.colorinterp[:-1],
            descriptions=self.descriptions[:-1],
            scales=self.scales[:-1],
            offsets=self.offsets[:-1],
            units=self.units[:-1],
            band_tags=self.band_tags[:-1],
            encoding=replace(self.encoding, alpha_as_mask=False),
        )

    def to_json(self) -> dict[str, object]:
        """Return the plan JSON-ready; NaN and infinities become strings."""
        return {name: _pack(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Json) -> RasterPlan:
        """Return the plan that :meth:`to_json` gave."""
        values = dict(data)
        encoding = dict(values["encoding"])
        encoding["overviews"] = tuple((w, h) for w, h in encoding["overviews"])
        # Ledgers of earlier versions have this key; such plans are stale.
        encoding.pop("driver_copy", None)
        values["encoding"] = Encoding(**encoding)
        if values["warp"] is not None:
            warp = dict(values["warp"])
            warp["src_nodata"] = number_of(warp["src_nodata"])
            values["warp"] = Warp(**warp)
        values["nodata"] = number_of(values["nodata"])
        for name in ("transform", "colorinterp", "descriptions", "scales", "offsets", "units"):
            values[name] = tuple(values[name])
        values["band_tags"] = tuple(values.get("band_tags", ()))
        if values["colormap"] is not None:
            values["colormap"] = tuple(tuple(entry) for entry in values["colormap"])
        return cls(**values)


def number_of(value: str | Number | None) -> Number | None:
    """Return the number that :func:`json_number` gave."""
    return float(value) if isinstance(value, str) else value


def json_number(value: Number | None) -> str | Number | None:
    """Return a number as JSON can hold it: NaN and infinities become strings."""
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _pack(value: object) -> object:
    if isinstance(value, str | int | None):  # most are
        return value
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, list | tuple):
        return [_pack(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _pack(entry) for key, entry in value.items()}
    if isinstance(value, Warp | Encoding):
        return {name: _pack(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
