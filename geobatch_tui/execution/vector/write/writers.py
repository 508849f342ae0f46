"""Output formats, how each is written, and read back: just written, or published."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, override

from geobatch_tui.errors import GeobatchError, VerifyError
from geobatch_tui.execution.io.digest import digest_of
from geobatch_tui.execution.io.part_file import readable_name
from geobatch_tui.execution.io.write_behind import Written
from geobatch_tui.execution.protocol.messages import InspectReceipt
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import exact_names, ogr_drivers, stream
from geobatch_tui.execution.vector.ogr.pyogrio_import import DataLayerError, pyogrio
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.spool import records
from geobatch_tui.execution.vector.write import ogr_file, parquet_file
from geobatch_tui.execution.vector.write.ogr_file import ERRORS, KEY

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo
    from geobatch_tui.execution.vector.spool.segment import Finished

#: Where files carry their fingerprints, by GDAL's drivers.
_FINGERPRINTS = {each.driver: each.fingerprint for each in OUTPUT_FORMATS.values()}


class Writer:
    """Writes files of a format: from what chunks have encoded, or else by OGR."""

    def joins(self, done: Finished) -> bool:
        """Whether the part file is put together from what chunks have encoded."""
        return done.summary.out > 0 and records.taken(done.plan)

    def join(self, done: Finished, path: Path, scratch: Path) -> Written:
        """Put the part file together; ``scratch``: a directory for a while."""
        raise NotImplementedError

    def write(self, done: Finished, path: Path) -> None:
        """Write the features to ``path``, in a directory for a while, as :func:`ogr_file.write`."""
        ogr_file.write(done, path)

    def check(self, path: Path, done: Finished) -> None:
        """Raise VerifyError if a file does not open, or holds another number of features. Those of
        FlatGeobuf are read one by one: its own count is only a number in its header."""
        output, features = done.plan.output, done.summary.out
        try:
            info = pyogrio.read_info(exact_names.exact(path), force_feature_count=True)
            if not output.knows_count:
                with stream.opened(str(path), read_geometry=False) as (_, reader):
                    info["features"] = sum(batch.num_rows for batch in reader)
        except ERRORS as error:
            if not features and output.is_json:
                return
            raise VerifyError(f"{path.name!r} cannot be read back: {error}") from error
        if info["features"] != features:
            raise VerifyError(
                f"{path.name!r} holds {info['features']} features, {features} were written"
            )
        if output.fingerprint == "member":  # it is looked at when the file is inspected
            return
        if output.fingerprint and _fingerprint(str(path), info) != done.item.fingerprint:
            raise VerifyError(f"{path.name!r} does not carry its fingerprint")


class _GeoParquet(Writer):
    @override
    def joins(self, done: Finished) -> bool:
        return True

    @override
    def join(self, done: Finished, path: Path, scratch: Path) -> Written:
        return Written((), (parquet_file.write(done, path, scratch),))

    @override
    def check(self, path: Path, done: Finished) -> None:
        parquet_file.check(path, done.item.fingerprint, done.summary.out)


class _FlatGeobuf(Writer):
    @override
    def join(self, done: Finished, path: Path, scratch: Path) -> Written:
        from geobatch_tui.execution.vector.write import flatgeobuf_file

        return flatgeobuf_file.write(done, path, scratch)


class _GeoPackage(Writer):
    @override
    def join(self, done: Finished, path: Path, scratch: Path) -> Written:
        from geobatch_tui.execution.vector.write import gpkg_file

        return gpkg_file.write(done, path, scratch)

    @override
    def write(self, done: Finished, path: Path) -> None:
        from geobatch_tui.execution.vector.write import gpkg_file

        super().write(done, path)
        gpkg_file.set_dimensions(path, done)
        gpkg_file.compare(path, ogr_file.template(done))

    @override
    def check(self, path: Path, done: Finished) -> None:
        from geobatch_tui.execution.vector.write import gpkg_file

        gpkg_file.check(path)
        super().check(path, done)


class _Shapefile(Writer):
    @override
    def write(self, done: Finished, path: Path) -> None:
        layer = path.parent / f"{done.plan.layer_name}.shp"
        super().write(done, layer)
        shapefile_zip.pack(layer, path, done.item.fingerprint)


_BY_OGR = Writer()
WRITERS: MappingProxyType[str, Writer] = MappingProxyType(
    dict.fromkeys(OUTPUT_FORMATS, _BY_OGR)
    | {
        "FlatGeobuf": _FlatGeobuf(),
        "GPKG": _GeoPackage(),
        "GeoParquet": _GeoParquet(),
        "Shapefile": _Shapefile(),
    }
)


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
    return _fingerprint(path, info), facts


def _fingerprint(path: str, info: LayerInfo) -> str:
    where = _FINGERPRINTS.get(info["driver"], "metadata")
    if where == "archive":
        return shapefile_zip.fingerprint_of(Path(path))
    if where == "member":
        with open(os.fspath(path), "rb") as file:  # noqa: PTH123 - odd bytes in names
            head = file.read(4096).decode("utf-8", "replace")
        _, found, rest = head.partition(f'"{KEY.lower()}": "')
        return rest.partition('"')[0] if found else ""
    return str((info["layer_metadata"] or {}).get(KEY, ""))
