"""Makes bad and odd inputs, one function each, and says what each must end in.

Every maker writes into a directory and returns the path to give to a job. The files are small
(512x512 at most), the same on every run, and quick to make. ``CASES`` lists them by name with the
error that each must end in; tests of all layers take them from here.
"""

from __future__ import annotations

import os
import struct
import warnings
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import tifffile
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as rio_copy
from rasterio.transform import from_origin

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20240601
SIDE = 128
TILE = 64
#: Tiles of files that are damaged, four by four of them.
DAMAGED_TILE = 128
#: 0.05-degree pixels with their top left corner at 8 E, 52 N.
NORTH_UP = from_origin(8.0, 52.0, 0.05, 0.05)
#: 16 bytes that appear nowhere but in the file that a hostile dataset points at.
CANARY = b"CANARY-7f3a91c5!"
NAN = float("nan")


@cache
def _waves(bands: int, side: int) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    rows, cols = np.mgrid[0:side, 0:side]
    layers = [np.sin(cols / (9 + b)) * np.cos(rows / (7 + b)) for b in range(bands)]
    return 120 + 90 * np.stack(layers) + rng.integers(0, 20, (bands, side, side))


def picture(bands: int = 3, side: int = SIDE, dtype: str = "uint8") -> np.ndarray:
    """Smooth waves and seeded noise, (bands, side, side): no two rows or columns alike, and no
    value 0, so that a hole shows."""
    values = _waves(bands, side)
    return (values - 128 if dtype == "int8" else values).astype(dtype)


def profile_of(pixels: np.ndarray, **more: Any) -> dict[str, Any]:
    """A tiled DEFLATE GeoTIFF in EPSG:4326 that fits ``pixels``."""
    count, height, width = pixels.shape
    return {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": pixels.dtype.name,
        "crs": "EPSG:4326",
        "transform": NORTH_UP,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "deflate",
        "interleave": "pixel",
        **more,
    }


def write(path: Path, pixels: np.ndarray | None = None, **more: Any) -> Path:
    """A sound GeoTIFF; keywords change its profile."""
    pixels = picture() if pixels is None else pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile_of(pixels, **more)) as dst:
            dst.write(pixels)
    return path


