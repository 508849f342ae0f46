"""Reads published files back: every feature, and the fingerprint."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError, VerifyError
from geobatch_tui.execution.io.digest import digest_of
from geobatch_tui.execution.io.part_file import readable_name
from geobatch_tui.execution.protocol.looking import InspectReceipt
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import exact_names, ogr_drivers, stream
from geobatch_tui.execution.vector.ogr.pyogrio_import import DataLayerError, pyogrio
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.write import parquet_file
from geobatch_tui.execution.vector.write.ogr_file import ERRORS, KEY

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo

#: Where files carry their fingerprints, by GDAL's drivers.
_FINGERPRINTS = {each.driver: each.fingerprint for each in OUTPUT_FORMATS.values()}


def inspect(path: str, stage: Stage) -> InspectReceipt:
    """Read a published file; return its fingerprint (empty: not ours), size and SHA-256. Raise
    VerifyError if it is not there, is no vector file, or cannot be read to its end."""
    try:
        with stage("digest"):
            digest, size = digest_of(path)
        with stage("read"):
            parquet = format_of(ogr_drivers.drivers_of(path)[0]).is_arrow
            fingerprint, facts = parquet_file.inspect(path) if parquet else inspect_by_ogr(path)
    except (*ERRORS, GeobatchError, DataLayerError) as error:
        raise VerifyError(f"{path!r} cannot be read back: {error}") from error
    return InspectReceipt(fingerprint, size, digest, facts)


def inspect_by_ogr(path: str) -> tuple[str, Json]:
    """Read all features of a published file; return its fingerprint (empty: not ours, or a GeoJSON
    text sequence, which has no place for one), and facts of it."""
    # The layer of a text file has the name of the file, which pyogrio takes for UTF-8.
    text = Path(path).suffix in {".geojson", ".geojsonl"}
    with readable_name(path) if text else nullcontext(path) as name:
        place = ogr_drivers.place_of(name)
        with stream.opened(place) as (_, reader):
            count = sum(batch.num_rows for batch in reader)
        info = pyogrio.read_info(exact_names.exact(place), force_total_bounds=True)
    box = info["total_bounds"]
    facts = {"features_out": count, "bounds": [float(side) for side in box] if box else None}
    return fingerprint_by_ogr(path, info), facts


def fingerprint_by_ogr(path: str, info: LayerInfo) -> str:
    """Return the fingerprint that a file carries, of which OGR says ``info``; empty: none."""
    where = _FINGERPRINTS.get(info["driver"], "metadata")
    if where == "archive":
        return shapefile_zip.fingerprint_of(Path(path))
    if where == "member":
        with open(os.fspath(path), "rb") as file:  # noqa: PTH123 - odd bytes in names
            head = file.read(4096).decode("utf-8", "replace")
        _, found, rest = head.partition(f'"{KEY.lower()}": "')
        return rest.partition('"')[0] if found else ""
    return str((info["layer_metadata"] or {}).get(KEY, ""))
