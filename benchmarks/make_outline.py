"""Make ``geobatch_tui/tui/map/outline/world.bin`` from Natural Earth 1:110m countries.

The source is the file that pyogrio's wheel carries for its tests (``naturalearth_lowres``), made by
Natural Earth (naturalearthdata.com), public domain. Each line is kept once: coasts are the edge of
all countries together, borders are what two countries share.

    uv run python benchmarks/make_outline.py
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pyogrio
import shapely

from geobatch_tui.tui.map import outline

if TYPE_CHECKING:
    from collections.abc import Iterator

Point = tuple[float, float]

SOURCE = Path(pyogrio.__file__).parent / "tests/fixtures/naturalearth_lowres"
SNAP = 1e-5  # degrees; neighbours in the source differ by rounding


def open_parts(points: list[Point]) -> Iterator[list[Point]]:
    """A line without what closes polygons along the antimeridian and at the south pole."""
    part: list[Point] = []
    for point in points:
        if part and on_rim(part[-1], point):
            yield part
            part = []
        part.append(point)
    yield part


def on_rim(a: Point, b: Point) -> bool:
    return min(abs(a[0]), abs(b[0])) > 179.9 or max(a[1], b[1]) < -89.9


def main() -> None:
    countries = pyogrio.read_dataframe(SOURCE / "naturalearth_lowres.shp").geometry
    shapes = [shapely.set_precision(shape, SNAP) for shape in countries]
    coast = shapely.union_all(shapes).boundary
    edges = shapely.union_all([shape.boundary for shape in shapes])
    borders = shapely.difference(edges, coast.buffer(SNAP))
    packed = bytearray()
    for kind, lines in ((outline.COAST, coast), (outline.BORDER, borders)):
        merged = shapely.line_merge(lines)
        for line in shapely.get_parts(merged):
            for part in open_parts(list(line.coords)):
                packed += outline.packed(kind, part)
    path = Path(outline.__file__).with_name("world.bin")
    path.write_bytes(zlib.compress(bytes(packed), 9))
    read = outline.world()
    points = sum(len(line.points) for line in read)
    print(f"{path.stat().st_size} bytes, {len(read)} lines, {points} points")


if __name__ == "__main__":
    main()
