"""Writers of the output formats, one each, but for GeoParquet (see ``parquet_file``)."""

from __future__ import annotations

from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, override

from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.write import ogr_file, published_file

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.io.write_behind import Written
    from geobatch_tui.execution.vector.spool.contents import Finished


class Writer:
    """Writes files of a format by OGR."""

    def write(self, done: Finished, path: Path) -> None:
        """Write the features to ``path``, in a directory for a while. Raises as
        :func:`ogr_file.write`."""
        ogr_file.write(done, path)

    def write_records(self, done: Finished, path: Path, scratch: Path) -> Written:
        """Put the part file together from the records of chunks, where features are spooled as
        records (see ``spool.records``); ``scratch``: a directory for a while."""
        raise NotImplementedError

    def check(self, path: Path, done: Finished) -> None:
        """Raise VerifyError where OGR finds another file than was to be written."""
        published_file.check(path, done)


class _FlatGeobuf(Writer):
    @override
    def write_records(self, done: Finished, path: Path, scratch: Path) -> Written:
        from geobatch_tui.execution.vector.write import flatgeobuf_file

        return flatgeobuf_file.write(done, path, scratch)


class _GeoPackage(Writer):
    @override
    def write(self, done: Finished, path: Path) -> None:
        from geobatch_tui.execution.vector.write import gpkg_file

        super().write(done, path)
        gpkg_file.set_dimensions(path, done)
        empty = BytesIO()
        ogr_file.write(done, empty, without_features=True)
        gpkg_file.compare(path, empty.getvalue())

    @override
    def write_records(self, done: Finished, path: Path, scratch: Path) -> Written:
        from geobatch_tui.execution.vector.write import gpkg_file

        return gpkg_file.write(done, path, scratch)

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


_WRITERS: MappingProxyType[str, Writer] = MappingProxyType(
    {"FlatGeobuf": _FlatGeobuf(), "GPKG": _GeoPackage(), "Shapefile": _Shapefile()}
)
_BY_OGR = Writer()


def writer_of(form: str) -> Writer:
    """Return the writer of an output format."""
    return _WRITERS.get(form, _BY_OGR)