def made_once(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A maker whose file is made once in a process, and written from memory from then on."""
    made: list[tuple[str, bytes]] = []

    @wraps(make)
    def again(directory: Path) -> Path:
        if not made:
            path = make(directory)
            made.append((path.name, path.read_bytes()))
            return path
        name, content = made[0]
        (directory / name).write_bytes(content)
        return directory / name

    return again


# --- damaged and disguised files ---------------------------------------------------------------


@made_once
def good(directory: Path) -> Path:
    """The control: nothing is wrong with it."""
    return write(directory / "good.tif")


def missing(directory: Path) -> Path:
    """A path with nothing behind it."""
    return directory / "missing.tif"


def zero_byte(directory: Path) -> Path:
    """An empty file, as a full disk leaves it."""
    path = directory / "zero.tif"
    path.touch()
    return path


def html_as_tif(directory: Path) -> Path:
    """The error page of a web server, saved under the name of a scene."""
    path = directory / "page.tif"
    path.write_text("<!DOCTYPE html><html><body><h1>403 Forbidden</h1></body></html>\n")
    return path


def _damageable(path: Path) -> Path:
    blocks = {"blockxsize": DAMAGED_TILE, "blockysize": DAMAGED_TILE}
    return write(path, picture(side=4 * DAMAGED_TILE), **blocks)


@made_once
def truncated(directory: Path) -> Path:
    """A download that stopped at 60 %: it opens, and some of its blocks cannot be read."""
    path = _damageable(directory / "truncated.tif")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    return path


def tile_ranges(path: Path) -> list[tuple[int, int]]:
    """Offset and length in bytes of each tile of the first image of a TIFF."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


#: Row-major index of the damaged tile of :func:`corrupt_tile`, in a grid of 4x4.
CORRUPT_TILE = 8


@made_once
def corrupt_tile(directory: Path) -> Path:
    """Valid but for the tile at row 2, column 0, whose bytes are inverted."""
    path = _damageable(directory / "corrupt.tif")
    offset, length = tile_ranges(path)[CORRUPT_TILE]
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(255 - b for b in content[offset : offset + length])
    path.write_bytes(content)
    return path


def _vrt(band: str) -> str:
    place = "<SRS>EPSG:4326</SRS><GeoTransform>8, 0.05, 0, 52, 0, -0.05</GeoTransform>"
    size = f'rasterXSize="{SIDE}" rasterYSize="{SIDE}"'
    return f"<VRTDataset {size}>{place}{band}</VRTDataset>\n"


def _canary() -> bytes:
    return CANARY * (SIDE * SIDE // len(CANARY))


def vrt_as_tif(directory: Path) -> Path:
    """A VRT under a TIFF's name whose raw band reads the bytes of ``secret/canary.bin``. GDAL 3.12
    refuses raw files elsewhere by default, older ones read any file."""
    canary = directory / "secret" / "canary.bin"
    canary.parent.mkdir()
    canary.write_bytes(_canary())
    path = directory / "scene.tif"
    band = (
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        '<SourceFilename relativeToVRT="1">secret/canary.bin</SourceFilename>'
        "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset>"
        f"<LineOffset>{SIDE}</LineOffset></VRTRasterBand>"
    )
    path.write_text(_vrt(band))
    return path


def vrt_of_outside(directory: Path) -> Path:
    """A VRT under a TIFF's name that shows an image from outside of the directory of inputs."""
    pixels = np.frombuffer(_canary(), "uint8").reshape(1, SIDE, SIDE)
    outside = directory.parent / "outside"
    outside.mkdir()
    write(outside / "secret.tif", pixels)
    path = directory / "outside.tif"
    band = (
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">../outside/secret.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    )
    path.write_text(_vrt(band))
    return path


BOMB_SIDE = 1_000_000


def bomb_tiles(directory: Path) -> Path:
    """A header of 10^6 x 10^6 pixels in sparse tiles of 1 GiB each, in a few kilobytes."""
    path = directory / "bomb_tiles.tif"
    block = {"tiled": True, "blockxsize": 32768, "blockysize": 32768}
    size = {"width": BOMB_SIDE, "height": BOMB_SIDE, "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:4326", "transform": from_origin(8.0, 52.0, 1e-5, 1e-5)}
    packing = {"compress": "deflate", "sparse_ok": True, "bigtiff": "yes"}
    with rasterio.open(path, "w", driver="GTiff", **size, **block, **place, **packing):
        pass
    return path


def bomb_strip(directory: Path) -> Path:
    """A BigTIFF of 10^6 x 10^6 pixels in one strip of 10^12 bytes, of which none is there."""
    entries = [
        (256, 4, 1, BOMB_SIDE),  # ImageWidth
        (257, 4, 1, BOMB_SIDE),  # ImageLength
        (258, 3, 1, 8),  # BitsPerSample
        (259, 3, 1, 1),  # Compression: none
        (262, 3, 1, 1),  # Photometric: black is zero
        (273, 16, 1, 4096),  # StripOffsets
        (277, 3, 1, 1),  # SamplesPerPixel
        (278, 4, 1, BOMB_SIDE),  # RowsPerStrip
        (279, 16, 1, BOMB_SIDE**2),  # StripByteCounts
    ]
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
    tags = b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    path = directory / "bomb_strip.tif"
    path.write_bytes(head + struct.pack("<Q", len(entries)) + tags + bytes(8))
    return path


# --- georeference ------------------------------------------------------------------------------


@made_once
def no_crs(directory: Path) -> Path:
    """Placed, but nobody says in what."""
    return write(directory / "no_crs.tif", crs=None)


@made_once
def no_geotransform(directory: Path) -> Path:
    """A CRS, but no place in it."""
    return write(directory / "no_geotransform.tif", transform=None)


@made_once
def rotated(directory: Path) -> Path:
    """Turned by 30 degrees about its top left corner."""
    return write(directory / "rotated.tif", transform=NORTH_UP @ Affine.rotation(30))


@made_once
def south_up(directory: Path) -> Path:
    """First row in the south: the pixels of :func:`good`, upside down, in the same place."""
    bottom = NORTH_UP.f - SIDE * 0.05
    transform = Affine(0.05, 0, NORTH_UP.c, 0, 0.05, bottom)
    return write(directory / "south_up.tif", picture()[:, ::-1], transform=transform)


# --- pixels ------------------------------------------------------------------------------------


@made_once
def palette(directory: Path) -> Path:
    """Classes 0 to 7 with a colour table."""
    classes = (picture(1) // 32).astype("uint8")
    path = directory / "palette.tif"
    with rasterio.open(path, "w", **profile_of(classes, photometric="palette")) as dst:
        dst.write(classes)
        dst.write_colormap(1, {i: (i * 30, 255 - i * 30, 128, 255) for i in range(8)})
    return path


def holes(pixels: np.ndarray, value: float) -> np.ndarray:
    """A disc of ``value`` in the middle of every band, and a rim of 5 columns at the left."""
    side = pixels.shape[-1]
    rows, cols = np.mgrid[0:side, 0:side] - side // 2
    holed = pixels.copy()
    holed[:, (rows**2 + cols**2 < (side // 5) ** 2) | (cols < 5 - side // 2)] = value
    return holed


@made_once
def nan_nodata(directory: Path) -> Path:
    """float32, nodata NaN."""
    pixels = holes(picture(1, dtype="float32"), NAN)
    return write(directory / "nan_nodata.tif", pixels, nodata=NAN, predictor=3)


@made_once
def nan_in_data(directory: Path) -> Path:
    """float32, nodata -9999, and pixels of NaN besides those of -9999."""
    pixels = holes(picture(1, dtype="float32"), -9999)
    pixels[0, 20:30, 20:30] = NAN
    return write(directory / "nan_in_data.tif", pixels, nodata=-9999, predictor=3)


@made_once
def band_nodata(directory: Path) -> Path:
    """Two bands with nodata 0 and 255: an Erdas file, as a GeoTIFF has one value for all."""
    pixels = picture(2)
    pixels = np.concatenate([holes(pixels[:1], 0), holes(pixels[1:], 255)])
    plain = write(directory / "plain.tif", pixels)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><NoDataValue>{nodata}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="0">{plain}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band, nodata in ((1, 0), (2, 255))
    )
    path = directory / "band_nodata.img"
    rio_copy(_vrt(bands), path, driver="HFA")
    plain.unlink()
    return path


@made_once
def int8(directory: Path) -> Path:
    """Signed bytes, both signs, nodata -128."""
    return write(directory / "int8.tif", holes(picture(1, dtype="int8"), -128), nodata=-128)


@made_once
def uint64(directory: Path) -> Path:
    """Values above 2^53, which a float64 cannot hold."""
    pixels = picture(1, dtype="uint64") + np.uint64(2**60)
    return write(directory / "uint64.tif", pixels)


@made_once
def float64(directory: Path) -> Path:
    """Values that a float32 cannot hold."""
    return write(directory / "float64.tif", picture(1, dtype="float64") * (1 + 2.0**-40))


@made_once
def alpha(directory: Path) -> Path:
    """RGB and alpha; alpha is 0 in the holes."""
    pixels = picture(4)
    pixels[3] = holes(np.full((1, SIDE, SIDE), 255, "uint8"), 0)[0]
    return write(directory / "alpha.tif", pixels, photometric="rgb", alpha="yes")


@made_once
def dataset_mask(directory: Path) -> Path:
    """RGB with an internal mask for the whole dataset."""
    path = directory / "dataset_mask.tif"
    profile = profile_of(picture(), photometric="rgb")
    internal = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with internal, rasterio.open(path, "w", **profile) as dst:
        dst.write(picture())
        dst.write_mask(holes(np.full((1, SIDE, SIDE), 255, "uint8"), 0)[0])
    return path


# --- names -------------------------------------------------------------------------------------

#: Names that file systems allow and programs stumble over; raw bytes, as the kernel keeps them.
NAMES: dict[str, bytes] = {
    "brackets": b"tile[red][@click=app.quit]x[0-9].tif",
    "newline": b"two\nlines.tif",
    "escape": b"esc\x1b[2J\x1b]0;owned\x07.tif",
    "c1": "c1\x9b31m.tif".encode(),
    "bidi": "bidi\u202efit.tif".encode(),
    "emoji": "\U0001f30d\u200d\U0001f5fa.tif".encode(),
    "invalid_utf8": b"latin1-\xe9\xff\xfe.tif",
    "dash": b"-rf.tif",
    "quotes": b"a'b\"c$(id)`id`;&.tif",
    "spaces": b"  a  b .tif",
    "percent": b"100%s%n{0}{x}.tif",
    "long": b"n" * 251 + b".tif",  # 255 bytes: the most that a name may have
}


def named(directory: Path, raw: bytes) -> Path:
    """A sound file under a raw name."""
    plain = write(directory / "plain.tif", picture(side=TILE))
    target = os.path.join(os.fsencode(directory), raw)  # noqa: PTH118 - pathlib takes no bytes
    Path(plain).rename(os.fsdecode(target))
    return Path(os.fsdecode(target))


# --- job files ---------------------------------------------------------------------------------


def job_text(
    inputs: list[Path],
    out: Path,
    *,
    op: str = "raster.reproject",
    params: dict[str, Any] | None = None,
    **sections: dict[str, Any],
) -> str:
    """A job file: ``inputs`` into ``out``; ``params`` are those of the operation, ``sections``
    the other tables (``output``, ``engine``, ...)."""
    import tomli_w

    default = {"dst_crs": "EPSG:3857", "resampling": "bilinear"} if "reproject" in op else {}
    tables: dict[str, Any] = {
        "job": {"name": "corpus"},
        "source": {"inputs": [str(path) for path in inputs], **sections.pop("source", {})},
        "op": {"name": op, **(default if params is None else params)},
        "output": {"dir": str(out), "format": "COG", **sections.pop("output", {})},
        **sections,
    }
    return tomli_w.dumps(tables)


def unknown_epsg_job(directory: Path) -> Path:
    """A sound input and a destination that does not exist."""
    path = directory / "unknown_epsg.toml"
    text = job_text([good(directory)], directory / "out", params={"dst_crs": "EPSG:999999"})
    path.write_text(text)
    return path


# --- the catalogue -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """An input and its end under ``raster.reproject`` to EPSG:3857, bilinear.

    ``errors`` are the classes that its dead letter may have; empty: it must be published.
    ``alone`` is the exit code of a job with no other input.
    """

    make: Callable[[Path], Path]
    errors: tuple[str, ...] = ()
    alone: int = 0


CASES: dict[str, Case] = {
    "good": Case(good),
    "missing": Case(missing, ("SourceNotFoundError",), 1),
    "zero_byte": Case(zero_byte, ("UnsupportedFormatError",), 11),
    "html_as_tif": Case(html_as_tif, ("UnsupportedFormatError",), 11),
    "truncated": Case(truncated, ("CorruptSourceError",), 1),
    "corrupt_tile": Case(corrupt_tile, ("CorruptSourceError",), 1),
    "vrt_as_tif": Case(vrt_as_tif, ("UnsafeInputError",), 1),
    "vrt_of_outside": Case(vrt_of_outside, ("UnsafeInputError",), 1),
    "bomb_tiles": Case(bomb_tiles, ("UnsafeInputError", "MemoryBudgetError"), 1),
    "bomb_strip": Case(bomb_strip, ("UnsafeInputError", "MemoryBudgetError"), 1),
    "no_crs": Case(no_crs, ("CrsError",), 10),
    "no_geotransform": Case(no_geotransform, ("CrsError",), 10),
    "rotated": Case(rotated),
    "south_up": Case(south_up),
    "palette": Case(palette, ("SchemaError",), 1),
    "nan_nodata": Case(nan_nodata),
    "nan_in_data": Case(nan_in_data),
    "band_nodata": Case(band_nodata),
    "int8": Case(int8),
    "uint64": Case(uint64),
    "float64": Case(float64),
    "alpha": Case(alpha),
    "dataset_mask": Case(dataset_mask),
}
