"""Reads a finished file back: every byte by checksum, and a sample of tiles through GDAL.

rasterio can report success for a file that is cut short, or has zeros where the disk was full. So a
file counts as written when it has been read.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio._env import del_gdal_config, get_gdal_config, set_gdal_config
from rasterio._err import CPLE_BaseError
from rasterio.enums import MaskFlags
from rasterio.env import hasenv
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.digest import crc32, digest_of, output_digest
from geobatch_tui.execution.io.disk import read_exactly
from geobatch_tui.execution.io.part_file import readable_name
from geobatch_tui.execution.protocol.looking import InspectReceipt
from geobatch_tui.execution.raster.geotiff.tags import describe
from geobatch_tui.execution.raster.pyramid.tiles import TileForm, pack_mask
from geobatch_tui.execution.raster.source.opened_source import open_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.io.pieced_file import PiecedFile
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.geotiff.layout import Layout
    from geobatch_tui.execution.raster.geotiff.tags import Identity
    from geobatch_tui.execution.raster.geotiff.tile_index import LevelSlots, Slots, TileIndex

    type Opener = Callable[[], PiecedFile]

#: Tiles of each level and plane that GDAL decodes, spread evenly.
SAMPLES = 8
#: Codecs whose bytes different libraries may decode to slightly different pixels.
_PICTURES = frozenset({"JPEG", "WEBP"})
_OTHER_DECODER = (
    "at any quality, imagecodecs and rasterio have to decode {0} to the same pixels: install both "
    "from their wheels, or choose compress = DEFLATE, which loses nothing"
)
#: Errors of reading by rasterio. The second is GDAL's where rasterio has no class of its own, and
#: has no public name.
READ_ERRORS = (RasterioError, CPLE_BaseError, OSError)
#: Files beside an output are not its own, and are not opened.
_ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
#: Name by which GDAL asks for a file in pieces.
_PIECES = "pieces.tif"


def read_blocks(name: str, overview: int | None = None) -> tuple[str, int]:
    """Decode every block of one level of a GeoTIFF, and of its mask. No other file is opened.

    Returns:
        The fingerprint in its tags (empty: none), and the number of overviews.

    Raises:
        RasterioError: a block cannot be decoded, or the file is no GeoTIFF.
        VerifyError: it names another file, for its overviews.
    """
    options = {} if overview is None else {"overview_level": overview}
    with (
        rasterio.Env(**_ALONE),
        rasterio.open(name, driver="GTiff", sharing=False, **options) as dataset,
    ):
        if named := dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
            raise VerifyError(f"{name!r} names another file, {named!r}, for its overviews")
        masked = MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        for _, window in dataset.block_windows(1):
            dataset.read(window=window)
            if masked:
                dataset.dataset_mask(window=window)
        return dataset.tags().get("GEOBATCH_FP", ""), len(dataset.overviews(1))


def check_bytes(
    path: Path,
    layout: Layout,
    slots: Slots,
    frame: tuple[int, int],
    wait: Callable[[int], None] | None = None,
) -> str:
    """Read the whole file once and compare it with ``layout`` and the ``slots`` of its tiles, in
    file order, each within its ``frame``; return its SHA-256 in hex. ``wait`` returns when so many
    bytes of a file that is still being written are there.

    Raises:
        VerifyError: size, header, a tile's checksum, leader or trailer differ.
    """
    if wait is not None:
        wait(len(layout.header))
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def read(offset: int, length: int) -> bytes:
        if wait is not None:
            wait(offset + length)
        return read_exactly(fd, offset, length)

    try:
        digest = _check(read, path.name, layout, slots, frame)
        _check_size(path.name, os.fstat(fd).st_size, layout)
    finally:
        os.close(fd)
    return digest


def check_pieces(opener: Opener, layout: Layout, slots: Slots, frame: tuple[int, int]) -> str:
    """Read a file in pieces as :func:`check_bytes` does one that is whole."""
    with closing(opener()) as file:
        _check_size(file.name, file.size, layout)
        return _check(file.read_at, file.name, layout, slots, frame)


def _check_size(name: str, size: int, layout: Layout) -> None:
    if size != layout.size:
        raise VerifyError(f"{name!r} has {size} bytes where {layout.size} were written")


def _check(
    read: Callable[[int, int], bytes],
    name: str,
    layout: Layout,
    slots: Slots,
    frame: tuple[int, int],
) -> str:
    digest = output_digest()
    header = read(0, len(layout.header))
    digest.update(header)
    if header != layout.header:
        raise VerifyError(f"{name!r}: the header reads back otherwise than it was written")
    stored = slots["length"] > 0
    rows = zip(
        layout.offsets[stored].tolist(),
        slots["length"][stored].tolist(),
        slots["crc"][stored].tolist(),
        strict=True,
    )
    end = len(header)
    for offset, length, crc in rows:
        data = read(end, length + sum(frame))
        digest.update(data)
        end += len(data)
        if offset != end - length - frame[1] or not _is_tile(data, length, crc, frame):
            raise VerifyError(
                f"{name!r}: the tile at byte {offset} reads back otherwise than it was written"
            )
    return str(digest.hexdigest())


def _is_tile(data: bytes, length: int, crc: int, frame: tuple[int, int]) -> bool:
    """Whether ``data`` is a tile within its frame."""
    leader, trailer = frame
    tile = memoryview(data)[leader : leader + length]
    return (
        crc32(tile) == crc
        and (not leader or data[:leader] == length.to_bytes(leader, "little"))
        and (not trailer or data[-trailer:] == tile[-trailer:])
    )


def check_with_gdal(
    path: Path,
    index: TileIndex,
    identity: Identity,
    *,
    alike: bool = False,
    pieces: Opener | None = None,
) -> int:
    """Open the file as GeoTIFF by GDAL and compare; return how many tiles were compared.

    ``alike``: a file with the same tags was compared whole, and the bytes of this one are as
    expected. Then GDAL need not tell its tags, decode its tiles, or look up its CRS, which takes
    longer than to make a small file. ``pieces`` opens the file where it is in pieces.

    Raises:
        VerifyError: size, bands, CRS, geotransform, nodata, tags, layout, overviews or the pixels
            of a sampled tile are not as expected.
    """
    compared, masked = 0, index.masked
    config = dict(_ALONE)
    if alike:
        config["GDAL_GEOREF_SOURCES"] = "NONE"
    try:
        with readable_name(path) as own_name, _configured(config):
            name, fixed = own_name, dict[str, object]()
            if pieces is not None:
                name, fixed = _PIECES, {"opener": partial(_opened, pieces)}
            for slots in index.levels:
                options = fixed | ({"overview_level": slots.number - 1} if slots.number else {})
                with open_by("GTiff", name, **options) as dataset:
                    if not slots.number:
                        _check_structure(dataset, index)
                        if not alike:
                            _check_tags(dataset, identity)
                    if dataset.shape != (slots.grid.height, slots.grid.width):
                        raise VerifyError(
                            f"level {slots.number} is {dataset.width}x{dataset.height} to GDAL"
                        )
                    last = len(slots.grid) - 1
                    sample = _spread(last)
                    if not alike:
                        _check_tiles(dataset, index, slots, sample, masked=masked)
                    compared += len(sample) * (index.planes + masked)
    except READ_ERRORS as error:
        raise VerifyError(f"{path.name!r} cannot be read by GDAL: {error}") from error
    return compared


@contextmanager
def _configured(config: Mapping[str, str]) -> Iterator[None]:
    """GDAL's options for as long as the context lasts. An environment of rasterio within another
    takes as long as to make a small file, so in one that holds only the options are set."""
    if not hasenv():
        with rasterio.Env(**config):
            yield
        return
    before = {name: get_gdal_config(name, normalize=False) for name in config}
    try:
        for name, value in config.items():
            set_gdal_config(name, value, normalize=False)
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del_gdal_config(name)
            else:
                set_gdal_config(name, old, normalize=False)


def _spread(last: int) -> list[int]:
    """Return at most :data:`SAMPLES` numbers of tiles from 0 to ``last``, spread evenly."""
    if last < SAMPLES:
        return list(range(last + 1))
    return [int(number) for number in np.unique(np.linspace(0, last, SAMPLES).astype(np.int64))]


def _opened(pieces: Opener, name: str, mode: str = "rb", **_: object) -> PiecedFile:
    """Open the file for GDAL; there is none of another name."""
    if (name, mode) != (_PIECES, "rb"):
        raise FileNotFoundError(name)
    return pieces()


def _check_tags(dataset: DatasetReader, identity: Identity) -> None:
    stated: Mapping[str, object] = describe(dataset, identity["domains"])
    for name, value in identity.items():
        if stated[name] != value:
            raise VerifyError(f"{name} reads back as {stated[name]!r} where {value!r} was written")


def _check_structure(dataset: DatasetReader, index: TileIndex) -> None:
    plan = index.plan
    layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
    if any(index.frame) and layout != "COG":
        raise VerifyError(f"GDAL sees layout {layout!r} where a COG was written")
    factors = len(dataset.overviews(1))
    if factors != len(index.levels) - 1:
        raise VerifyError(f"GDAL sees {factors} overviews, not {len(index.levels) - 1}")
    block = (plan.encoding.block_height, plan.encoding.block_width)
    if set(dataset.block_shapes) != {block}:
        raise VerifyError(f"GDAL sees blocks of {dataset.block_shapes}, not {block}")


def _check_tiles(
    dataset: DatasetReader, index: TileIndex, slots: LevelSlots, sample: list[int], *, masked: bool
) -> None:
    grid, form = slots.grid, TileForm.of(index.plan)
    compress = index.plan.encoding.compress
    hint = _OTHER_DECODER.format(compress) if compress in _PICTURES else ""
    for tile in sample:
        at = RasterWindow(*grid.window(tile).srcwin)
        wrong = f"GDAL reads other pixels in tile {tile} of level {slots.number} than were meant"
        for plane in range(form.planes):
            bands = range(form.bands(plane).start + 1, form.bands(plane).stop + 1)
            packed = form.pack(dataset.read(list(bands), window=at))
            if crc32(packed) != slots.image["crc_raw"][plane * len(grid) + tile]:
                raise VerifyError(wrong, hint=hint)
        if masked:
            packed = pack_mask(dataset.dataset_mask(window=at) != 0, form.width, form.height)
            if crc32(packed) != slots.mask["crc_raw"][tile]:
                raise VerifyError(wrong)


def inspect(path: str, stage: Stage) -> InspectReceipt:
    """Read the embedded fingerprint (empty: not ours), size in bytes and SHA-256 of a GeoTIFF.

    Raises:
        VerifyError: the file is not there, is no GeoTIFF, or a block of the image, a mask or an
            overview cannot be decoded.
    """
    try:
        with stage("digest"):
            digest, size = digest_of(path)
        with stage("read"), readable_name(path) as name:
            fingerprint, levels = read_blocks(name)
            for level in range(levels):
                read_blocks(name, level)
    except READ_ERRORS as error:
        raise VerifyError(f"{path!r} cannot be read back: {error}") from error
    return InspectReceipt(fingerprint, size, digest)
