"""Makes the TIFF tags of an item as GDAL writes them.

GDAL writes a raster of 16x16 pixels with the item's bands, colours, CRS and metadata in memory; its
tags are copied, except those of size and encoding. So no GeoKey is made by hand. The tags are
copied as raw bytes, by the short parser that a classic little-endian file of known origin needs:
decoding them in between (with tifffile, whose import alone takes 0.18 s) could only lose something.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError
from rasterio.io import MemoryFile

from geobatch_tui.errors import CrsError, OperationError, SchemaError
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.gdal_options import LOSSLESS
from geobatch_tui.execution.raster.encode.tiff_tag import Tag, TiffForm
from geobatch_tui.execution.raster.source.metadata import XMP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.raster.plan import RasterPlan

SIDE = 16
#: Tags of size, encoding and tiles, which the assembler makes itself.
_OWN_TAGS = frozenset({
    tag.NEW_SUBFILE_TYPE, tag.IMAGE_WIDTH, tag.IMAGE_LENGTH, tag.COMPRESSION, tag.STRIP_OFFSETS,
    tag.ROWS_PER_STRIP, tag.STRIP_BYTE_COUNTS, tag.PREDICTOR, tag.TILE_WIDTH, tag.TILE_LENGTH,
    tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS, tag.JPEG_TABLES, tag.LERC_PARAMETERS,
})  # fmt: skip
#: Tags that overviews carry too: how a pixel is to be read, and the nodata value.
_OVERVIEW_TAGS = frozenset({
    tag.BITS_PER_SAMPLE, tag.PHOTOMETRIC, tag.SAMPLES_PER_PIXEL, tag.PLANAR_CONFIGURATION,
    tag.COLOR_MAP, tag.EXTRA_SAMPLES, tag.SAMPLE_FORMAT, tag.YCBCR_SUBSAMPLING,
    tag.REFERENCE_BLACK_WHITE, tag.GDAL_NODATA,
})  # fmt: skip
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
_END = b"</GDALMetadata>"
#: GDAL's names of colours where rasterio has others; case makes no difference.
_GDAL_COLOURS = {"Y": "YCbCr_Y", "Cb": "YCbCr_Cb", "Cr": "YCbCr_Cr"}
#: Stand-ins for the place and the fingerprint of an item, in templates that items share.
_UNIT = (1.0, 0.0, 0.0, 0.0, -1.0, 1.0)
_NO_MARK = "?" * 32
#: In pixels. PixelIsPoint moves the tie point by half a pixel and back.
_TRANSFORM_TOLERANCE = 1e-6


#: Templates without place and fingerprint, by kind, and how many are kept.
_blanks: dict[str, Template] = {}
_KINDS = 8


class Identity(TypedDict):
    """The content of a dataset's tags, in rasterio's terms; see :func:`describe`."""

    bands: int
    dtypes: tuple[str, ...]
    crs: str
    transform: tuple[float, ...]
    nodata: tuple[str, ...]
    colours: tuple[str, ...]
    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    tags: dict[str, str]
    domains: dict[str, Mapping[str, str]]
    band_tags: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Tags for the full resolution and for overviews, and the identity that a reader finds in them.

    ``kind`` is the same for items whose tags differ in place and fingerprint alone; empty for an
    item whose template is its own.
    """

    tags: tuple[Tag, ...]
    overview_tags: tuple[Tag, ...]
    identity: Identity
    kind: str = ""


def make_template(plan: RasterPlan, fingerprint: str) -> Template:
    """Make the tags for ``plan``, with the fingerprint as metadata item GEOBATCH_FP.

    Raises:
        CrsError: GeoTIFF cannot hold the CRS.
        SchemaError: it cannot hold the geotransform, nodata value or bands.
    """
    a, b, c, d, e, f = plan.transform
    if b or d or a <= 0 or e >= 0 or plan.area_or_point == "Point":
        return _make(plan, fingerprint)
    # Thousands of small files of one kind differ in their place and fingerprint alone.
    kind = replace(plan, transform=_UNIT, warp=None, width=SIDE, height=SIDE)
    kind = replace(kind, encoding=replace(plan.encoding, overviews=()))
    name = repr(kind)
    blank = _blanks.get(name)
    if blank is None:
        if len(_blanks) >= _KINDS:
            _blanks.clear()
        blank = _blanks[name] = _make(kind, _NO_MARK)
    place = {
        tag.MODEL_PIXEL_SCALE: struct.pack("<3d", a, -e, 0.0),
        tag.MODEL_TIE_POINT: struct.pack("<6d", 0.0, 0.0, 0.0, c, f, 0.0),
    }
    mark = fingerprint.encode()
    if len(mark) != len(_NO_MARK) or not place.keys() <= {entry.code for entry in blank.tags}:
        return _make(plan, fingerprint)
    tags = tuple(_with_place(entry, place, mark) for entry in blank.tags)
    identity: Identity = {
        **blank.identity,
        "transform": plan.transform,
        "tags": blank.identity["tags"] | {"GEOBATCH_FP": fingerprint},
    }
    return Template(tags, blank.overview_tags, identity, name)


