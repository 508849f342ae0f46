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
    """How pixels become bytes.

    ``format`` is COG or GTiff; ``compress`` is NONE, LZW, DEFLATE, ZSTD, JPEG, WEBP, LERC,
    LERC_DEFLATE or LERC_ZSTD; ``level`` is the codec's own scale, the quality of JPEG and WEBP
    (100: WEBP without loss), that of the second codec of LERC; ``predictor`` is 1, 2 or 3;
    ``interleave`` is pixel or band. ``overviews`` lists width and height of each level, largest
    first. ``sparse``: tiles that hold nothing but nodata are left out. ``bigtiff`` is IF_NEEDED,
    YES or NO. ``passthrough``: tiles of full resolution are those of the source, byte for byte.
    ``max_z_error`` is how far LERC may move a value, in its unit. ``alpha_as_mask``: alpha is
    stored as a mask, since the codec has no band for it.
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
    """How source pixels become output pixels; None in the plan means a plain copy.

    ``xscale`` and ``yscale`` are GDAL's XSCALE and YSCALE: destination over source size for the
    whole item, pinned so that every window gives the same pixels. ``path`` says where source
    coordinates come from: ``exact``, GDAL's warper with PROJ for every pixel; ``separable``, our
    kernels with PROJ for every column and row; ``lattice``, our kernels with coordinates that are
    at most ``error_threshold`` source pixels from PROJ's.
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
    """Destination grid, bands and encoding of one item.

    ``crs`` is WKT2; ``transform`` is (a, b, c, d, e, f) of x = a*col + b*row + c,
    y = d*col + e*row + f, from pixel corners to CRS units. ``count`` includes an alpha band.
    ``validity`` is one of: ``none`` (every pixel valid by construction), ``nodata``, ``alpha``
    (the last band), ``mask`` (an internal mask, written if any pixel is invalid).
    ``colormap`` maps 0..255 to RGBA for palette images. ``domains``: metadata by domain, without
    the default one, which is ``tags``; ``band_tags``: that of each band, empty if there is none.
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
        """The plan of what lies in the file, where that has no band for alpha but a mask."""
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
        """JSON-ready; NaN and infinities become strings."""
        return {name: _pack(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Json) -> RasterPlan:
        """The inverse of :meth:`to_json`."""
        values = dict(data)
        encoding = dict(values["encoding"])
        encoding["overviews"] = tuple((w, h) for w, h in encoding["overviews"])
        # Ledgers of earlier versions have it; what was planned so is stale.
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
    """The inverse of :func:`json_number`."""
    return float(value) if isinstance(value, str) else value


def json_number(value: Number | None) -> str | Number | None:
    """A number as JSON can hold it: NaN and infinities become strings."""
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
