"""Cost of the console's map: painting, ticks, keys, and bytes sent to the terminal.

Prints one JSON object a case. The app draws headless, its writes are counted.

    uv run python benchmarks/chunk_map.py [--chunks 1000] [--items 1] [--size 160x48]

``--chunks 1000`` is a grid of 1000 x 1000 chunks for each item.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import time
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from textual.app import App, ComposeResult

from geobatch_tui.ledger.updates import ChunkState, ItemState
from geobatch_tui.tui import themes
from geobatch_tui.tui.model import Delta, ItemView, View
from geobatch_tui.tui.widgets.chunk_map import ChunkMap

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
                    source="",
                    out_path="",
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
        self.sent = 0

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(themes.DEFAULTS)

    def compose(self) -> ComposeResult:
        yield ChunkMap(self.source)


def milliseconds(work: Callable[[], Any], rounds: int = ROUNDS) -> list[float]:
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - begun))
    return found


def told(name: str, values: list[float], **more: Any) -> None:
    ordered = sorted(values)
    figures = {
        "median_ms": round(statistics.median(values), 2),
        "p95_ms": round(ordered[round(0.95 * (len(ordered) - 1))], 2),
    }
    print(json.dumps({"case": name, **figures, **more}))


async def measure(side: int, count: int, size: tuple[int, int]) -> None:
    source = Source(side, count)
    rng = random.Random(1)
    app = Bench(source)
    async with app.run_test(size=size) as pilot:
        chunk_map = app.query_one(ChunkMap)

        def write(text: str) -> None:
            app.sent += len(text.encode())

        driver: Any = app._driver  # noqa: SLF001 - what would go to the terminal
        driver.write = write
        driver._file = None  # noqa: SLF001
        app._driver.is_headless  # noqa: B018, SLF001

        begun = time.perf_counter()
        chunk_map.take(Delta((), reshaped=True, fresh=True, view=View()))
        told("load", [1000 * (time.perf_counter() - begun)], chunks=len(source.states))
        await pilot.pause()
        top = chunk_map.pictures.top
        if top is None:
            raise SystemExit("the map shows nothing")
        lines = range(chunk_map.size.height)

        def full() -> None:
            top.paint()
            for y in lines:
                chunk_map.render_line(y)

        told("full paint", milliseconds(full))

        def states() -> None:
            chunk_map.pictures.load()

        told("all states anew", milliseconds(states))

        def change() -> list[int]:
            start = rng.randrange(len(source.states) - TICK * 7)
            changed = [start + 7 * index for index in range(TICK)]
            for position in changed:
                source.states[position] = rng.choice((ChunkState.DONE, ChunkState.RUNNING))
            return changed

        view = View()
        ticks, sent = [], []
        for _ in range(ROUNDS):
            changed = change()
            begun = time.perf_counter()
            chunk_map.take(Delta(changed, reshaped=False, fresh=True, view=view))
            spent = time.perf_counter() - begun
            dirty = list(chunk_map._repaint_regions)  # noqa: SLF001
            update = app.screen._compositor  # noqa: SLF001
            begun = time.perf_counter()
            for region in dirty:
                for y in range(region.y, region.bottom):
                    chunk_map.render_line(y)
            spent += time.perf_counter() - begun
            update.update_widgets({chunk_map})
            text = update.render_update()
            if text is not None:
                sent.append(len(text.render_segments(app.console).encode()))
            ticks.append(1000 * spent)
            await pilot.pause()
        told(
            "tick",
            ticks,
            changed=TICK,
            bytes_median=statistics.median(sent or [0]),
            bytes_max=max(sent or [0]),
        )

        keys = []
        for key in ("right", "down", "left", "up") * 5 + (">", ">", "<", "<"):
            begun = time.perf_counter()
            await pilot.press(key)
            keys.append(1000 * (time.perf_counter() - begun))
        told("key, with the pilot's own waits", keys)
        told("zoom", milliseconds(lambda: (top.zoom(1), top.zoom(-1)), 10), per="two steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1000, help="chunks a side of each item")
    parser.add_argument("--items", type=int, default=1)
    parser.add_argument("--size", default="160x48")
    arguments = parser.parse_args()
    wide, high = (int(part) for part in arguments.size.split("x"))
    asyncio.run(measure(arguments.chunks, arguments.items, (wide, high)))


if __name__ == "__main__":
    main()
