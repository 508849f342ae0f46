"""Sources are opened by what they are, and only while they stay what they were."""

from __future__ import annotations

import math
import os
import threading

import corpus
import numpy as np
import pytest
import rasterio
from planning import item_of, no_stage, probe

from geobatch_tui.errors import (
    CorruptSourceError,
    MemoryBudgetError,
    SourceChangedError,
    SourceNotFoundError,
    UnsafeInputError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.raster import chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.runtime import environment


@pytest.fixture(autouse=True)
def _closed():
    yield
    opened_source.release()


@pytest.mark.parametrize("raw", corpus.NAMES.values(), ids=corpus.NAMES)
def test_any_file_name_opens(tmp_path, raw):
    """Whatever the kernel allows as a name, invalid UTF-8 too."""
    path = corpus.named(tmp_path, raw)
    with opened_source.open_source(str(path)) as dataset:
        assert np.array_equal(dataset.read(), corpus.picture(side=corpus.TILE))


def test_sidecars_follow_a_name_that_is_no_text(tmp_path):
    """The external mask of a file whose name is not UTF-8 is read too."""
    plain = corpus.write(tmp_path / "plain.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(plain, "r+") as dst:
        dst.write_mask(corpus.holes(np.full((1, 256, 256), 255, "uint8"), 0)[0])
    raw = os.fsencode(tmp_path) + b"/bad\xff.tif"
    os.rename(plain, os.fsdecode(raw))  # noqa: PTH104 - bytes
    os.rename(f"{plain}.msk", os.fsdecode(raw + b".msk"))  # noqa: PTH104
    with opened_source.open_source(os.fsdecode(raw)) as dataset:
        assert (dataset.dataset_mask() == 0).any()


@pytest.mark.parametrize(
    "name",
    ["/vsizip/a.zip/a.tif", "/vsicurl/http://h/a.tif", "NETCDF:/a.nc:x", "GTIFF_DIR:1:/a.tif",
     "http://h/a.tif", "relative.tif", "<VRTDataset/>", "/a\0b.tif"],
)  # fmt: skip
def test_gdal_syntax_is_not_a_name(name):
    """Nobody's file name reaches GDAL's virtual file systems and driver prefixes."""
    with pytest.raises(UnsafeInputError, match="absolute"):
        opened_source.look(name)


def test_missing_directory_and_forbidden(tmp_path):
    """What is not there, is no file or may not be read."""
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        opened_source.look(str(tmp_path / "gone.tif"))
    with pytest.raises(UnsupportedFormatError, match="directory"):
        opened_source.look(str(tmp_path))


def test_a_vrt_is_walked_before_it_is_opened(tmp_path):
    """Missing sources are an error (GDAL shows zeros), and so is what is not a plain file."""
    plain = corpus.write(tmp_path / "plain.tif")
    vrt = tmp_path / "a.vrt"
    band = (
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">{}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
    )
    vrt.write_text(corpus._vrt(band.format("plain.tif")))
    with opened_source.open_source(str(vrt), allow_vrt=True) as dataset:
        assert np.array_equal(dataset.read(1), corpus.picture()[0])
    vrt.write_text(
        corpus._vrt(band.format("/vsicurl/http://h/x.tif").replace('VRT="1"', 'VRT="0"'))
    )
    with pytest.raises(UnsafeInputError, match="not a plain file"):
        opened_source.look(str(vrt), allow_vrt=True)
    plain.unlink()
    vrt.write_text(corpus._vrt(band.format("plain.tif")))
    with pytest.raises(CorruptSourceError, match="1 of 1 sources"):
        opened_source.look(str(vrt), allow_vrt=True)


@pytest.mark.parametrize(
    "names",
    [
        "<sourcefilename>/vsicurl/http://h/x.tif</sourcefilename>",
        '<SourceFilename xmlns="urn:x">/vsicurl/http://h/x.tif</SourceFilename>',
        "<RPCTransformer><DEMPath>/vsicurl/http://h/x.tif</DEMPath></RPCTransformer>",
        '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">/x.tif</MDI></Metadata>',
        '<Metadata domain="OVERVIEWS"><mdi KEY="overview_file">/x.tif</mdi></Metadata>',
        '<Step><Argument name="gain_dataset_filename_1">/x.tif</Argument></Step>',
        "<pixelFunctionCode>x</pixelFunctionCode>",
    ],
)
def test_whatever_a_vrt_names_is_looked_at(tmp_path, names):
    """GDAL takes elements and attributes in any case, and of any namespace."""
    vrt = tmp_path / "a.vrt"
    vrt.write_text(f'<VRTDataset rasterXSize="1" rasterYSize="1">{names}</VRTDataset>')
    with pytest.raises(UnsafeInputError):
        opened_source.look(str(vrt), allow_vrt=True)


def test_a_vrt_cannot_declare_entities(tmp_path):
    """No expansion bombs."""
    vrt = tmp_path / "a.vrt"
    vrt.write_text('<!DOCTYPE x [<!ENTITY a "b">]><VRTDataset rasterXSize="1" rasterYSize="1"/>')
    with pytest.raises(UnsafeInputError):
        opened_source.look(str(vrt), allow_vrt=True)


def test_a_changed_source_is_not_read(tmp_path):
    """Another time or size than planned ends the chunk, before and after a read."""
    item = item_of(corpus.good(tmp_path), {"dst_crs": "EPSG:3857"})
    plan = RasterPlan.from_json(item.plan.detail)
    window = item.plan.grid.window(0)
    chunk.read_pixels(item, plan, window, 0, no_stage)
    with pytest.raises(SourceChangedError, match="another time"), opened_source.source_of(item):
        os.utime(item.source, ns=(1, 1))
    with pytest.raises(SourceChangedError):
        chunk.read_pixels(item, plan, window, 0, no_stage)
    os.unlink(item.source)  # noqa: PTH108
    with pytest.raises(SourceNotFoundError):
        chunk.read_pixels(item, plan, window, 0, no_stage)


def test_each_thread_holds_its_own_dataset(tmp_path):
    """One open dataset a thread, reused for the same item, closed for another."""
    item = item_of(corpus.good(tmp_path), {"dst_crs": "EPSG:3857"})
    other = item_of(corpus.alpha(tmp_path), {"dst_crs": "EPSG:3857"})
    with opened_source.source_of(item) as first:
        opened = first.dataset
    with opened_source.source_of(item) as again:
        assert again is first
        assert again.dataset is opened
    elsewhere = []

    def there():
        with opened_source.source_of(item) as held:
            elsewhere.append(held.dataset)
        opened_source.release()

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    assert elsewhere[0] is not opened
    with opened_source.source_of(other):
        assert opened.closed


def test_a_huge_block_does_not_fit(tmp_path):
    """A block larger than the budget of a chunk is refused before it is read."""
    with pytest.raises(MemoryBudgetError, match="blocks"):
        probe(corpus.good(tmp_path), {"dst_crs": "EPSG:3857"}, max_bytes=10_000)


def test_a_damaged_jpeg_is_an_error_not_a_grey_area(tmp_path):
    """Libjpeg goes on after damage with a warning; here that ends the read."""
    path = tmp_path / "a.jpg"
    with rasterio.open(
        path, "w", driver="JPEG", width=256, height=256, count=3, dtype="uint8", worldfile=True,
        crs="EPSG:4326", transform=corpus.NORTH_UP,
    ) as dst:  # fmt: skip
        dst.write(corpus.picture())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    item = item_of(path, {"dst_crs": "EPSG:3857", "src_crs": "EPSG:4326"})
    plan = RasterPlan.from_json(item.plan.detail)
    with pytest.raises(CorruptSourceError, match="cannot be read"):
        chunk.read_pixels(item, plan, item.plan.grid.window(0), 0, no_stage)


def test_a_corrupt_tile_is_named(tmp_path):
    """The evidence lists the one block that cannot be read."""
    path = corpus.corrupt_tile(tmp_path)
    tiles = len(corpus.tile_ranges(path))
    row, col = divmod(corpus.CORRUPT_TILE, math.isqrt(tiles))
    item = item_of(path, {"dst_crs": "EPSG:3857"})
    plan = RasterPlan.from_json(item.plan.detail)
    with pytest.raises(CorruptSourceError, match=f"1 of {tiles} blocks") as caught:
        chunk.read_pixels(item, plan, item.plan.grid.window(0), 0, no_stage)
    assert caught.value.evidence == {"blocks": [[row, col]], "blocks_total": 1}


def test_a_chunk_away_from_the_damage_is_read(tmp_path):
    """Only chunks that need the damaged block fail; the others are read right."""
    path = corpus.corrupt_tile(tmp_path)
    output = {"creation": {"blocksize": 64}}
    item = item_of(path, {}, op="raster.convert", cols=64, rows=64, output=output)
    plan = RasterPlan.from_json(item.plan.detail)
    across = plan.width // corpus.DAMAGED_TILE
    bad_row, bad_col = divmod(corpus.CORRUPT_TILE, across)
    sound, tile = corpus.picture(side=plan.width), corpus.DAMAGED_TILE
    for index in range(len(item.plan.grid)):
        window = item.plan.grid.window(index)
        where = (window.row_off // tile, window.col_off // tile)
        if where == (bad_row, bad_col):
            with pytest.raises(CorruptSourceError):
                chunk.read_pixels(item, plan, window, 0, no_stage)
            continue
        part, *_ = chunk.read_pixels(item, plan, window, 0, no_stage)
        rows = slice(window.row_off, window.row_off + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        assert np.array_equal(part, sound[:, rows, cols])


def test_a_netcdf_of_subdatasets_names_them(tmp_path):
    """No bands of its own: the message lists what could be extracted."""

    class Container:
        count = 0
        subdatasets = ("netcdf:/a.nc:tas", "netcdf:/a.nc:pr")

    with pytest.raises(opened_source.SchemaError, match="tas, pr"):
        opened_source._refuse_subdatasets("/a.nc", Container())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("ending", [".tif.msk", ".tif.aux.xml", ".tfw", ".TFW", ".wld"])
def test_files_beside_a_source_count_as_they_do_to_gdal(tmp_path, ending):
    """Though the directory is not listed: masks, nodata and places in other files."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:9] = 255
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(tmp_path / "a.tif", "w", **profile) as dst,
    ):
        dst.write(np.ones((1, 64, 64), np.uint8))
        if ending == ".tif.msk":
            dst.write_mask(mask)
    beside = {
        ".tif.aux.xml": '<PAMDataset><PAMRasterBand band="1"><NoDataValue>1</NoDataValue>'
        "</PAMRasterBand></PAMDataset>"
    }.get(ending, "10\n0\n0\n-10\n500005\n4000000\n")
    if ending != ".tif.msk":
        (tmp_path / f"a{ending}").write_text(beside)
    path = str(tmp_path / "a.tif")
    with rasterio.open(path) as plain:
        expected = Facts.of(plain)
        shown = plain.read_masks(1)
    how = environment.FIXED["GDAL_DISABLE_READDIR_ON_OPEN"]
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=how), opened_source.open_source(path) as ours:
        assert Facts.of(ours) == expected
        np.testing.assert_array_equal(ours.read_masks(1), shown)
    assert expected.mask or expected.nodatavals == (1,) or expected.transform[0] == 10
