"""Codecs: every tile decodes to what went in, and nothing else counts as success."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from zlib_ng import zlib_ng

from geobatch_tui.errors import OperationError, VerifyError
from geobatch_tui.execution.raster.encode import lossless
from geobatch_tui.execution.raster.encode.lossless import Codec
from geobatch_tui.execution.raster.kernels import pixel_loops

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16")
CODECS = ("NONE", "LZW", "DEFLATE", "ZSTD")


def fits(compress, predictor, dtype):
    try:
        lossless.check(compress, 6 if compress in ("DEFLATE", "ZSTD") else 0, predictor, dtype)
    except OperationError:
        return False
    return True


CASES = [
    (compress, predictor, dtype)
    for compress in CODECS
    for predictor in (1, 2, 3)
    for dtype in DTYPES
    if fits(compress, predictor, dtype)
]


def test_combinations():
    """Horizontal prediction is for real numbers, the floating one for floats; NONE has neither."""
    assert len(CASES) == 13 + 3 * (13 + 11 + 3)


@pytest.mark.parametrize(("compress", "predictor", "dtype"), CASES)
@pytest.mark.parametrize("samples", [1, 3])
def test_tiles_decode_to_themselves(compress, predictor, dtype, samples):
    """Decoding gives the same bytes, and encoding twice gives the same bytes."""
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 256, 16 * 32 * samples * np.dtype(dtype).itemsize, np.uint8)
    tile = raw.view("<" + dtype).reshape(16, 32, samples)
    codec = Codec(compress, 6, predictor)
    data = codec.encode(tile)
    assert data == codec.encode(tile.copy())
    assert codec.decode(data, tile.shape, tile.dtype).tobytes() == tile.tobytes()
    if compress == "DEFLATE" and predictor == 3:
        raw = np.frombuffer(zlib.decompress(data), tile.dtype).reshape(tile.shape)
        assert lossless.imagecodecs.floatpred_decode(raw, axis=-2).tobytes() == tile.tobytes()


@given(
    tile=arrays.arrays(np.dtype("<f4"), (16, 16, 2), elements=st.floats(width=32, allow_nan=True)),
    predictor=st.sampled_from([1, 2, 3]),
)
def test_floats_keep_every_bit(tile, predictor):
    """NaN payloads, infinities and negative zeros come back as they were."""
    codec = Codec("DEFLATE", 1, predictor)
    decoded = codec.decode(codec.encode(tile), tile.shape, tile.dtype)
    assert decoded.tobytes() == tile.tobytes()


@pytest.mark.parametrize(
    "broken",
    [
        lambda _raw, **_: b"",
        lambda raw, **_: zlib.compress(raw.tobytes()[:-1] + b"\xff"),
        lambda raw, **_: zlib.compress(raw.tobytes()[:-1]),
        lambda raw, **_: zlib.compress(raw)[:-6],
    ],
    ids=["nothing", "other pixels", "too short", "cut"],
)
def test_a_wrong_encoder_is_caught(monkeypatch, broken):
    """What an encoder gives back counts only if it decodes to the tile."""
    monkeypatch.setattr(imagecodecs, "deflate_encode", broken)
    with pytest.raises(VerifyError):
        Codec("DEFLATE", 6, 1).encode(np.zeros((16, 16, 1), np.uint8))


def test_an_encoder_that_fails_raises(monkeypatch):
    """An encoder's exception is never taken for an empty tile."""

    def fail(_raw, **_):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(imagecodecs, "zstd_encode", fail)
    with pytest.raises(VerifyError, match="out of luck"):
        Codec("ZSTD", 3, 1).encode(np.zeros((16, 16, 1), np.uint8))


def test_an_encoder_of_noise_that_fails_raises(monkeypatch):
    def fail(*_):
        raise zlib_ng.error("out of luck")

    monkeypatch.setattr(zlib_ng, "compressobj", fail)
    with pytest.raises(VerifyError, match="out of luck"):
        Codec("DEFLATE", 5, 2, quick=True).encode(greys(20))


