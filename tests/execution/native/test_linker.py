"""Machine code that is kept and linked gives what numba's own calls give."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geobatch_tui.execution.native import linker
from geobatch_tui.execution.native.loop import Loop
from geobatch_tui.execution.raster.kernels import gather, pixel_loops
from geobatch_tui.execution.runtime.recorder import Recorder
from geobatch_tui.execution.vector.kernels import feature_loops as vector_loops


@pytest.fixture(name="cached")
def _cached(tmp_path, monkeypatch):
    """A cache of its own, with nothing in it."""
    monkeypatch.setattr(linker, "object_folder", lambda: tmp_path)
    return tmp_path


def differences(dtype="uint8"):
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 255, (9, 7, 3)).astype(dtype)
    return raw, np.empty((3, 9, 7), dtype)


def fresh(loop):
    return Loop(loop.module, loop.name, loop.arguments)


def test_first_compiled_then_linked(cached):
    """The same pixels, and no second compilation."""
    raw, out = differences()
    fresh(pixel_loops.sum_differences)(raw, out)
    np.testing.assert_array_equal(out, np.cumsum(raw, axis=1, dtype="uint8").transpose(2, 0, 1))
    (kept,) = cached.glob("*.o")
    assert kept.name == "raster.predictors.sum_differences-uint8.o"
    before = kept.stat().st_mtime_ns
    _, again = differences()
    fresh(pixel_loops.sum_differences)(raw, again)
    np.testing.assert_array_equal(again, out)
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("kept", [True, False])
def test_compiling_is_told(cached, monkeypatch, kept):
    """By the first call, and by no other: with a cache, and where numba calls the loop."""
    if not kept:
        monkeypatch.setattr(linker, "object_folder", lambda: None)
    told = []
    recorder = Recorder(told.append)
    recorder.begin()
    loop = fresh(pixel_loops.sum_differences)
    for _ in range(2):
        loop(*differences())
    assert told == [True, False]
    fresh(pixel_loops.sum_differences)(*differences())
    assert len(told) == (2 if kept else 4)


def test_linked_code_gives_what_numba_gives(monkeypatch):
    """Through the linker and through numba, in the bits."""
    heights = (np.random.default_rng(2).random((41, 54)) * 200).astype("float32")
    heights[3, 4:9], heights[30] = np.nan, -1
    found = []
    for linked in (True, False):
        if not linked:
            monkeypatch.setattr(linker, "object_folder", lambda: None)
        out = np.zeros((39, 52), "float32")
        fresh(pixel_loops.position)(heights, True, out)
        found.append(out)
    np.testing.assert_array_equal(found[0].view(np.uint8), found[1].view(np.uint8))
    assert np.isfinite(found[0]).all()
    assert len(np.unique(found[0])) > 500


@pytest.fixture(scope="module", name="whole_object")
def _whole_object(tmp_path_factory):
    """The name and the bytes of a kept loop."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linker, "object_folder", lambda: folder)
        fresh(pixel_loops.sum_differences)(*differences("uint16"))
    (kept,) = folder.glob("*.o")
    return kept.name, kept.read_bytes()


@pytest.mark.parametrize("hurt", [lambda code: code[:-9], lambda code: b"x" + code, lambda _: b""])
def test_a_damaged_object_is_compiled_anew(cached, whole_object, hurt):
    """Never run."""
    name, whole = whole_object
    kept = cached / name
    kept.write_bytes(hurt(whole))
    assert linker._read(kept) is None
    raw, out = differences("uint16")
    fresh(pixel_loops.sum_differences)(raw, out)
    np.testing.assert_array_equal(out, np.cumsum(raw, axis=1, dtype="uint16").transpose(2, 0, 1))
    assert linker._read(kept) is not None


def test_a_cache_that_cannot_be_written_is_left_alone(cached, monkeypatch):
    """As on a full disk: the loop runs, and no process leaves a file behind."""
    raw, out = differences("uint64")

    def full(*_):
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Path, "replace", full)
    fresh(pixel_loops.sum_differences)(raw, out)
    np.testing.assert_array_equal(out, np.cumsum(raw, axis=1, dtype="uint64").transpose(2, 0, 1))
    assert [one.name for one in cached.iterdir() if one.suffix != ".lock"] == []


def test_code_that_needs_more_is_not_kept(cached, monkeypatch):
    """What only numba has, numba runs: where a loop allocates, for one."""
    monkeypatch.setattr(linker, "UNREACHABLE", frozenset())
    raw, out = differences("uint32")
    fresh(pixel_loops.sum_differences)(raw, out)
    np.testing.assert_array_equal(out, np.cumsum(raw, axis=1, dtype="uint32").transpose(2, 0, 1))
    assert not list(cached.glob("*.o"))


