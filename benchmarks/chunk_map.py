"""Cost of the console's map: painting, ticks, keys, and bytes sent to the terminal.

Prints one JSON object a case. The app draws headless; bytes are what its terminal would get.

    uv run python benchmarks/chunk_map.py [--chunks 1000] [--items 1] [--size 160x48] [--guard]

``--chunks 1000`` is a grid of 1000 x 1000 chunks for each item.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import time
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from textual.app import App, ComposeResult

from geobatch_tui.ledger.schema.updates import ChunkState, ItemState
from geobatch_tui.tui.kit import themes
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.run.model import Delta, ItemView, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TICK = 20
ROUNDS = 40


class Source:
    """A run in memory."""

    def __init__(self, side: int, count: int) -> None:
        self.items: list[ItemView] = []
        across = math.ceil(math.sqrt(count))
        for index in range(count):
            row, column = divmod(index, across)
            west, south = -150 + column * 300 / across, 60 - (row + 1) * 120 / across
            box = (west, south, west + 250 / across, south + 100 / across)
            n = side * side
            first = index * n
            self.items.append(
                ItemView(
                    item_id=index + 1,
                    key=f"{index}.tif",
                    first=first,
                    first_chunk=first + 1,
                    columns=side,
                    rows=side,
                    n=n,
                    width=side * 512,
                    height=side * 512,
                    chunk_size=(512, 512),
                    bounds_lonlat=box,
                    state=ItemState.PLANNED,
                    _load=lambda _: None,
                )
            )
        self.states = bytearray(count * side * side)

    def item_at(self, position: int) -> ItemView:
        return self.items[bisect_right(self.items, position, key=lambda item: item.first) - 1]

    def item(self, item_id: int) -> ItemView | None:
        return self.items[item_id - 1] if item_id else None

    def figures(self, name: str) -> array[float]:
        del name
        return array("f", bytes(4 * len(self.states)))

    def figures_at(self, positions: Iterable[int], name: str) -> dict[int, float]:
        del name
        return dict.fromkeys(positions, 1.0)


class Bench(App[None]):
    """Nothing but a map."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(themes.DEFAULTS)

    def compose(self) -> ComposeResult:
        yield ChunkMap(self.source)

    def screen_update(self, chunk_map: ChunkMap) -> int:
        """Bytes that the terminal would get now. What the app itself would send later is empty."""
        compositor: Any = self.screen._compositor  # noqa: SLF001 - Textual has no other way
        compositor.update_widgets({chunk_map})
        update = compositor.render_update()
        return len(update.render_segments(self.console).encode()) if update is not None else 0


def timed(work: Callable[[], Any], rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of each round."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - begun))
    return found


def told(name: str, values: list[float], **more: Any) -> float:
    """Print a case; its median."""
    ordered = sorted(values)
    median = statistics.median(values)
    p95 = ordered[round(0.95 * (len(ordered) - 1))]
    print(
        json.dumps({"case": name, "median_ms": round(median, 2), "p95_ms": round(p95, 2), **more})
    )
    return median


async def measure(source: Source, size: tuple[int, int]) -> list[str]:
    """All cases; sentences on the limits that were broken."""
    rng = random.Random(1)
    app = Bench(source)
    async with app.run_test(size=size) as pilot:
        chunk_map = app.query_one(ChunkMap)
        view = View()
        everything = Delta((), reshaped=True, fresh=True, view=view)
        told("first load", timed(lambda: chunk_map.take(everything), 1), chunks=len(source.states))
        await pilot.pause()
        top = chunk_map.pictures.top

        def full() -> None:
            top.paint()
            chunk_map.refresh()
            sent.append(app.screen_update(chunk_map))

        sent: list[int] = []
        paint = told("full paint", timed(full), bytes=max(sent))
        told("all states anew", timed(chunk_map.pictures.load))

        def tick() -> None:
            changed = rng.sample(range(len(source.states)), TICK)
            for position in changed:
                source.states[position] = rng.choice((ChunkState.DONE, ChunkState.RUNNING))
            begun = time.perf_counter()
            chunk_map.take(Delta(changed, reshaped=False, fresh=True, view=view))
            sent.append(app.screen_update(chunk_map))
            spent.append(1000 * (time.perf_counter() - begun))

        sent, spent = [], []
        for _ in range(ROUNDS):
            tick()
            await pilot.pause()
        took = told("tick", spent, changed=TICK, bytes_median=statistics.median(sent))
        largest = max(sent)

        def key(action: Callable[[], None]) -> None:
            action()
            app.screen_update(chunk_map)

        steps = [(1, 0), (0, 1), (-1, 0), (0, -1)]
        moves = iter(steps * ROUNDS)
        told("cursor key to paint", timed(lambda: key(lambda: chunk_map.action_step(*next(moves)))))
        zooms = iter([1, 1, -1, -1] * ROUNDS)
        told("zoom key to paint", timed(lambda: key(lambda: chunk_map.action_zoom(next(zooms)))))
    limits = [
        (paint < 30, f"a full paint takes {paint:.1f} ms, not under 30"),
        (took < 5, f"a tick takes {took:.1f} ms, not under 5"),
        (largest < 4096, f"a tick sends {largest} bytes, not under 4096"),
    ]
    return [broken for held, broken in limits if not held]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1000, help="chunks a side of each item")
    parser.add_argument("--items", type=int, default=1)
    parser.add_argument("--size", default="160x48")
    parser.add_argument("--guard", action="store_true", help="fail where a limit is broken")
    arguments = parser.parse_args()
    wide, high = (int(part) for part in arguments.size.split("x"))
    source = Source(arguments.chunks, arguments.items)
    broken = asyncio.run(measure(source, (wide, high)))
    if arguments.guard and broken:
        sys.exit("; ".join(broken))


if __name__ == "__main__":
    main()
