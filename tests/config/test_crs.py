from __future__ import annotations

import subprocess
import sys

import pytest

from geobatch_tui.config import crs
from geobatch_tui.config.crs import check_crs


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("EPSG:6933", "EPSG:6933"),
        ("epsg: 3857", "EPSG:3857"),
        ("EPSG:4326+5773", "EPSG:4326+5773"),
        ("ESRI:54009", "ESRI:54009"),
        ("OGC:CRS84", "OGC:CRS84"),
        ("urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:EPSG::4326"),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", None),
        ("WGS84", "WGS84"),
        ("+proj=laea +lat_0=52", None),
        ('GEOGCS["x",DATUM["y"]]', None),
        ('PROJCRS["a (b"]', None),
        ('{"type": "GeographicCRS"}', None),
        ("UNHEARDOF:12", None),
    ],
)
def test_what_exists_or_looks_right_passes(text, spelled):
    """Known codes pass in one spelling; definitions without a code pass as they are."""
    assert check_crs(text).text == (spelled or text)
    assert check_crs(text).warning == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EPSG:69333", "EPSG:69333 does not exist; did you mean EPSG:6933 "),
        ("EPSG:6326", "a geodetic datum .*EPSG:4326 .* uses it"),
        ("EPSG:7030", "an ellipsoid"),
        ("EPSG:54009", "did you mean ESRI:54009"),
        ("EPSG:0", "does not exist"),
        ("ESRI:1", "does not exist"),
        ("EPSG:5773", "vertical"),
        ("EPSG:4326+1", "EPSG:1 does not exist"),
        ("urn:ogc:def:crs:EPSG::99999", "does not exist"),
        ("6933", "write 'EPSG:6933'"),
        ("mercator", "is not a CRS"),
        ("+units=m", "is not a CRS"),
        ('GEOGCS["x"', "is not a CRS"),
        ("", "is not a CRS"),
    ],
)
def test_what_does_not_exist_is_refused(text, said):
    """A CRS that cannot be is refused, with what is near."""
    with pytest.raises(ValueError, match=said):
        check_crs(text)


def test_a_deprecated_code_is_a_warning():
    """A deprecated CRS still works, with the code that replaces it."""
    assert check_crs("EPSG:3785").warning.endswith("is deprecated; use EPSG:3857.")


def test_without_a_list_nothing_is_claimed(monkeypatch):
    """Where PROJ's list is missing, a code passes with a warning instead of a wrong refusal."""
    monkeypatch.setattr(crs, "proj_database", lambda: None)
    assert "no proj.db" in check_crs("EPSG:6933").warning


def test_neither_proj_nor_gdal_is_loaded():
    """The engine process checks a CRS without importing pyproj, rasterio or numpy."""
    code = (
        "import sys; from geobatch_tui.config import layers; from geobatch_tui.config.crs import "
        "check_crs; check_crs('EPSG:6933'); "
        "sys.exit(','.join({'pyproj', 'rasterio', 'numpy', 'yaml'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