@pytest.mark.parametrize(
    "loop",
    [
        value
        for module in (pixel_loops, vector_loops)
        for value in vars(module).values()
        if isinstance(value, Loop)
    ],
    ids=lambda loop: f"{loop.module}.{loop.name}",
)
def test_every_loop_can_be_kept(loop):
    """None allocates, raises, or calls anything but libc. The user's cache is used, which saves a
    minute of compilation: its key holds every source of a loop."""
    # A type that other tests compile it for, too.
    kind = {"join_bytes": "uint32", "terrain_loops": "float32"}
    generic = kind.get(loop.name) or kind.get(loop.module, "uint8")
    if all(argument.type != "T" for argument in loop.arguments):
        generic = ""
    assert loop._load(generic) is not None
    name = f"{loop.package}.{loop.module}.{loop.name}-{generic}.o"
    _, code = linker._read(linker.object_folder() / name)
    process = ctypes.CDLL(None)
    left = {symbol for symbol in linker.undefined_symbols(code) if not hasattr(process, symbol)}
    assert left <= linker.UNREACHABLE | {need.symbol for need in loop.needs}


def test_a_part_that_loops_share_is_linked_to_each(cached):
    """Compiled once, and called by the kept code of the loops that need it, also in a process that
    compiles nothing; the weights are those of the part that numba puts into a loop."""
    # Both that compile are children of a process that has loaded the compiler.
    code = (
        "import os, sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from geobatch_tui.execution.native import linker\n"
        "from geobatch_tui.execution.raster.kernels import pixel_loops as loops\n"
        "if len(sys.argv) > 2:\n    import numba\n"
        "place = next((one for one in sys.argv[2:] if not os.fork()), sys.argv[1])\n"
        "while True:\n"
        "    try:\n        os.wait()\n"
        "    except ChildProcessError:\n        break\n"
        "linker.object_folder = lambda: Path(place) if place else None\n"
        "x, w = np.linspace(-1, 9, 77), np.zeros(6)\n"
        "first, pixel, whole = np.zeros(77, int), np.zeros(77, int), np.zeros(77, 'u1')\n"
        "weights = np.zeros((6, 77))\n"
        "loops.axis(x, 8, 4, 1.0, 2, first, weights, pixel, whole, w)\n"
        "print(weights.tobytes().hex(), 'numba' in sys.modules)\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code, *map(str, places)],
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for places in ((cached, ""), (cached,))
    ]  # fmt: skip
    assert said[0][1::2] == ["True", "True"]
    assert said[1][1::2] == ["False"]
    assert len({*said[0][::2], *said[1][::2]}) == 1
    assert {path.name for path in cached.glob("*.o")} == {
        "raster.weights.axis-.o",
        "raster.weights.weigh-.o",
    }


def test_wrong_arrays_are_refused():
    """Of another type, with gaps, or of other dimensions: memory would be read wrongly."""
    raw, _ = differences()
    for bad in (raw.astype("uint16"), raw[:, ::2], raw[0]):
        with pytest.raises(TypeError):
            pixel_loops.sum_differences(raw, bad)
    with pytest.raises(ValueError, match="argument"):
        pixel_loops.sum_differences(raw)
    assert callable(gather.gather)


def test_numba_is_not_loaded_for_kept_code():
    """That is what it is for."""
    raw, out = differences()
    pixel_loops.sum_differences(raw, out)
    code = (
        "import sys, numpy as np\n"
        "from geobatch_tui.execution.raster.kernels import pixel_loops as loops\n"
        "raw, out = np.ones((4, 4, 3), 'u1'), np.empty((3, 4, 4), 'u1')\n"
        "loops.sum_differences(raw, out)\n"
        "assert (out[:, :, 3] == 4).all()\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_of_two_processes_one_compiles(tmp_path):
    """The other waits, and takes what was kept: it never loads the compiler."""
    code = (
        "import sys, numpy as np\n"
        "from geobatch_tui.execution.raster.kernels import pixel_loops as loops\n"
        "loops.sum_differences(np.ones((2, 2, 3), 'u1'), np.ones((3, 2, 2), 'u1'))\n"
        "print('numba' in sys.modules)\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert sorted(process.communicate()[0].strip() for process in both) == ["False", "True"]


def test_a_loop_is_not_kept_waiting_by_another(cached):
    """Two workers that need different loops compile them side by side."""
    with linker._locked(cached / "raster.gather.gather-uint8.lock"):
        raw, out = differences()
        fresh(pixel_loops.sum_differences)(raw, out)
    assert list(cached.glob("*.o"))
