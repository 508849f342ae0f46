"""The first bytes decide which driver may open a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from geobatch_tui.errors import UnsafeInputError, UnsupportedFormatError
from geobatch_tui.execution.raster.source.magic import describe, driver_of

TIFF = b"II*\x00" + bytes(20)


@pytest.mark.parametrize(
    ("name", "head", "driver"),
    [
        ("a.tif", TIFF, "GTiff"),
        ("a.png", b"MM\x00+" + bytes(20), "GTiff"),
        ("a.tif", b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG"),
        ("a", b"\xff\xd8\xff\xe0", "JPEG"),
        ("a.jp2", b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
        ("a.img", b"EHFA_HEADER_TAG\x00", "HFA"),
        ("a.nc", b"\x89HDF\r\n\x1a\n", "netCDF"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("a.nc", b"CDF\x01", "netCDF"),
        ("a.webp", b"RIFF\x00\x00\x00\x00WEBP", "WEBP"),
        ("a.asc", b"ncols 4\nnrows 4\n", "AAIGrid"),
    ],
)
def test_bytes_not_names_choose_the_driver(name, head, driver):
    """The extension only matters where the bytes leave a choice."""
    assert driver_of(Path("/d", name), head, size=1000, allow_vrt=False) == driver


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"  <html>", "HTML"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x1f\x8b\x08", "gzip"),
        (b'{"type": ', "JSON"),
        (b"version https://git-lfs.github.com", "LFS"),
        (b"MZ\x90\x00", "MZ"),
    ],
)
def test_a_disguise_is_named(head, says):
    """The message says what the file holds in place of a raster."""
    with pytest.raises(UnsupportedFormatError, match=says):
        driver_of(Path("/d/a.tif"), head, size=1000, allow_vrt=False)
    assert says in describe(head)


def test_an_empty_file_is_named_so():
    """Zero bytes get their own words."""
    with pytest.raises(UnsupportedFormatError, match="empty"):
        driver_of(Path("/d/a.tif"), b"", size=0, allow_vrt=False)


@pytest.mark.parametrize(
    "head", [b"<VRTDataset>", b'\xef\xbb\xbf\n<?xml version="1.0"?><VRTDataset>']
)
def test_a_vrt_must_be_allowed(head):
    """A VRT may name any file, so nobody gets one unasked."""
    with pytest.raises(UnsafeInputError, match="VRT") as caught:
        driver_of(Path("/d/a.tif"), head, size=1000, allow_vrt=False)
    assert "allow_vrt" in caught.value.hint
    assert driver_of(Path("/d/a.tif"), head, size=1000, allow_vrt=True) == "VRT"


def test_envi_is_no_link(tmp_path):
    """A link and a header beside it would make pixels of any file, as of a private key."""
    (tmp_path / "key").write_bytes(b"secret")
    path = tmp_path / "a.img"
    path.symlink_to(tmp_path / "key")
    path.with_suffix(".hdr").write_text("ENVI\nsamples = 1\n")
    with pytest.raises(UnsafeInputError, match="link"):
        driver_of(path, b"secret", size=6, allow_vrt=False)


def test_envi_needs_its_header(tmp_path):
    """Raw bytes are ENVI only with a header beside them that says so."""
    path = tmp_path / "scene.dat"
    with pytest.raises(UnsupportedFormatError):
        driver_of(path, b"\x01\x02\x03", size=3, allow_vrt=False)
    path.with_suffix(".hdr").write_text("ENVI\nsamples = 1\n")
    assert driver_of(path, b"\x01\x02\x03", size=3, allow_vrt=False) == "ENVI"
