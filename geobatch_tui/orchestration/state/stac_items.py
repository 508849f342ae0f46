"""Outputs as STAC: what an item says of one, in the words of its extensions proj, raster and file.

An item is made of the ledger's row alone, so it is the same whenever it is made.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from geobatch_tui.execution.sources.source_list import is_source_list, members_of
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.ledger.place.state_directory import output_path
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.letter_export import outline
from geobatch_tui.orchestration.state.published import entry

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.schema.updates import ItemRow

#: Name of what a catalogue says of an item, among the notes of its plan and its facts.
STAC: Final = "stac"
#: The property that tells our items from others of their names.
MARK: Final = "geobatch:fingerprint"
PROJ, RASTER, FILE = (
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v2.0.0", "file/v2.1.0")
)
_MEDIA: Final = {
    "COG": "image/tiff; application=geotiff; profile=cloud-optimized",
    "GTiff": "image/tiff; application=geotiff",
    "GeoParquet": "application/vnd.apache.parquet",
    "FlatGeobuf": "application/vnd.flatgeobuf",
    "GPKG": "application/geopackage+sqlite3",
    "GeoJSON": "application/geo+json",
    "GeoJSONSeq": "application/geo+json-seq",
    "Shapefile": "application/zip",
}
_COMPLEX: Final = {"complex64": "cfloat32", "complex128": "cfloat64", "complex_int16": "cint16"}
#: Heads of multihashes, with the length of the digest: SHA-256, and BLAKE2b-128 of old ledgers.
_MULTIHASH: Final = {64: "1220", 32: "90e40210"}
#: Properties that an item of a catalogue hands on to its output; all are texts.
_HANDED_ON: Final = ("platform", "constellation", "mission")
#: Sources of one item that are linked.
_MOST_LINKS: Final = 100


def with_catalogued(facts: Json, notes: Json) -> Json:
    """Return the facts of an output with what a catalogue says of its item, if one does."""
    return {**facts, STAC: notes[STAC]} if STAC in notes else facts


def stac_item(row: ItemRow, root: Path, form: str, *, is_far: bool = False) -> pystac.Item:
    """Make the item of an output, which lies beside it; ``root``: the output directory, ``form``:
    the output format. ``is_far``: they are in a store, and local sources elsewhere."""
    import pystac

    place = str(output_path(root, row.key))
    about, seen = entry(row, place, None), row.facts.get(STAC) or {}
    bounds = row.plan.get("bounds_lonlat")
    properties = {MARK: row.fingerprint, **_projected(about, row.plan.get("detail") or {})}
    given = seen.get("properties") or {}
    properties |= {
        name: given[name] for name in _HANDED_ON if isinstance(given.get(name), str) and given[name]
    }
    item = pystac.Item(
        id=safe(str(PurePath(row.key).with_suffix(""))).replace("/", "."),
        geometry=outline(bounds) if bounds else None,
        bbox=list(bounds) if bounds else None,
        datetime=_time(str(seen.get("datetime", "")), row.src_mtime_ns),
        properties=properties,
        stac_extensions=[PROJ, FILE],
    )
    name = PurePath(row.key).name
    fields: dict[str, object] = {"file:size": row.out_size}
    if (head := _MULTIHASH.get(len(row.out_digest))) is not None:
        fields["file:checksum"] = head + row.out_digest
    if bands := _bands(row.plan.get("detail") or {}):
        fields["bands"] = bands
        item.stac_extensions.append(RASTER)
    asset = pystac.Asset(
        f"./{quoted(name)}", media_type=_MEDIA[form], roles=["data"], extra_fields=fields
    )
    item.add_asset("data", asset)
    for href in _sources(row, seen, None if is_far else root):
        item.add_link(pystac.Link("derived_from", href))
    return item


def quoted(name: str) -> str:
    """Return a path, which may hold any bytes, as a relative reference: what would end it, and
    what does not print, is encoded; blanks and letters are left, as readers of STAC open files by
    what is written."""
    return "".join(
        sign if sign.isprintable() and sign not in "%#?" else quote(os.fsencode(sign))
        for sign in name
    )


def _time(text: str, mtime_ns: int) -> datetime:
    """Return the time of a source: its catalogue's, else that of its file or object."""
    try:
        told = datetime.fromisoformat(text)
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(mtime_ns // 10**9, UTC)


def _projected(about: Json, detail: Json) -> dict[str, object]:
    crs = about["crs"] or ""
    told: dict[str, object] = {}
    if crs:
        code = crs if len(crs) < 40 and "[" not in crs else None
        told["proj:code"] = code
        if code is None:
            told["proj:wkt2"] = crs
    if about["bounds"]:
        told["proj:bbox"] = list(about["bounds"])
    if about["width"] and detail.get("transform"):
        told["proj:shape"] = [about["height"], about["width"]]
        told["proj:transform"] = list(detail["transform"][:6])
    return told


def _bands(detail: Json) -> list[dict[str, object]]:
    """Describe each band of a raster; none of features."""
    if "width" not in detail or "dtype" not in detail:
        return []
    count = int(detail.get("count") or 0)
    bands: list[dict[str, object]] = []
    for number in range(count):
        band: dict[str, object] = {"name": f"b{number + 1}", "data_type": _type(detail["dtype"])}
        if text := _at(detail, "descriptions", number, ""):
            band["description"] = text
        if text := _at(detail, "units", number, ""):
            band["unit"] = text
        nodata = _number(detail.get("nodata"))
        if nodata is not None:
            band["nodata"] = nodata
        for name, plain in (("scale", 1.0), ("offset", 0.0)):
            value = _at(detail, f"{name}s", number, plain)
            if value != plain:
                band[f"raster:{name}"] = value
        if (sampling := str(detail.get("area_or_point", "")).lower()) in {"area", "point"}:
            band["raster:sampling"] = sampling
        bands.append(band)
    return bands


def _type(name: str) -> str:
    return _COMPLEX.get(name, name)


def _at(detail: Json, name: str, number: int, default: Any) -> Any:
    values = detail.get(name) or ()
    return values[number] if number < len(values) else default


def _number(value: object) -> object:
    """Return a nodata value as STAC writes it: NaN and the infinities are words."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value if isinstance(value, int | float) else None


def _sources(row: ItemRow, seen: Json, root: Path | None) -> list[str]:
    """List what an output was made of: the item of a catalogue, or files and objects. A file is
    named from the item's own place below ``root``, if it has one beside files."""
    if own := seen.get("href"):
        return [redact(str(own))]
    try:
        members = members_of(row.source) if is_source_list(row.source) else (row.source,)
    except (OSError, ValueError):
        return []
    folder = "" if root is None else os.path.dirname(root / row.key)  # noqa: PTH120 - odd bytes

    def href(path: str) -> str:
        if is_url(path):
            return redact(path)
        return quoted(os.path.relpath(path, folder)) if folder else f"file://{quoted(path)}"

    return [href(path) for path in members[:_MOST_LINKS]]
