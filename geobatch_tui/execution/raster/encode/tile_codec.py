"""The interface of a codec of tiles, and the checks that several of them make."""

from __future__ import annotations

import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from zlib_ng import zlib_ng

from geobatch_tui.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.types import DType, Pixels, Valid

#: The mean of a band may move by this much of the 8-bit range. JPEG at quality 1 rounds brightness
#: and colour to steps of 32, which moves blue by up to 44; a tile that was lost is further off.
LIMIT = 64.0
#: Its stub takes the class for an error.
_ZLIB_NG = cast("type[Exception]", zlib_ng.error)


class TileCodec(Protocol):
    """Turns tiles (height, width, samples) into bytes and back.

    ``exact``: a decoded tile gives the same bytes, and the same overviews, as the tile that was
    encoded. ``blurs``: a pixel's value depends on the pixels around it.
    """

    @property
    def exact(self) -> bool: ...

    @property
    def blurs(self) -> bool: ...

    def store(self, tile: Pixels) -> tuple[bytes, Pixels]:
        """Encode, decode and compare a tile; return its bytes and the tile that readers see.

        Raises:
            VerifyError: the encoder failed, or its bytes decode to another tile than they may.
        """
        ...

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: DType) -> Pixels:
        """Return the tile that ``data`` decodes to.

        Raises:
            VerifyError: the bytes are damaged, or hold another number of pixels.
        """
        ...


@contextmanager
def codec_errors(what: str) -> Iterator[None]:
    """Turn an error of a codec's library, for a broken or refused stream, into VerifyError."""
    try:
        yield
    except (RuntimeError, ValueError, zlib.error, _ZLIB_NG) as error:
        raise VerifyError(f"{what}: {error}") from error


def check_form(name: str, tile: Pixels, shape: tuple[int, ...], dtype: DType) -> None:
    """Raise VerifyError if a decoded tile, whose only band may have no axis, has another form."""
    alike = tile.shape == shape[: tile.ndim] and tile.size == math.prod(shape)
    if not alike or tile.dtype != dtype:
        raise VerifyError(f"a {name} tile holds {tile.shape} {tile.dtype}, not {shape} {dtype}")


def check_likeness(name: str, tile: Pixels, seen: Pixels, shown: Valid | None = None) -> None:
    """Compare the means of bands of uint8 tiles (height, width, samples).

    Args:
        name: the codec, for the message.
        tile: the tile that was encoded.
        seen: the tile that it decodes to.
        shown: (height, width), pixels that count; None: all.

    Raises:
        VerifyError: a band moved as a whole.
    """
    count = tile.shape[0] * tile.shape[1] if shown is None else int(shown.sum())
    if not count:
        return
    off = float(np.abs(_sums(tile, shown) - _sums(seen, shown)).max()) / count
    if off > LIMIT:
        raise VerifyError(
            f"a {name} tile decodes to other colours, {off:.0f} off on average",
            hint=f"{name} moves colours less than that at any quality: its encoder fails on this "
            "tile; choose compress = DEFLATE, which loses nothing",
        )


def _sums(tile: Pixels, shown: Valid | None) -> Pixels:
    """Return the sum of each band. Rows first: they lie one after the other in memory."""
    if shown is not None:
        tile = tile * shown[:, :, np.newaxis]
    height, width, samples = tile.shape
    columns: Pixels = tile.reshape(height, width * samples).sum(axis=0, dtype=np.int64)
    return columns.reshape(width, samples).sum(axis=0)
