"""Bytes that the console sends a terminal: for what each key brings, and for a run that goes on.

Usage: ``uv run python benchmarks/line_bytes.py [--sizes 80x24,160x48] [--colors true,256]``

A run by script, whose ledger and clock stand still but for what is written here: the counts are the
same on each machine and under any load. A tick is what a second of the run changes on a screen: 12
chunks, a letter, four lines of the log. ``256`` colours are those of a slow line, with its styles.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
from contextlib import chdir
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

from measure import ROOT, table
from rich.color import ColorSystem

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "tui"))
from conftest import Clock, Script
from scripted_run import busy_run, log_line

from geobatch_tui.tui.console.app import GeobatchApp
from geobatch_tui.tui.kit.cell_patch import TerminalPicture
from geobatch_tui.tui.kit.line_load import UNLIMITED
from geobatch_tui.tui.kit.painter import SLOW_LINE
from geobatch_tui.tui.run.link import RunLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.pilot import Pilot

COLORS = {"true": ColorSystem.TRUECOLOR, "256": ColorSystem.EIGHT_BIT}
KEYS = (
    ("2", "map"),
    ("l", "map, right"),
    ("7", "units"),
    ("down", "units, down"),
    ("3", "dead"),
    ("down", "dead, down"),
    ("4", "log"),
    ("k", "log, up"),
    ("5", "history"),
    ("6", "config"),
    ("down", "config, down"),
    ("1", "run"),
    ("question_mark", "help"),
    ("escape", "help closed"),
    ("colon", "palette"),
    ("escape", "palette closed"),
)
TICKS = ("1", "2", "3", "4", "7")
_ENDLESS = "read_on"
_MOVE = re.compile(r"\x1b\[[0-9;]*[A-DGH]|\r\n|[\r\b]")
_PAINT = re.compile(r"\x1b\[[0-9;]*m")


def counted(text: str) -> dict[str, int]:
    """Return the bytes of what was sent, by what they are for."""
    moves = sum(len(found) for found in _MOVE.findall(text))
    paint = sum(len(found) for found in _PAINT.findall(text))
    whole = len(text.encode())
    return {"bytes": whole, "text": whole - moves - paint, "moves": moves, "colors": paint}


class Counter:
    """Takes what a terminal would be sent for the picture of an app."""

    def __init__(self, app: GeobatchApp, system: ColorSystem) -> None:
        self._app, self._system = app, system
        self._picture = TerminalPicture()

    def take(self) -> dict[str, int]:
        """Count what has changed since the picture before."""
        strips = self._app.screen._compositor.render_strips()  # noqa: SLF001 - as the painter
        text, _ = self._picture.patch(strips, self._system, UNLIMITED, repeats=True)
        return counted(text)


async def settle(pilot: Pilot[None]) -> None:
    """Wait for what a key or a poll began."""
    await pilot.pause()
    waited = [w for w in pilot.app.workers if w.is_running and w.name != _ENDLESS]
    async with asyncio.timeout(60):
        while any(w.is_running for w in waited) and len(pilot.app.screen_stack) == 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await pilot.pause(0.2)  # the log is read by a worker that never ends


def go_on(script: Script, turn: int) -> None:
    """Write what the engine does in a second."""
    script.clock.t += 1
    chunks = range(700 + 12 * turn, 712 + 12 * turn)
    script.start(*chunks)
    script.done(*chunks[:-1])
    script.die(chunks[-1], f"IReadBlock failed at X offset {chunks[-1]}, Y offset 7")
    script.progress(
        chunks_per_s=3.5 + turn % 5,
        units_per_s=1e6 * (1 + turn % 3),
        working=[[n, f"ndvi.tif@18,{turn + n}", 0.2 + 0.3 * n, "chunk"] for n in range(5)],
    )
    with script.state.log.open("a") as file:
        for chunk in chunks[:4]:
            where = {"chunk": f"ndvi.tif@18,{chunk}", "duration_ms": 250 + chunk}
            file.write(log_line("info", "chunk.done", "", **where) + "\n")


async def measured(place: Path, size: tuple[int, int], color: str) -> list[dict[str, object]]:
    """Bytes of a console of one size."""
    clock = Clock()
    script = Script(place / "out", clock)
    busy_run(script)
    link = RunLink(Path("out"), clock=clock)
    link.poll()
    app = GeobatchApp(link, period=None)
    app.shown = link.store.view
    line: dict[str, object] = {"size": f"{size[0]}x{size[1]}", "palette": color}
    rows: list[dict[str, object]] = []
    async with app.run_test(size=size) as pilot:
        app.set_class(color == "256", SLOW_LINE)
        await settle(pilot)
        counter = Counter(app, COLORS[color])
        rows.append(line | {"what": "first picture"} | counter.take())
        for key, name in KEYS:
            await pilot.press(key)
            await settle(pilot)
            rows.append(line | {"what": name} | counter.take())
        for key in TICKS:
            await pilot.press(key)
            await settle(pilot)
            counter.take()
            came = []
            for turn in range(8):
                go_on(script, turn + 8 * TICKS.index(key))
                app.poll()
                await settle(pilot)
                came.append(counter.take())
            mean = {part: round(sum(c[part] for c in came) / len(came)) for part in came[0]}
            rows.append(line | {"what": f"tick on {key}"} | mean)
    link.close()
    script.close()
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Count for each size and each kind of colours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", default="80x24,160x48")
    parser.add_argument("--colors", default="true,256")
    given = parser.parse_args(words)
    resource_tracker.ensure_running()  # a console's own streams have no descriptor for it
    rows = []
    for size in given.sizes.split(","):
        wide, high = (int(part) for part in size.split("x"))
        for color in given.colors.split(","):
            with tempfile.TemporaryDirectory(prefix="geobatch-") as scratch, chdir(scratch):
                os.environ |= {"XDG_CONFIG_HOME": scratch, "XDG_STATE_HOME": scratch}
                rows += asyncio.run(measured(Path(scratch), (wide, high), color))
    print(table(rows))


if __name__ == "__main__":
    main()