def _with_place(entry: Tag, place: dict[int, bytes], mark: bytes) -> Tag:
    """Return a tag of a blank template with the place and the fingerprint of an item."""
    if entry.code in place:
        return replace(entry, value=place[entry.code])
    blank = _NO_MARK.encode()
    return replace(entry, value=entry.value.replace(blank, mark)) if blank in entry.value else entry


def _make(plan: RasterPlan, fingerprint: str) -> Template:
    data = _write(plan, fingerprint)
    entries = [entry for entry in parse_tags(data) if entry.code not in _OWN_TAGS]
    if XMP in plan.domains:  # rasterio puts its name before it
        packet = "".join(plan.domains[XMP].values()).encode()
        entries.append(Tag(tag.XMP, 1, len(packet), packet))
    # The bytes alone: GDAL puts metadata that a TIFF cannot hold into a sidecar file.
    with MemoryFile(data) as memory, memory.open(driver="GTiff") as dataset:
        identity = describe(dataset, plan.domains)
        identity["domains"] |= {XMP: plan.domains[XMP]} if XMP in plan.domains else {}
        _check_template(plan, dataset)
    if plan.count > 2 and identity["colours"] != plan.colorinterp:
        entries = _with_colours(entries, plan.colorinterp)
        identity["colours"] = plan.colorinterp
    tags = tuple(sorted(entries, key=lambda entry: entry.code))
    overview_tags = tuple(entry for entry in tags if entry.code in _OVERVIEW_TAGS)
    return Template(tags, overview_tags, identity)


def _with_colours(tags: list[Tag], colours: tuple[str, ...]) -> list[Tag]:
    """Return ``tags`` whose metadata name the colour of each band, as in copies that GDAL makes:
    for a new file it leaves out undefined and grey, and reads such bands as grey or red."""
    items = "".join(
        f'<Item name="COLORINTERP" sample="{band}" role="colorinterp">'
        f"{_GDAL_COLOURS.get(name, name)}</Item>\n"
        for band, name in enumerate(colours)
    )
    return [
        _extended(entry, items.encode()) if entry.code == tag.GDAL_METADATA else entry
        for entry in tags
    ]


def _extended(entry: Tag, items: bytes) -> Tag:
    value = entry.value.replace(_END, items + _END)
    return replace(entry, count=len(value), value=value)


def describe(dataset: DatasetReader, domains: Iterable[str]) -> Identity:
    """Return the content of an open dataset's tags, without its size and structure.

    Metadata is that of the default domain and of ``domains``.
    """
    return {
        "bands": dataset.count,
        "dtypes": dataset.dtypes,
        "crs": dataset.crs.to_wkt() if dataset.crs else "",
        "transform": tuple(dataset.transform)[:6],
        "nodata": tuple(map(repr, dataset.nodatavals)),
        "colours": tuple(interp.name for interp in dataset.colorinterp),
        "descriptions": dataset.descriptions,
        "scales": dataset.scales,
        "offsets": dataset.offsets,
        "units": dataset.units,
        "tags": dataset.tags(),
        "domains": {name: dataset.tags(ns=name) for name in domains},
        "band_tags": tuple(dataset.tags(band) for band in dataset.indexes),
    }


def _write(plan: RasterPlan, fingerprint: str) -> bytes:
    tags = {**plan.tags, "AREA_OR_POINT": plan.area_or_point or "Area", "GEOBATCH_FP": fingerprint}
    options: dict[str, object] = {
        "driver": "GTiff",
        "width": SIDE,
        "height": SIDE,
        "count": plan.count,
        "dtype": plan.dtype,
        "nodata": plan.nodata,
        "crs": _crs(plan),
        "transform": rasterio.Affine(*plan.transform),
        "interleave": plan.encoding.interleave,
        **_colours(plan),
        "tiled": True,
        "blockxsize": SIDE,
        "blockysize": SIDE,
        "endianness": "LITTLE",
        "bigtiff": "NO",
        **plan.domains.get("COLOR_PROFILE", {}),
    }
    try:
        with MemoryFile(ext=".tif") as memory:
            with memory.open(**options) as dataset:
                dataset.update_tags(**tags)
                for name in sorted(plan.domains.keys() - {"COLOR_PROFILE", XMP}):
                    dataset.update_tags(ns=name, **plan.domains[name])
                _write_bands(plan, dataset)
            return bytes(memory.getbuffer())
    except (ValueError, TypeError, OverflowError) as error:
        raise SchemaError(f"GeoTIFF cannot hold these bands: {error}") from error


