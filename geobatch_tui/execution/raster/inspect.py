"""Reads a published raster back: its fingerprint, and every block of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.errors import RasterioError

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.messages import InspectReceipt
from geobatch_tui.execution.raster.verify import digest_of

if TYPE_CHECKING:
    from geobatch_tui.execution.ops.registry import Stage


def inspect(path: str, stage: Stage) -> InspectReceipt:
    """Embedded fingerprint (empty: not ours), size in bytes and BLAKE2b-128 of a GeoTIFF.

    Raises:
        VerifyError: the file is not there, is no GeoTIFF, or a block of the image, a mask or an
            overview cannot be decoded.
    """
    try:
        with stage("digest"):
            digest, size = digest_of(path)
        with stage("read"):
            fingerprint, levels = _read(path, None)
            for level in range(levels):
                _read(path, level)
    except (RasterioError, OSError) as error:
        raise VerifyError(f"{path!r} cannot be read back: {error}") from error
    return InspectReceipt(fingerprint, size, digest)


def _read(path: str, overview: int | None) -> tuple[str, int]:
    """Decode every block of one level; the fingerprint and the number of overviews."""
    options: dict[str, Any] = {} if overview is None else {"overview_level": overview}
    with rasterio.open(path, driver="GTiff", sharing=False, **options) as dataset:
        masked = any(
            "per_dataset" in {flag.name for flag in flags} for flags in dataset.mask_flag_enums
        )
        for _, window in dataset.block_windows(1):
            dataset.read(window=window)
            if masked:
                dataset.dataset_mask(window=window)
        return dataset.tags().get("GEOBATCH_FP", ""), len(dataset.overviews(1))
