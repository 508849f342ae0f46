"""Warps windows of an item by GDAL so that they equal the same windows of the whole.

GDAL's result for a pixel depends on the region that was warped with it: on the kernel scale and on
the source window of that region. The first is pinned in the plan. The second is fixed by always
going through the blocks of one virtual dataset over the item's full grid: GDAL warps such a block
(512x128 pixels) alone, wherever the request came from, while for larger requests it may warp the
requested window itself. So windows are read block by block.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from pyproj import CRS
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.grid import kernel_scale
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.runtime.recorder import expected_gdal_errors

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster, Warp
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.types import Number, Pixels, Valid

#: Megabytes that GDAL may use to warp one block; larger ones are split, always in the same way.
MEM_LIMIT = 64
#: GDAL's value of full alpha where it is not 255.
_OPAQUE = {"int8": 127, "uint16": 65535, "int16": 32767}
#: Pixels of a block of GDAL's warped virtual dataset, columns and rows.
BLOCK = (512, 128)
#: Options of the transformer, not of the warper.
CENTRE, CHECK = "CENTER_LONG", "CHECK_WITH_INVERT_PROJ"
#: Another one: longitudes and latitudes by which the transformer chooses datum operations.
_AREA, _NO_AREA = "AREA_OF_INTEREST", "0,0,0,0"
#: An option that GDAL does not know: bands have different nodata values.
PER_BAND = "PER_BAND_NODATA"


def resampling_of(name: str) -> Resampling:
    """Return rasterio's constant for GDAL's name."""
    return Resampling["cubic_spline" if name == "cubicspline" else name]


def warp_window(
    opened: OpenSource, plan: Raster, warp: Warp, window: Window
) -> tuple[Pixels, Valid | None]:
    """Return the pixels (count, h, w) of ``window`` of the output ``plan``, and where they are
    valid, if it keeps that in a mask."""
    if PER_BAND in warp.options:
        return _warp_per_band(opened, plan, warp, window)
    has_alpha = plan.validity == "alpha" and opened.facts.alpha
    adds_alpha = plan.validity in ("mask", "alpha") and not has_alpha
    pixels = _read(opened, plan, warp, window, warp.src_nodata, alpha=adds_alpha)
    if plan.validity == "mask":
        return pixels[:-1], pixels[-1] > 0
    if has_alpha:
        pixels[-1] = _alpha(opened, plan, warp, window, pixels)
    return pixels, None


def _alpha(opened: OpenSource, plan: Raster, warp: Warp, window: Window, pixels: Pixels) -> Pixels:
    """Return alpha (h, w) as gdalwarp makes it: with a kernel, the alpha of the pixel that a
    position lies in; else full. The virtual dataset resamples alpha like a colour. Alpha of floats
    keeps its value; gdalwarp keeps its whole part, up to 255."""
    # Pixels that were not written are zeros.
    touched = (pixels != 0).any(axis=0)
    if warp.resampling not in kernel_scale.RADIUS:
        return np.where(touched, opaque(plan.dtype), 0).astype(plan.dtype)
    near = replace(warp, resampling="nearest")
    picked = _read(opened, plan, near, window, warp.src_nodata, alpha=False)[-1]
    return np.where(touched, picked, 0).astype(plan.dtype)


def opaque(dtype: str) -> Pixels:
    """Return GDAL's full alpha of pixels of ``dtype``."""
    return np.array(_OPAQUE.get(dtype, 255)).astype(dtype)


def _warp_per_band(
    opened: OpenSource, plan: Raster, warp: Warp, window: Window
) -> tuple[Pixels, Valid | None]:
    """Warp bands with different nodata values: each value has its own virtual dataset, as rasterio
    passes one value for all bands. A pixel is valid where all bands are."""
    bands = opened.facts.nodatavals
    pixels: Pixels = np.empty((len(bands), *window.shape), plan.dtype)
    valid = np.ones(window.shape, bool)
    for value in dict.fromkeys(bands):
        chosen = [index for index, other in enumerate(bands) if other == value]
        part = _read(opened, plan, warp, window, value, alpha=value is None)
        if value is None:
            valid &= part[-1] > 0
        else:
            for index in chosen:
                valid &= validity.differs(part[index], value)
        pixels[chosen] = part[chosen]
    if plan.validity == "mask":
        return pixels, valid
    alpha = np.where(valid, opaque(plan.dtype), 0).astype(plan.dtype)
    return np.concatenate([pixels, alpha[np.newaxis]]), None


