"""Describes an open source as a raster, and refuses what no operation takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rasterio.enums import ColorInterp

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.plan import Raster
from geobatch_tui.execution.raster.source import metadata
from geobatch_tui.execution.raster.source_facts import Facts

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from geobatch_tui.execution.raster import validity
    from geobatch_tui.execution.raster.grid import pixel_grid

#: Data types that are read, warped and written.
DTYPES = frozenset({
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
})  # fmt: skip
#: Tags of a TIFF about its layout or its resolution on paper, not about the data.
_DROPPED_TAGS = frozenset({
    "AREA_OR_POINT", "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT",
    "TIFFTAG_SOFTWARE", "GEOBATCH_FP",
})  # fmt: skip


def facts_of_source(dataset: DatasetReader) -> tuple[Facts, list[str]]:
    """Return the source's facts, and warnings about its pixels."""
    warnings: list[str] = []
    metadata.warn_of_bits(dataset, warnings)
    if dataset.colorinterp[0] == ColorInterp.palette and not colormap_of(dataset):
        warnings.append(
            "the source is called a palette image and has no colours: it is taken for grey"
        )
    if dataset.tags().get("AREA_OR_POINT") == "Point":
        warnings.append("the source says AREA_OR_POINT=Point: kept, half-pixel shift accounted for")
    return Facts.of(dataset), warnings


def check_types(path: str, dataset: DatasetReader) -> None:
    """Raise SchemaError if pixels are of several types, or of one that is not supported."""
    kinds = sorted(set(dataset.dtypes))
    if len(kinds) > 1:
        raise SchemaError(
            f"{path} has bands of different types ({', '.join(kinds)}); a GeoTIFF has one",
            hint="split it, or convert it with gdal_translate -ot first",
        )
    if kinds[0] not in DTYPES:
        raise SchemaError(f"{path} has {kinds[0]} pixels, which are not supported")
    palettes = [kind == ColorInterp.palette for kind in dataset.colorinterp]
    if any(palettes) and (dataset.count > 1 or kinds[0] != "uint8"):
        raise SchemaError(f"{path} has a palette on other than one uint8 band")


def raster_of(
    dataset: DatasetReader,
    choice: validity.ValidityChoice,
    grid: pixel_grid.PixelGrid,
    warnings: list[str],
    *,
    moved: bool,
) -> Raster:
    """Return the source on ``grid``, with ``choice`` for its valid pixels; ``moved``: its pixels
    lie in other places than in the source."""
    extra = int(choice.adds_alpha)
    colours = [kind.name for kind in dataset.colorinterp]
    if colours == ["palette"] and not colormap_of(dataset):
        colours = ["gray"]
    given = dataset.tags()
    tags = {k: str(v) for k, v in given.items() if k not in _DROPPED_TAGS}
    return Raster(
        width=grid.width,
        height=grid.height,
        crs=crs_lookup.wkt_of(grid.crs),
        transform=grid.transform,
        count=dataset.count + extra,
        dtype=dataset.dtypes[0],
        nodata=choice.nodata,
        validity=choice.validity,
        colorinterp=tuple(colours + ["alpha"] * extra),
        colormap=colormap_of(dataset),
        descriptions=tuple(text or "" for text in dataset.descriptions) + ("",) * extra,
        scales=tuple(dataset.scales) + (1.0,) * extra,
        offsets=tuple(dataset.offsets) + (0.0,) * extra,
        units=tuple(text or "" for text in dataset.units) + ("",) * extra,
        tags=json.loads(json.dumps(tags)),
        area_or_point=given.get("AREA_OR_POINT", "Area"),
        domains=metadata.domains(dataset, warnings, moved=moved),
        band_tags=metadata.of_bands(dataset, extra),
    )


def colormap_of(dataset: DatasetReader) -> tuple[tuple[int, int, int, int], ...] | None:
    """Return the colours of a palette image by pixel value; None where there is no table."""
    if dataset.colorinterp[0] != ColorInterp.palette:
        return None
    try:
        entries = dataset.colormap(1)
    except ValueError:  # GDAL has none
        entries = {}
    if not entries:
        return None
    return tuple(
        tuple(int(part) for part in entries.get(index, (0, 0, 0, 255)))  # type: ignore[misc]
        for index in range(256)
    )
