"""Items by themselves and one after another, each time in a process whose GDAL has done nothing yet.

Run as a program, it forks once for each line of stdin, a JSON list of items (see ``make``), and
answers with the digests of what they give in this order.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import rasterio
from numpy.random import default_rng
from planning import item_of, read_whole
from rasterio.transform import from_origin

from geobatch_tui.errors import GeobatchError

# Loaded when they are first needed, else, in every child.
from geobatch_tui.execution.params import raster_params as _
from geobatch_tui.execution.raster import probe as _  # noqa: F401, F811


def make(folder, place):
    """A small raster at ``place``: its CRS, its left and top, the size of a pixel."""
    path = folder / "source.tif"
    pixels = default_rng(5).integers(1, 255, (1, 24, 30), "uint8")
    left, top, step = place["at"]
    with rasterio.open(
        path, "w", driver="GTiff", width=30, height=24, count=1, dtype="uint8", crs=place["crs"],
        transform=from_origin(left, top, step, step),
    ) as out:  # fmt: skip
        out.write(pixels)
    return path


def digest(place):
    """What an item gives: its plan and pixels, or its error."""
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), place)
        try:
            item = item_of(path, place["params"])
            pixels, valid = read_whole(item)
        except GeobatchError as error:
            return type(error).__name__
    whole = hashlib.sha256(json.dumps(item.plan.detail, sort_keys=True).encode())
    whole.update(pixels.tobytes() + valid.tobytes())
    return f"{whole.hexdigest()[:16]} {valid.mean():.0%}"


def main():
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            with os.fdopen(write, "w") as out:
                json.dump([digest(place) for place in json.loads(line)], out)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            sys.stdout.write(answer.read() + "\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
