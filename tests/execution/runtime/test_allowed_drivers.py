"""What workers keep of GDAL: drivers that stay with the file they are given, and no network."""

from __future__ import annotations

import contextlib
import ctypes
import http.server
import threading
from unittest import mock

import pyogrio
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from geobatch_tui.errors import StateError
from geobatch_tui.execution.raster.source import magic as raster_formats
from geobatch_tui.execution.runtime import allowed_drivers
from geobatch_tui.execution.vector.formats.source_format import FORMATS
from geobatch_tui.execution.vector.ogr import archive, ogr_drivers, pyogrio_import
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.worker import warmup


def test_drivers_of_both_libraries():
    """All that formats name is there, and nothing else, whatever this GDAL brings."""
    warmup.restrict_gdal()
    with rasterio.Env() as env:
        assert set(env.drivers()) == allowed_drivers.RASTER
    assert set(raster_formats._MAGIC) <= allowed_drivers.RASTER
    assert set(pyogrio_import.pyogrio.list_drivers()) == allowed_drivers.VECTOR
    written = [each.driver for each in OUTPUT_FORMATS.values() if not each.is_parquet]
    named = [*ogr_drivers._TEXT.values(), *archive._DRIVERS.values(), written, FORMATS]
    magic = [
        ogr_drivers._by_magic(head) for head in (b"SQLite format 3\0", b"fgb\x03fgb", b"\0\0'\n")
    ]
    there = {name for names in (*named, *magic) for name in names if name != "Parquet"}
    assert there <= allowed_drivers.VECTOR
    assert len(magic) == sum(map(bool, magic))


@pytest.fixture
def asked():
    """Addresses that were asked for at a server of this machine, and where it is."""
    found: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found.append(self.path)
            self.send_error(404)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        # It looks so often whether it is to end.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found, f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("suffix", ["tif", "none", "geojson"])
@pytest.mark.parametrize("system", ["vsicurl", "vsicurl_streaming", "vsis3", "vsis3_streaming"])
def test_no_network(system, suffix, asked, monkeypatch):
    """A file that names a URL, of any suffix, gets nothing out; in either GDAL."""
    found, server = asked
    warmup.restrict_gdal()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_HTTPS": "NO",
        "AWS_S3_ENDPOINT": server, "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    place = f"http://{server}" if "curl" in system else "bucket"
    name = f"/{system}/{place}/x.{suffix}"
    with contextlib.suppress(RasterioIOError):
        rasterio.open(name).close()
    with contextlib.suppress(pyogrio.errors.DataSourceError):
        pyogrio_import.pyogrio.read_info(name)
    assert not found


def test_a_plugin_may_keep_further_drivers(monkeypatch):
    """A GDAL that cannot be reached is an error; drivers that the user names are kept."""
    with pytest.raises(StateError):
        allowed_drivers.keep_only(allowed_drivers.RASTER, contextlib)
    gdal = mock.Mock()
    gdal.GDALGetDriverCount.return_value = 3
    gdal.GDALGetDriver.side_effect = lambda number: number
    gdal.GDALGetDriverShortName.side_effect = [b"GTiff", b"Zarr", b"MRF"].__getitem__
    gdal.VSIGetFileSystemsPrefixes.return_value = [None]
    monkeypatch.setattr(ctypes, "CDLL", lambda _: gdal)
    monkeypatch.setenv("GEOBATCH_DRIVERS", "Zarr, XYZ")
    allowed_drivers.keep_only(allowed_drivers.RASTER, contextlib)
    gdal.GDALDeregisterDriver.assert_called_once_with(2)