def _read(
    opened: OpenSource,
    plan: Raster,
    warp: Warp,
    window: Window,
    src_nodata: Number | None,
    *,
    alpha: bool,
) -> Pixels:
    """Read ``window`` by blocks from the virtual dataset over the full output grid, which stays
    open with the source."""
    grid = (plan.crs, plan.transform, plan.width, plan.height)
    key = repr((grid, warp, plan.nodata, plan.validity, src_nodata, alpha))
    warped = opened.built.get(key)
    if not isinstance(warped, WarpedVRT):
        warped = opened.built[key] = _build(opened, plan, warp, src_nodata, alpha=alpha)
        opened.stack.callback(warped.close)
    pixels: Pixels = np.empty((warped.count, *window.shape), np.dtype(warped.dtypes[0]))
    rows, cols = warped.block_shapes[0]
    for part in window.tiles(int(cols), int(rows)):
        block = warped.read(window=RasterWindow(*part.srcwin))
        pixels[:, *part.slices_in(window)] = block
    return pixels


def _build(
    opened: OpenSource, plan: Raster, warp: Warp, src_nodata: Number | None, *, alpha: bool
) -> WarpedVRT:
    options = dict(warp.options)
    options.pop(PER_BAND, None)
    centre, check = options.pop(CENTRE, None), options.pop(CHECK, None)
    src_crs = _wkt(warp.src_crs) if centre is None else unrolled_wkt(warp.src_crs, centre)
    nodata = None if alpha else src_nodata if plan.validity == "mask" else plan.nodata
    with contextlib.ExitStack() as stack:
        if check is not None:
            stack.enter_context(rasterio.Env(CHECK_WITH_INVERT_PROJ=check))
        return WarpedVRT(
            opened.dataset,
            src_crs=src_crs,
            crs=_wkt(plan.crs),
            transform=Affine(*plan.transform),
            width=plan.width,
            height=plan.height,
            resampling=resampling_of(warp.resampling),
            tolerance=warp.tolerance,
            src_nodata=src_nodata,
            nodata=nodata,
            init_dest_nodata="INIT_DEST" not in options,
            add_alpha=alpha,
            # Left to itself, GDAL 3.12 makes int16 of int8.
            dtype=plan.dtype,
            warp_mem_limit=MEM_LIMIT,
            XSCALE=repr(warp.xscale),
            YSCALE=repr(warp.yscale),
            **options,
        )


def _wkt(text: str) -> str:
    return crs_lookup.gdal_wkt_of(crs_lookup.crs_of(text))


def unrolled_wkt(wkt: str, centre: str) -> str:
    """Return a geographic CRS whose longitudes are counted to within 180 degrees of ``centre``.

    GDAL reads the extension from WKT 1; gdalwarp sets the same by itself (InsertCenterLong). GDAL
    caches transformations by a text that leaves extensions out, so the centre is in the name of
    the unit too: else a second source in one process gets the longitudes of the first. (In the
    name of the CRS it would keep PROJ from finding some datum operations.)
    """
    text: str = CRS.from_wkt(wkt).to_2d().to_wkt("WKT1_GDAL")
    head, unit, tail = text.rpartition('UNIT["degree"')
    if not unit:
        raise OperationError(f"a CRS that is unrolled about {centre} has no degrees: {text}")
    text = f'{head}UNIT["degree counted about {centre}"{tail}'
    # The code would have GDAL look the definition up again, without the extension.
    head, authority, tail = text.rpartition(',AUTHORITY["')
    if authority and tail.count("]") == 2:
        text = head + "]"
    return f'{text[:-1]},EXTENSION["CENTER_LONG","{centre}"]]'


def suggestion(
    dataset: DatasetReader, src: CRS, dst: CRS, centre: float | None, *, by_area: bool = False
) -> PixelGrid | None:
    """Return the grid that GDAL suggests; None where it has none.

    It comes from the same datum operation as the pixels, which rasterio warps by a transformer
    without an area; with ``by_area``, from the operation of the source's area, as in gdalwarp.
    """
    crs = crs_lookup.gdal_wkt_of(src)
    if centre is not None:
        crs = unrolled_wkt(crs, repr(centre))
    options = {} if by_area else {_AREA: _NO_AREA}
    try:
        with (
            expected_gdal_errors(warning=_AREA),  # it is no option of the warper's
            WarpedVRT(dataset, src_crs=crs, crs=crs_lookup.gdal_wkt_of(dst), **options) as warped,
        ):
            a, _, c, _, e, f = (float(value) for value in tuple(warped.transform)[:6])
            return PixelGrid(dst, (a, 0.0, c, 0.0, e, f), warped.width, warped.height)
    except (RasterioError, CRSError):
        return None
