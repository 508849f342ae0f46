"""Parameters of raster operations, as users give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from geobatch_tui.execution.params.frozen import Resampling, pixel_of
from geobatch_tui.execution.params.param_fields import Nodata, Options, SourceNodata, semantic

if TYPE_CHECKING:
    from typing import Self

#: Warp options that the plan pins, or that are the engine's to choose.
PINNED = frozenset({"NUM_THREADS", "SRC_ALPHA_MAX", "DST_ALPHA_MAX", "OPTIMIZE_SIZE"})
TRANSFORM_OPTIONS = frozenset({"CENTER_LONG", "CHECK_WITH_INVERT_PROJ"})


class ReprojectParams(BaseModel):
    """Parameters of ``raster.reproject``, by gdalwarp's names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True
    )

    dst_crs: str = semantic(..., "CRS of the output: a code as EPSG:3857, WKT or a PROJ string.")
    src_crs: str = semantic(
        "", "CRS of the sources, in place of their own, as source.override_crs; empty: their own."
    )
    resampling: Resampling = semantic("nearest", "How pixels are interpolated, by GDAL's names.")
    bounds: tuple[float, float, float, float] | None = semantic(
        None, "Extent of the output: minx, miny, maxx, maxy.", "units of bounds_crs"
    )
    bounds_crs: str = semantic("", "CRS of bounds; empty: dst_crs.")
    extent: Literal["auto", "source", "area-of-use"] = semantic(
        "auto",
        "Extent without bounds. auto: GDAL's, or, where that is unsound, the source's cut to the "
        "area of use of dst_crs; source: GDAL's or nothing; area-of-use: always cut.",
    )
    resolution: tuple[float, float] | float | None = semantic(
        None, "Size of a pixel, one number or x and y.", "units of dst_crs"
    )
    size: tuple[int, int] | None = semantic(
        None, "Width and height of the output; 0 for one of them: in proportion.", "pixels"
    )
    target_aligned_pixels: bool = semantic(False, "Grow the extent to multiples of the resolution.")
    src_nodata: SourceNodata = semantic(
        None, 'Nodata of the sources, in place of their own; "none" ignores it.', "pixel value"
    )
    dst_nodata: Nodata = semantic(
        None, "Nodata of the output; empty: that of the source.", "pixel value"
    )
    add_alpha: bool = semantic(False, "Add an alpha band that is 0 where there is no data.")
    error_threshold: float = semantic(
        0.001,
        "Allowed error of source coordinates; a 32nd of it for pixels of more than 8 bits. "
        "0: GDAL's warper, and PROJ for every pixel.",
        "source pixels",
    )
    warp_options: Options = semantic({}, "GDAL's warp options, as with gdalwarp -wo.")
    transform_options: Options = semantic(
        {}, "Options of the transformation: CENTER_LONG, CHECK_WITH_INVERT_PROJ."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_extent(self)
        if not self.dst_crs.strip():
            raise ValueError("dst_crs is empty")
        if self.add_alpha and self.dst_nodata is not None:
            raise ValueError("add_alpha and dst_nodata exclude each other")
        if not 0 <= self.error_threshold <= 0.5:
            raise ValueError("error_threshold must lie between 0 (exact) and 0.5 source pixels")
        if pinned := sorted(set(self.warp_options) & PINNED):
            raise ValueError(f"warp_options: {', '.join(pinned)} cannot be set; leave it out")
        unknown = sorted(set(self.transform_options) - TRANSFORM_OPTIONS)
        if unknown:
            raise ValueError(
                f"transform_options: {', '.join(unknown)} cannot be passed on; "
                f"known: {', '.join(sorted(TRANSFORM_OPTIONS))}"
            )
        return self

    @property
    def pixel(self) -> tuple[float, float] | None:
        """``resolution`` as x and y."""
        return pixel_of(self.resolution)


def _check_extent(params: ReprojectParams) -> None:
    if params.bounds is not None:
        minx, miny, maxx, maxy = params.bounds
        if not (minx < maxx and miny < maxy):
            raise ValueError("bounds are minx, miny, maxx, maxy, with minx < maxx and miny < maxy")
        if params.extent != "auto":
            raise ValueError("bounds and extent exclude each other")
    elif params.bounds_crs:
        raise ValueError("bounds_crs is given without bounds")
    if params.pixel is not None and not min(params.pixel) > 0:
        raise ValueError("resolution must be above 0")
    if params.size is not None:
        if params.resolution is not None:
            raise ValueError("size and resolution exclude each other")
        if min(params.size) < 0 or max(params.size) < 1:
            raise ValueError("size is width and height, in pixels")
    if params.target_aligned_pixels and params.resolution is None:
        raise ValueError("target_aligned_pixels needs resolution")


class ConvertParams(BaseModel):
    """Parameters of ``raster.convert``, by gdal_translate's names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True
    )

    src_crs: str = semantic(
        "", "CRS of the sources, in place of their own, as source.override_crs; empty: their own."
    )
    src_nodata: SourceNodata = semantic(
        None, 'Nodata of the sources, in place of their own; "none" drops it.', "pixel value"
    )
    dst_nodata: Nodata = semantic(
        None, "Nodata of the output: pixels that are invalid are rewritten to it.", "pixel value"
    )
