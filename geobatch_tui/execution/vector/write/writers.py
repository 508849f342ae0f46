"""Writers of the output formats, one each, and how they check what they wrote."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, override

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.write_behind import Written
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.ogr import exact_names, stream
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.spool import records
from geobatch_tui.execution.vector.write import ogr_file, parquet_file
from geobatch_tui.execution.vector.write.published_file import fingerprint_by_ogr

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.vector.spool.segment import Finished


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
        except ogr_file.ERRORS as error:
            if not features and output.is_json:
                return
            raise VerifyError(f"{path.name!r} cannot be read back: {error}") from error
        if info["features"] != features:
            raise VerifyError(
                f"{path.name!r} holds {info['features']} features, {features} were written"
            )
        if output.fingerprint == "member":  # it is looked at when the file is inspected
            return
        if output.fingerprint and fingerprint_by_ogr(str(path), info) != done.item.fingerprint:
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
