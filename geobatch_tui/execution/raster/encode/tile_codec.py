"""The interface of a codec of tiles, and checks that all of them make."""

from __future__ import annotations

import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from geobatch_tui.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.types import DType, Pixels


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
    except (RuntimeError, ValueError, zlib.error) as error:
        raise VerifyError(f"{what}: {error}") from error


def check_form(name: str, tile: Pixels, shape: tuple[int, ...], dtype: DType) -> None:
    """Raise VerifyError if a decoded tile, whose only band may have no axis, has another form."""
    alike = tile.shape == shape[: tile.ndim] and tile.size == math.prod(shape)
    if not alike or tile.dtype != dtype:
        raise VerifyError(f"a {name} tile holds {tile.shape} {tile.dtype}, not {shape} {dtype}")
