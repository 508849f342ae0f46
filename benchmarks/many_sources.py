"""Measures a mosaic of very many small files: the plan, the first chunk, memory and open files.

Usage: ``uv run --group bench python benchmarks/many_sources.py [--peer] [--keep DIR] [COUNT ...]``

For each COUNT (10,000 without any) as many GeoTIFFs of 32x32 bytes are made, that lie side by side
in a square; each is a copy of one file with its own tie point and its own pixels. ``geobatch plan``
is timed by itself; then a run: seconds to the end of its plan, to its first chunk and to its end,
CPU seconds, and the peak memory and the most open files of its engine and of any worker, sampled.
The mosaic is compared with what the files were made of. ``--peer``: gdalbuildvrt and gdal_translate
do the same. The table goes to ``results/many_sources.json``. The program fails if a pixel differs,
or if a process holds more files open than it may.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import rasterio
from jobs import write_job
from measure import MB, RESULTS, checked, geobatch, table
from raster_rows import COG
from rasterio.transform import from_origin
from rasterio.windows import Window
from step_rows import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Pixels along the side of a file.
SIDE = 32
#: Degrees along the side of a pixel.
PIXEL = 2**-12
#: What a process may hold open: a third of what Linux grants by itself.
MOST_FILES = 341
#: The tag of the place of a file, its type and its six numbers.
_TIE = struct.pack("<HHI", 33922, 12, 6)


@dataclass(frozen=True, slots=True)
class Square:
    """Where ``count`` files lie: row by row in a square."""

    count: int

    @property
    def columns(self) -> int:
        return math.isqrt(self.count - 1) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return -(-self.count // self.columns) * SIDE, self.columns * SIDE

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of one row of files, 1 to 255, and where there are any."""
        files = number * self.columns + np.arange(self.columns)
        values = np.kron(self._shifts(files), np.ones(SIDE, "u1"))
        pixels = (_pattern()[:, np.arange(len(values)) % SIDE] + values) % 255 + 1
        return pixels.astype("u1"), np.repeat(files < self.count, SIDE)

    def pixels(self, number: int) -> bytes:
        """Those of one file."""
        moved = (_pattern() + self._shifts(np.array([number]))) % 255 + 1
        return moved.astype("u1").tobytes()

    @staticmethod
    def _shifts(files: np.ndarray) -> np.ndarray:
        return files * 37 % 251

    def write(self, directory: Path) -> None:
        """Make the files."""
        frame = Frame.made(self)
        for number in range(self.count):
            row, column = divmod(number, self.columns)
            folder = directory / f"{row:04}"
            if not column:
                folder.mkdir()
            (folder / f"{number:07}.tif").write_bytes(frame.file(number))

    def differing(self, mosaic: Path) -> int:
        """Pixels that differ from those of the files."""
        wrong = 0
        with rasterio.open(mosaic) as src:
            if src.shape != self.shape:
                raise SystemExit(f"the mosaic has {src.shape} pixels, not {self.shape}")
            for row in range(self.shape[0] // SIDE):
                pixels, there = self.row(row)
                got = src.read(1, window=Window(0, row * SIDE, src.width, SIDE))
                wrong += int(np.count_nonzero(got != np.where(there, pixels, 0)))
        return wrong


@dataclass(frozen=True, slots=True)
class Frame:
    """A GeoTIFF whose tie point and pixels are replaced to make that of any number; ``tie`` and
    ``start`` are where they lie in it."""

    square: Square
    content: bytes
    tie: int
    start: int

    @classmethod
    def made(cls, square: Square) -> Frame:
        """Have GDAL write the first file of a square."""
        profile = {
            "driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8",
            "crs": "EPSG:4326", "transform": from_origin(0, 0, PIXEL, PIXEL), "nodata": 0,
        }  # fmt: skip
        pixels = square.pixels(0)
        with rasterio.MemoryFile() as memory:
            with memory.open(**profile) as dst:
                dst.write(np.frombuffer(pixels, "u1").reshape(1, SIDE, SIDE))
            content = bytes(memory.getbuffer())
        (at,) = struct.unpack_from("<I", content, content.index(_TIE) + len(_TIE))
        return cls(square, content, at + 24, content.index(pixels))

    def file(self, number: int) -> bytes:
        """Return the file of a number."""
        made = bytearray(self.content)
        row, column = divmod(number, self.square.columns)
        place = (column * SIDE * PIXEL, -row * SIDE * PIXEL, 0.0)
        struct.pack_into("<3d", made, self.tie, *place)
        made[self.start : self.start + SIDE * SIDE] = self.square.pixels(number)
        return bytes(made)


def _pattern() -> np.ndarray:
    across = np.arange(SIDE)
    return across[:, np.newaxis] * 7 + across * across


@dataclass(slots=True)
class Watcher:
    """Samples the memory, the open files and the CPU seconds of a process and of those it began."""

    pid: int
    rss: dict[int, int] = field(default_factory=dict)
    files: dict[int, int] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Sample until :meth:`stop`, ten times a second."""
        root = psutil.Process(self.pid)
        while not self._stop.wait(0.1):
            with suppress(psutil.Error):
                for process in (root, *root.children(recursive=True)):
                    self._sample(process)

    def stop(self) -> None:
        self._stop.set()

    def _sample(self, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            key, times = process.pid, process.cpu_times()
            self.rss[key] = max(self.rss.get(key, 0), process.memory_info().rss)
            self.files[key] = max(self.files.get(key, 0), process.num_fds())
            self.cpu[key] = times.user + times.system

    def most(self, of: dict[int, int], *, engine: bool) -> int:
        """The most of the engine, or of any other process."""
        return max((n for pid, n in of.items() if (pid == self.pid) == engine), default=0)


def run(job: Path, out: Path) -> dict[str, float | int]:
    """Run a job, and return its figures."""
    began, clock = time.time(), time.perf_counter()
    process = subprocess.Popen(
        geobatch("run", str(job), "--headless"),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watcher = Watcher(process.pid)
    thread = threading.Thread(target=watcher.watch, daemon=True)
    thread.start()
    _, said = process.communicate()
    seconds = time.perf_counter() - clock
    watcher.stop()
    thread.join()
    if process.returncode:
        raise SystemExit(f"exit {process.returncode}: {said[-4000:]}")
    moments: dict[str, float] = {}
    for line in (out / ".geobatch" / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        moment = datetime.fromisoformat(entry["time"]).timestamp() - began
        moments.setdefault(entry["event"], moment)
    return {
        "planned in run s": moments["plan.done"],
        "first chunk s": moments["chunk.done"],
        "run s": seconds,
        "run CPU s": sum(watcher.cpu.values()),
        "engine MB": round(watcher.most(watcher.rss, engine=True) / MB),
        "worker MB": round(watcher.most(watcher.rss, engine=False) / MB),
        "engine files": watcher.most(watcher.files, engine=True),
        "worker files": watcher.most(watcher.files, engine=False),
    }


def measured(count: int, scratch: Path, *, peer: bool) -> dict[str, float | int]:
    """Make ``count`` files, plan and run their mosaic, and return the figures."""
    square, sources, out = Square(count), scratch / "files", scratch / "out"
    if not sources.exists():
        sources.mkdir(parents=True)
        square.write(sources)
    shutil.rmtree(out, ignore_errors=True)
    op = {"name": "raster.pipeline", "steps": [{"name": "mosaic"}]}
    job = write_job(scratch / "many.toml", [sources / "*" / "*.tif"], out, op, output=OUTPUT)
    planned = checked(geobatch("plan", str(job)))
    line: dict[str, float | int] = {
        "files": count, "plan s": planned.seconds, "plan CPU s": planned.cpu,
        "plan MB": round(planned.tree_rss / MB), **run(job, out),
    }  # fmt: skip
    line["differ"] = square.differing(next(out.glob("*.tif")))
    if peer:
        names, vrt, target = (scratch / name for name in ("list.txt", "all.vrt", "peer.tif"))
        names.write_text("\n".join(map(str, sorted(sources.glob("*/*.tif")))))
        listed = ["-input_file_list", str(names), str(vrt)]
        built = checked(["gdalbuildvrt", "-q", "-overwrite", *listed])
        written = checked(["gdal_translate", "-q", *COG, str(vrt), str(target)])
        line["GDAL s"] = built.seconds + written.seconds
        line["GDAL CPU s"] = built.cpu + written.cpu
        line["GDAL MB"] = round(max(built.rss, written.rss) / MB)
    return line


def main(words: Sequence[str] | None = None) -> None:
    """Measure each number of files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("counts", nargs="*", type=int, metavar="COUNT", default=[10_000])
    parser.add_argument("--peer", action="store_true", help="also by gdalbuildvrt and translate")
    parser.add_argument("--keep", type=Path, help="where files are made, and left for next time")
    given = parser.parse_args(words)
    lines = []
    for count in given.counts:
        with tempfile.TemporaryDirectory() as scratch:
            place = given.keep / str(count) if given.keep else Path(scratch)
            lines.append(measured(count, place, peer=given.peer))
        print(table(lines[-1:]), flush=True)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "many_sources.json").write_text(json.dumps(lines, indent=1))
    wrong = [line["files"] for line in lines if line["differ"]]
    most = max(max(line["engine files"], line["worker files"]) for line in lines)
    if wrong or most > MOST_FILES:
        raise SystemExit(f"pixels differ for {wrong}; {most} files open, of {MOST_FILES}")


if __name__ == "__main__":
    main()
