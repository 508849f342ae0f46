"""The floor under a raster job: decode the tiles of its source, encode those of its result."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = 64
LEVEL = 6
ADOBE_DEFLATE = 8


def floor(source: Path, result: Path) -> float:
    """Seconds that this machine needs, with a thread a core, to decode every tile of ``source``
    at full resolution and to encode every tile of ``result``; both tiled, with DEFLATE.

    Reading, writing, checking and everything between decoding and encoding is left out.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seconds = 0.0
        for batch in _batches(source, 1):
            began = time.perf_counter()
            list(pool.map(_decode, batch))
            seconds += time.perf_counter() - began
        for batch in _batches(result, None):
            tiles = list(pool.map(_decode, batch))
            began = time.perf_counter()
            list(pool.map(_encode, tiles))
            seconds += time.perf_counter() - began
    return seconds


def _batches(path: Path, levels: int | None) -> Iterator[list[tuple[bytes, Any, Any, int]]]:
    """Encoded tiles with their shape, type and predictor."""
    with tifffile.TiffFile(path) as tiff, path.open("rb") as file:
        for page in [page for page in tiff.pages if page.dtype.kind != "b"][:levels]:
            if page.compression != ADOBE_DEFLATE or not page.is_tiled:
                raise SystemExit(f"{path}: the floor is known for tiles with DEFLATE alone")
            shape = (page.tilelength, page.tilewidth, page.samplesperpixel)
            batch = []
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                if count:
                    file.seek(offset)
                    batch.append((file.read(count), shape, page.dtype, int(page.predictor)))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
            yield batch


def _decode(tile: tuple[bytes, Any, Any, int]) -> tuple[Any, int]:
    data, shape, dtype, predictor = tile
    size = int(np.prod(shape)) * dtype.itemsize
    pixels = np.frombuffer(imagecodecs.deflate_decode(data, out=size), dtype).reshape(shape)
    if predictor == 2:
        pixels = imagecodecs.delta_decode(pixels, axis=-2)
    elif predictor == 3:
        pixels = imagecodecs.floatpred_decode(pixels, axis=-2)
    return pixels, predictor


def _encode(tile: tuple[Any, int]) -> None:
    pixels, predictor = tile
    if predictor == 2:
        pixels = imagecodecs.delta_encode(pixels, axis=-2)
    elif predictor == 3:
        pixels = imagecodecs.floatpred_encode(pixels, axis=-2)
    imagecodecs.deflate_encode(pixels, level=LEVEL)
