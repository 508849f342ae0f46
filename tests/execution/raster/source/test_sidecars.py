"""Files beside a raster, which GDAL opens with it: each is what it is for, or refused."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys

import corpus
import numpy as np
import pytest
import rasterio
from rasterio.vrt import WarpedVRT

from geobatch_tui.errors import UnsafeInputError, VerifyError
from geobatch_tui.execution.raster.geotiff import read_back
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.runtime import environment

VRT = (
    "<VRTDataset rasterXSize='256' rasterYSize='256'><VRTRasterBand dataType='Byte' band='1'>"
    "<SimpleSource><SourceFilename>/etc/hostname</SourceFilename></SimpleSource></VRTRasterBand>"
    "</VRTDataset>"
)
MRF = "<MRF_META><Raster><DataFile>{}</DataFile></Raster></MRF_META>"
FLAGS = '<PAMDataset><Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>{}</PAMDataset>'


@pytest.mark.parametrize("content", [VRT, MRF, "", "II*", "P5 1 1 255 0"])
@pytest.mark.parametrize("suffix", [".msk", ".MSK", ".ovr", ".OVR", ".msk.ovr", ".ovr.ovr"])
def test_masks_and_overviews_are_tiffs(tmp_path, suffix, content):
    """GDAL would open them by whichever driver takes them."""
    path = corpus.write(tmp_path / "a.tif")
    if suffix.count(".") == 2:
        shutil.copy(path, f"{path}{suffix[:4]}")
    with opened_source.open_source(str(path)):
        pass
    other = tmp_path / f"a.tif{suffix}"
    other.write_text(content)
    with pytest.raises(UnsafeInputError, match=r"no TIFF") as caught:
        opened_source.look(str(path))
    assert str(other) in str(caught.value)
    other.unlink()
    other.mkdir()
    with pytest.raises(UnsafeInputError):
        opened_source.look(str(path))


@pytest.mark.parametrize("name", ["a.tif.mSk", "A.tif.msk", "a.tif.Msk"])
def test_a_name_in_other_case_is_not_opened(tmp_path, name):
    """GDAL took what a list of the directory held, in any case: names that nobody looked at."""
    path = corpus.write(tmp_path / "a.tif")
    secret = corpus.write(tmp_path / "secret.tif", np.zeros((1, 256, 256), "u1"))
    (tmp_path / name).write_text(
        VRT.replace("/etc/hostname", str(secret)).replace(
            "<VRTRasterBand", '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
            "<VRTRasterBand", 1,
        )
    )  # fmt: skip
    with opened_source.gdal_options(), opened_source.open_source(str(path)) as dataset:
        assert not Facts.of(dataset).mask
        assert dataset.dataset_mask().all()


@pytest.mark.parametrize("name", ["a.aux", "a.AUX", "a.tif.aux"])
def test_aux_files_are_hfa(tmp_path, name):
    """GDAL looks at 15 letters only before any driver may open it; others are not HFA's."""
    path = corpus.write(tmp_path / "a.tif")
    (tmp_path / name).write_bytes(b"EHFA_HEADER_TAG\0....")
    assert opened_source.look(str(path)) == "GTiff"
    (tmp_path / name).write_text("ehfa_header_tag " + VRT)
    with pytest.raises(UnsafeInputError, match="HFA"):
        opened_source.look(str(path))
    (tmp_path / name).write_text("\\relax")  # LaTeX's
    assert opened_source.look(str(path)) == "GTiff"


@pytest.mark.parametrize(
    "name", ["a.tif.aux.xml", "a.tfw", "a.hdr", "a.tif.hdr", "a.prj", "a.tif.msk"]
)
def test_a_pipe_beside_a_raster_is_not_waited_for(tmp_path, name):
    path = corpus.write(tmp_path / "a.tif")
    os.mkfifo(tmp_path / name)
    with pytest.raises(UnsafeInputError, match=r"no regular file"):
        opened_source.look(str(path))


def test_nothing_beside_an_output_is_opened(tmp_path):
    """Read back, an output has the mask and the overviews that are in it."""
    path = corpus.write(tmp_path / "a.tif")
    (tmp_path / "a.tif.msk").write_text(MRF.format(tmp_path / "written"))
    (tmp_path / "a.tif.aux.xml").write_text(FLAGS.format(""))
    assert read_back.read_blocks(str(path)) == ("", 0)
    assert not (tmp_path / "written").exists()
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="other.tif")
    assert "other.tif" in path.read_bytes().decode("latin-1")
    with pytest.raises(VerifyError, match=r"other\.tif"):
        read_back.read_blocks(str(path))


class Watch:
    """Whether a file is opened by anybody."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self.fd, os.fsencode(path), 0x20) > 0  # IN_OPEN

    def saw(self):
        try:
            return bool(os.read(self.fd, 4096))
        except BlockingIOError:
            return False


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
@pytest.mark.parametrize("where", ["tags", "aux.xml"])
def test_an_overview_that_a_source_names_is_not_opened(tmp_path, where):
    """No overviews are asked for: those could be of any file, in any format."""
    path, other = corpus.write(tmp_path / "a.tif"), corpus.write(tmp_path / "other.tif")
    if where == "tags":
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(other))
    else:
        named = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{other}</MDI></Metadata>'
        (tmp_path / "a.tif.aux.xml").write_text(FLAGS.format(named))
    watch = Watch(other)
    how = environment.FIXED["GDAL_DISABLE_READDIR_ON_OPEN"]
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=how),
        opened_source.open_source(str(path)) as dataset,
    ):
        assert dataset.tags(ns="OVERVIEWS")["OVERVIEW_FILE"] == str(other)
        Facts.of(dataset)
        assert np.any(dataset.read())
        with WarpedVRT(dataset, crs="EPSG:3857") as warped:
            warped.read()
        assert not watch.saw()
        dataset.overviews(1)
    assert watch.saw()  # so the test could fail