def _write_bands(plan: RasterPlan, dataset: DatasetReader) -> None:
    if plan.colorinterp and plan.colormap is None and not _is_ycbcr(plan):
        dataset.colorinterp = [ColorInterp[name] for name in plan.colorinterp]
    if plan.colormap is not None:
        dataset.write_colormap(1, dict(enumerate(plan.colormap)))
    for band, text in enumerate(plan.descriptions, 1):
        if text:
            dataset.set_band_description(band, text)
    for band, own in enumerate(plan.band_tags, 1):
        if own:
            dataset.update_tags(band, **own)
    for band, unit in enumerate(plan.units, 1):
        if unit:
            dataset.set_band_unit(band, unit)
    if any(scale != 1 for scale in plan.scales) or any(plan.offsets):
        dataset.scales = plan.scales
        dataset.offsets = plan.offsets


def _crs(plan: RasterPlan) -> CRS | None:
    try:
        return CRS.from_wkt(plan.crs) if plan.crs else None
    except CRSError as error:
        raise CrsError(f"the CRS cannot be read: {error}") from error


def _is_ycbcr(plan: RasterPlan) -> bool:
    """Whether three bands are in JPEG: they read back as red, green and blue in any case."""
    return plan.encoding.compress == "JPEG" and plan.count == 3


def _colours(plan: RasterPlan) -> dict[str, object]:
    """Return GDAL's options for colours, and for codecs that change colours or metadata."""
    encoding = plan.encoding
    options: dict[str, object] = {"photometric": _photometric(plan)}
    if encoding.compress == "JPEG":
        options["compress"] = "JPEG"
    if encoding.compress == "WEBP" and encoding.level == LOSSLESS:
        options |= {"compress": "WEBP", "webp_lossless": True}
    if encoding.max_z_error:
        options |= {"compress": "LERC", "max_z_error": encoding.max_z_error}
    return options


def _photometric(plan: RasterPlan) -> str:
    if plan.colormap is not None:
        return "PALETTE"
    if _is_ycbcr(plan):
        return "YCBCR"
    rgb = plan.colorinterp[:3] == ("red", "green", "blue") and plan.dtype in ("uint8", "uint16")
    return "RGB" if rgb else "MINISBLACK"


def _check_template(plan: RasterPlan, dataset: DatasetReader) -> None:
    wanted = _crs(plan)
    if wanted is not None and not _same_crs(wanted, dataset.crs):
        raise CrsError(
            f"GeoTIFF cannot hold this CRS: it reads back as {dataset.crs or 'none at all'}",
            hint="choose a projection that GeoTIFF keys know, or an EPSG code",
        )
    size = max(map(abs, plan.transform[:2] + plan.transform[3:5]))
    transform = tuple(dataset.transform)[:6]
    off = max(abs(a - b) for a, b in zip(transform, plan.transform, strict=True))
    if off > _TRANSFORM_TOLERANCE * size:
        raise SchemaError(f"geotransform {plan.transform} reads back as {transform}")
    # NaN is known by its name: it differs from itself.
    if dataset.nodata != plan.nodata and repr(dataset.nodata) != repr(plan.nodata):
        raise SchemaError(f"nodata {plan.nodata!r} reads back as {dataset.nodata!r}")


def _same_crs(wanted: CRS, other: CRS | None) -> bool:
    """Whether two CRSs are equal, but for the axis order (OGC:CRS84), which GeoTIFF cannot hold."""
    return other is not None and (wanted == other or wanted.to_dict() == other.to_dict())


def parse_tags(data: bytes) -> list[Tag]:
    """Read the tags of the first directory of a classic little-endian TIFF, as raw values."""
    if data[:4] != b"II*\0":
        raise OperationError("the template is no classic little-endian TIFF")
    form = TiffForm("<", big=False)
    (start,) = struct.unpack_from(form.pointer, data, 4)
    (count,) = struct.unpack_from(form.counter, data, start)
    entries = data[start + 2 : start + 2 + count * struct.calcsize(form.entry)]
    tags = []
    for code, kind, items, inline in struct.iter_unpack(form.entry, entries):
        size = _TYPE_SIZES[kind] * items
        place = struct.unpack(form.pointer, inline)[0] if size > form.inline else 0
        value = data[place : place + size] if place else inline[:size]
        tags.append(Tag(code, kind, items, value))
    return tags