@pytest.mark.parametrize("compress", ["LZW", "DEFLATE", "ZSTD"])
def test_damaged_tiles_do_not_decode(compress):
    """Half a tile is an error, not half the pixels."""
    tile = np.random.default_rng(0).integers(0, 9, (64, 64, 1), np.uint8)
    codec = Codec(compress, 6, 1)
    data = codec.encode(tile)
    with pytest.raises(VerifyError):
        codec.decode(data[: len(data) // 2], tile.shape, tile.dtype)


def test_zstd_frames_hold_their_content_size():
    """Readers that allocate from the frame header need it (RFC 8878, 3.1.1.1)."""
    data = Codec("ZSTD", 9, 1).encode(np.zeros((64, 64, 3), np.uint8))
    assert data[:4] == b"\x28\xb5\x2f\xfd"
    assert data[4] >> 6 or data[4] & 0x20


@pytest.mark.parametrize("wrong", [
    ("BROTLI", 1, 1, "uint8"),
    ("DEFLATE", 13, 1, "uint8"),
    ("DEFLATE", 0, 1, "uint8"),
    ("ZSTD", 23, 1, "uint8"),
    ("DEFLATE", 6, 3, "uint8"),
    ("DEFLATE", 6, 2, "complex64"),
    ("NONE", 0, 2, "uint8"),
    ("LZW", 0, 4, "uint8"),
])  # fmt: skip
def test_unknown_combinations_are_refused(wrong):
    """A codec, level or predictor that cannot be written is named before any pixel is computed."""
    with pytest.raises(OperationError):
        lossless.check(*wrong)


@pytest.mark.parametrize(("predictor", "dtype"), [(2, "uint8"), (2, "uint16"), (3, "float32")])
@pytest.mark.parametrize("place", [(0, 0), (5, 9), (7, -1)])
def test_a_predictor_gone_wrong_is_noticed(predictor, dtype, place, monkeypatch):
    """Differences that do not add up to the tile again never leave as a good one."""
    differences = pixel_loops.differences

    def wrong(rows, distance, out):
        differences(rows, distance, out)
        out[place] ^= 1

    monkeypatch.setattr(pixel_loops, "differences", wrong)
    tile = np.random.default_rng(1).integers(0, 200, (8, 16, 3)).astype(dtype)
    with pytest.raises(VerifyError, match="decodes to other pixels"):
        lossless.Codec("DEFLATE", 6, predictor).encode(tile)


TILES = """
import hashlib, numpy as np
from geobatch_tui.execution.raster.encode.lossless import Codec
rng, digest = np.random.default_rng(0), hashlib.sha256()
codecs = [Codec("DEFLATE", level, 1) for level in (1, 2, 5, 6)] + [Codec("LZW", 1, 1)]
codecs += [Codec("ZSTD", 9, 1)]
noise = Codec("DEFLATE", 5, 2, quick=True)
for number in range(1200):
    height, width = rng.integers(1, 40), rng.integers(8, 700)
    values = rng.integers(0, (256, 8)[number % 2], (height, width, 1), np.uint8)
    values *= rng.random(values.shape) < (1, 0.3)[number // 2 % 2]
    of = codecs if number % 20 == 0 else codecs[:1]
    bytearray(rng.bytes(rng.integers(1000, 400000)))  # what malloc gives next is dirty
    for codec in of:
        digest.update(codec.encode(values))
    if number % 3 == 0:
        digest.update(noise.encode(values * (rng.random(values.shape) < 0.01)))
        digest.update(noise.encode((128 + 9 * rng.standard_normal(values.shape)).astype("u1")))
print(digest.hexdigest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's variable")
def test_no_byte_depends_on_memory_that_nobody_wrote():
    """ISA-L's level 1 would: another filling of fresh memory gives other bytes of the same tiles."""
    said = {
        subprocess.run(
            [sys.executable, "-c", TILES], env=os.environ | {"MALLOC_PERTURB_": filling},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for filling in ("0", "165")
    }  # fmt: skip
    assert len(said) == 1


def tile_of(noisy):
    """A tile of 64 rows, of which those of ``noisy`` are noise and the others flat."""
    tile = np.zeros((64, 128, 1), "float32")
    tile[noisy] = np.random.default_rng(1).random((64, 128, 1), "float32")[noisy]
    return tile


@pytest.mark.parametrize(
    ("noisy", "quick"),
    [(slice(None), True), (slice(28, 44), False), (slice(8, 64), True)],
    ids=["all", "a quarter", "most"],
)
def test_a_quick_codec_encodes_noise_at_the_quickest_level(noisy, quick):
    """The other tiles are as at its own level."""
    tile = tile_of(noisy)
    at_level, quickest = (Codec("DEFLATE", level, 3).encode(tile) for level in (6, 1))
    assert at_level != quickest
    assert Codec("DEFLATE", 6, 3, quick=True).encode(tile) == (quickest if quick else at_level)


def greys(spread, period=512):
    """A tile of bytes that repeats itself from left to right, as noise of that spread."""
    noise = np.random.default_rng(2).normal(128, spread, (512, period, 1)).astype("u1")
    return np.tile(noise, (1, 512 // period, 1))


def tiles_of_little():
    """Tiles of which little is left: a corner of an image, squares, a corner of noise."""
    corner = np.zeros((512, 512, 3), "u1")
    corner[:120, :120] = greys(20).reshape(512, -1, 4)[:120, :120, :3]
    squares = np.random.default_rng(1).integers(0, 20, (16, 16, 1), "u1")
    yield "a corner", corner, 2, 1.05
    yield "squares", squares.repeat(32, 0).repeat(32, 1), 1, 1.3
    yield "floats", np.pad(tile_of(slice(None)), ((0, 448), (0, 384), (0, 0))), 3, 1.05


@pytest.mark.parametrize(("tile", "predictor", "larger"), [
    pytest.param(*case, id=name) for name, *case in tiles_of_little()
])  # fmt: skip
def test_a_quick_codec_encodes_what_is_mostly_runs_by_zlib_ng(tile, predictor, larger):
    """It is hardly larger, and any decoder takes it."""
    at_level = Codec("DEFLATE", 5, predictor).encode(tile)
    data = Codec("DEFLATE", 5, predictor, quick=True).encode(tile)
    assert data != at_level
    assert len(data) <= larger * len(at_level)
    raw = zlib.decompress(data)
    assert raw == zlib.decompress(at_level)
    assert data == zlib_ng.compress(raw, 5)


@pytest.mark.parametrize("spread", [3, 20, 80])
def test_noise_without_matches_is_encoded_by_huffman_codes_alone(spread):
    """It is no larger, within a thousandth, and any decoder takes it."""
    tile = greys(spread)
    data = Codec("DEFLATE", 5, 2, quick=True).encode(tile)
    quickest = Codec("DEFLATE", 1, 2).encode(tile)
    assert data != quickest
    assert len(data) <= 1.0012 * len(quickest)
    rows = np.frombuffer(zlib.decompress(data), "u1").reshape(512, 512)
    assert np.array_equal(np.cumsum(rows, axis=1, dtype="u1"), tile[:, :, 0])


def test_noise_with_matches_is_encoded_with_them():
    tile = greys(80, period=256)
    data = Codec("DEFLATE", 5, 2, quick=True).encode(tile)
    assert data == Codec("DEFLATE", 1, 2).encode(tile)


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from(["u1", "u2", "f4"]), st.integers(0, 9)
)
def test_a_quick_codec_takes_tiles_of_any_size(height, width, dtype, seed):
    tile = np.random.default_rng(seed).integers(0, 200, (height, width, 1)).astype("<" + dtype)
    codec = Codec("DEFLATE", 5, 3 if dtype == "f4" else 2, quick=True)
    data = codec.encode(tile)
    assert codec.decode(data, tile.shape, tile.dtype).tobytes() == tile.tobytes()
