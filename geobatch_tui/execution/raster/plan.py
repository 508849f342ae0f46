"""The plan of one raster item: everything that decides its bytes, and nothing else.

:class:`Raster` is what a source, a step or a file is without its pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.protocol.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        quick: whether tiles of noise are encoded as soon as DEFLATE can, whatever ``level``.
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
    quick: bool = False


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

    def to_json(self) -> dict[str, object]:
        """Return it JSON-ready."""
        return {name: _pack(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Json) -> Warp:
        """Return the warp that :meth:`to_json` gave."""
        return cls(**{**data, "src_nodata": number_of(data["src_nodata"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """The properties of a raster, without its pixels: what a lossless file of it tells.

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
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    band_tags: tuple[Mapping[str, str], ...] = ()

    @property
    def bands(self) -> int:
        """Number of bands without alpha."""
        return self.count - (self.validity == "alpha")

    @property
    def whole(self) -> Window:
        """The window of all its pixels."""
        return Window(0, 0, self.width, self.height)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A step of a chain as it was planned for one item.

    Attributes:
        values: its parameters and what the plan pinned, JSON-ready: with the raster before it,
            all that decides its pixels.
        raster: what it gives.
    """

    name: str
    version: int
    values: Mapping[str, Any]
    raster: Raster


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterPlan(Raster):
    """Output grid, bands and encoding of one item.

    ``chain``: the steps that make its pixels, the source first; empty where one warp, or a plain
    copy, does.
    """

    warp: Warp | None
    encoding: Encoding
    chain: tuple[StepPlan, ...] = ()

    @classmethod
    def of(
        cls,
        raster: Raster,
        encoding: Encoding,
        warp: Warp | None = None,
        chain: tuple[StepPlan, ...] = (),
    ) -> RasterPlan:
        """Return the plan of a file that holds ``raster``."""
        given = {name: getattr(raster, name) for name in Raster.__dataclass_fields__}
        return cls(**given, warp=warp, encoding=encoding, chain=chain)

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
        values = {
            name: _pack(getattr(self, name))
            for name in self.__dataclass_fields__
            if name != "chain"
        }
        # Plans without a chain are those of versions that knew none, to the byte.
        return values | {"chain": pack_chain(self.chain)} if self.chain else values

    @classmethod
    def from_json(cls, data: Json) -> RasterPlan:
        """Return the plan that :meth:`to_json` gave."""
        values = _unpacked(data)
        encoding = dict(values["encoding"])
        encoding["overviews"] = tuple((w, h) for w, h in encoding["overviews"])
        # Ledgers of earlier versions have this key; such plans are stale.
        encoding.pop("driver_copy", None)
        values["encoding"] = Encoding(**encoding)
        if values["warp"] is not None:
            values["warp"] = Warp.from_json(values["warp"])
        values["chain"] = unpack_chain(values.get("chain", ()))
        return cls(**values)


def _unpacked(data: Json) -> dict[str, Any]:
    """Return the fields of a raster as its class has them."""
    values = dict(data)
    values["nodata"] = number_of(values["nodata"])
    for name in ("transform", "colorinterp", "descriptions", "scales", "offsets", "units"):
        values[name] = tuple(values[name])
    values["band_tags"] = tuple(values.get("band_tags", ()))
    if values["colormap"] is not None:
        values["colormap"] = tuple(tuple(entry) for entry in values["colormap"])
    return values


def pack_chain(chain: tuple[StepPlan, ...]) -> list[dict[str, object]]:
    """Return the steps JSON-ready; of each raster, what differs from the one before."""
    packed: list[dict[str, object]] = []
    before: dict[str, object] = {}
    for step in chain:
        raster = {name: _pack(getattr(step.raster, name)) for name in Raster.__dataclass_fields__}
        changed = {key: value for key, value in raster.items() if before.get(key, ...) != value}
        values = _pack(dict(step.values))
        packed.append(
            {"name": step.name, "version": step.version, "values": values, "raster": changed}
        )
        before = raster
    return packed


def unpack_chain(steps: Iterable[Json]) -> tuple[StepPlan, ...]:
    """Return the steps that :func:`pack_chain` gave."""
    chain: list[StepPlan] = []
    raster: dict[str, Any] = {}
    for step in steps:
        raster = raster | dict(step["raster"])
        given = Raster(**_unpacked(raster))
        chain.append(StepPlan(step["name"], step["version"], step["values"], given))
    return tuple(chain)


def sides_of(step: StepPlan) -> Sequence[Json]:
    """Return the second rasters that a step was planned with."""
    sides: Sequence[Json] = step.values.get("beside", ())
    return sides


def number_of(value: str | Number | None) -> Number | None:
    """Return the number that :func:`json_number` gave; one and the same NaN, so that plans that
    hold it are equal."""
    if not isinstance(value, str):
        return value
    number = float(value)
    return math.nan if math.isnan(number) else number


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
