"""Reads a published raster back: its fingerprint, and every block of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.digest import digest_of
from geobatch_tui.execution.messages import InspectReceipt
from geobatch_tui.execution.raster.part import readable_name
from geobatch_tui.execution.raster.verify import READ_ERRORS, read_blocks

if TYPE_CHECKING:
    from geobatch_tui.execution.ops.registry import Stage


def inspect(path: str, stage: Stage) -> InspectReceipt:
    """Embedded fingerprint (empty: not ours), size in bytes and SHA-256 of a GeoTIFF.

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
