"""Codecs that the assembler does not write: GDAL's COG driver makes the final file.

The source is a plain tiled GeoTIFF that was assembled, and verified, before. The copy is made in
the item's work directory, since the driver leaves temporary files beside its target when it is
killed, then moved to the part's name, synced, and compared with its source block by block.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.shutil

from geobatch_tui.errors import DiskFullError, OperationError, VerifyError
from geobatch_tui.execution.digest import digest_of
from geobatch_tui.execution.messages import ItemReceipt
from geobatch_tui.execution.raster.disk import copy_range
from geobatch_tui.execution.raster.geotags import describe
from geobatch_tui.execution.raster.part import new_file, readable_name, removed_on_error
from geobatch_tui.execution.raster.verify import READ_ERRORS, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rasterio.windows import Window

    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.raster.geotags import Template
    from geobatch_tui.execution.raster.plan import RasterPlan

_LOSSLESS = frozenset({"NONE", "LZW", "DEFLATE", "ZSTD", "LZMA"})
#: Means of a block may move by this share of the 8-bit range in a lossy codec; a block that was
#: lost reads as zeros or not at all.
_LOSSY_MEAN = 32.0


def copy(
    plan: RasterPlan,
    source: Path,
    part: Path,
    template: Template,
    facts: Mapping[str, Any],
    stage: Stage,
) -> ItemReceipt:
    """Copy ``source`` to the part by the COG driver and compare.

    Raises:
        VerifyError: the copy does not open, is no COG, or holds other pixels than it may.
        OperationError: GDAL refused the options.
        DiskFullError: no space.
    """
    options = {"num_threads": "1", **(plan.encoding.driver_copy or {})}
    options = {name.lower(): str(value) for name, value in options.items()}
    made = source.with_suffix(".cog")
    with removed_on_error(part), _full_disk_blamed(source):
        try:
            with stage("write"):
                _run_driver(source, made, options)
                _move(made, part)
        finally:
            made.unlink(missing_ok=True)
        with stage("verify"):
            blocks = _compare(source, part, options, template.identity)
            digest, size = digest_of(part)
    changed = {
        "driver": "COG",
        "layout": "COG",
        "compress": options.get("compress", "LZW").upper(),
        "options": options,
        "verified_tiles": blocks,
    }
    return ItemReceipt(str(part), size, digest, {**facts, **changed})


@contextmanager
def _full_disk_blamed(source: Path) -> Iterator[None]:
    """GDAL does not say why it failed, or that it did: no room for as much as ``source`` does."""
    try:
        yield
    except (OperationError, VerifyError) as error:
        room = os.statvfs(source.parent)
        if room.f_bavail * room.f_frsize < source.stat().st_size:
            raise DiskFullError(
                f"no space left in {os.fspath(source.parent)!r} for GDAL's copy: {error}"
            ) from error
        raise


def _run_driver(source: Path, target: Path, options: Mapping[str, str]) -> None:
    target.unlink(missing_ok=True)
    try:
        rasterio.shutil.copy(source, target, driver="COG", **options)
    except (*READ_ERRORS, ValueError) as error:
        raise OperationError(
            f"GDAL's COG driver failed with {dict(options)}: {error}",
            hint="see https://gdal.org/en/stable/drivers/raster/cog.html for its options",
        ) from error
    if not target.is_file():
        raise VerifyError(f"GDAL reported success but wrote no {target.name!r}")


def _move(made: Path, part: Path) -> None:
    """To the part's name, durable; through a copy where that is another filesystem."""
    with new_file(part) as fd:
        source = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy_range(source, fd, 0, os.fstat(source).st_size)
        finally:
            os.close(source)


def _compare(
    source: Path, part: Path, options: Mapping[str, str], identity: Mapping[str, Any]
) -> int:
    """Read every block of the copy; the number of blocks at full resolution."""
    blocks = 0
    try:
        with readable_name(part) as name:
            with (
                rasterio.open(source, driver="GTiff", sharing=False) as meant,
                rasterio.open(name, driver="GTiff", sharing=False) as found,
            ):
                _check_structure(meant, found, identity)
                _check_compression(found, options)
                for _, window in found.block_windows(1):
                    _compare_block(meant, found, window, options)
                    blocks += 1
                levels = len(found.overviews(1))
            for level in range(levels):
                read_blocks(name, level)
    except READ_ERRORS as error:
        raise VerifyError(f"{part.name!r} cannot be read by GDAL: {error}") from error
    return blocks


def _check_structure(meant: Any, found: Any, identity: Mapping[str, Any]) -> None:
    layout = found.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
    if layout != "COG":
        raise VerifyError(f"GDAL sees layout {layout!r} where a COG was written")
    if (found.width, found.height) != (meant.width, meant.height):
        raise VerifyError(f"the copy is {found.width}x{found.height} pixels")
    facts = describe(found)
    for name in ("bands", "dtypes", "crs", "transform", "nodata"):
        if facts[name] != identity[name]:
            raise VerifyError(f"{name} reads back as {facts[name]!r}, not {identity[name]!r}")
    fingerprint = identity["tags"]["GEOBATCH_FP"]
    if found.tags().get("GEOBATCH_FP") != fingerprint:
        raise VerifyError("the copy lost its fingerprint")


def _check_compression(found: Any, options: Mapping[str, str]) -> None:
    """GDAL only warns of a codec that it does not know, and writes another one."""
    wanted = options.get("compress", "LZW").upper()
    compression = found.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "NONE")
    if compression.removeprefix("YCbCr ") != wanted:
        raise OperationError(f"GDAL wrote {compression} where {wanted} was asked for")


def _compare_block(meant: Any, found: Any, window: Window, options: Mapping[str, str]) -> None:
    left, right = meant.read(window=window), found.read(window=window)
    valid = meant.dataset_mask(window=window) != 0
    if not np.array_equal(valid, found.dataset_mask(window=window) != 0):
        raise VerifyError(f"the copy has another mask at {_place(window)}")
    if not valid.any():
        return
    left, right = left[:, valid], right[:, valid]
    compress = options.get("compress", "LZW").upper()
    if compress in _LOSSLESS or (options.get("quality") == "100" and compress == "WEBP"):
        if left.tobytes() != right.tobytes():
            raise VerifyError(f"the copy holds other pixels at {_place(window)}")
        return
    left, right = left.astype(np.float64), right.astype(np.float64)
    if compress.startswith("LERC"):
        limit, off = float(options.get("max_z_error", "0")), np.abs(left - right)
    else:
        limit, off = _LOSSY_MEAN, np.abs(left.mean(axis=1) - right.mean(axis=1))
    if (off > limit).any() or not np.array_equal(np.isnan(left), np.isnan(right)):
        raise VerifyError(f"the copy differs at {_place(window)} by {np.nanmax(off)}")


def _place(window: Window) -> str:
    return f"column {window.col_off}, row {window.row_off}"
