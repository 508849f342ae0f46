"""How much of the screen says something: the share of cells with ink on a live run.

Usage: ``uv run python benchmarks/ink.py [--sizes 80x24,120x36,160x48] [--at 0.3,0.6,0.9] [DIR]``.
Runs the demo in fine pixels in the console, headless, and counts cells of the run screen when so
much of it is done, and when it has ended. A cell has ink if it holds a glyph that is no blank, or a
background that is not that of the row of panels around it. Prints a row a picture: with the frames
of panels, and without them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from measure import table
from screenshots import FINE, fine_job

import geobatch_tui
from geobatch_tui.config.layers import load_job
from geobatch_tui.config.paths import sample_dir
from geobatch_tui.tui.console.app import GeobatchApp
from geobatch_tui.tui.run.host import HostedRun
from geobatch_tui.tui.run.link import RunLink

FRAMES = frozenset("╭╮╰╯─│")
QUIET = ("$background", "$panel", "$surface", "$footer-background")


def ink(app: Any) -> tuple[float, float]:
    """The share of cells with ink, and of those with ink that is no frame."""
    plain = {app.theme_variables.get(name[1:], "").lower() for name in QUIET}
    some = framed = cells = 0
    for line in app.screen._compositor.render_strips():  # noqa: SLF001 - Textual has no other way
        for text, style, _ in line:
            color = style.bgcolor if style is not None else None
            name = color.get_truecolor().hex.lower() if color is not None else ""
            painted = bool(name) and name not in plain
            for glyph in text:
                cells += 1
                if glyph in FRAMES:
                    framed += 1
                elif not glyph.isspace() or painted:
                    some += 1
    return (some + framed) / cells, some / cells


async def measured(
    place: Path, size: tuple[int, int], moments: list[float]
) -> list[dict[str, object]]:
    """Rows of one size."""
    job = fine_job(place, size)
    out = job.parent / "out"
    loaded = load_job(job, overrides=[f"output.dir={out}", f"op.resolution={FINE}"])
    host = HostedRun(out, lambda control: geobatch_tui.run(loaded, control=control))
    host.start()
    host.wait_ready()
    link = RunLink(out, host=host)
    link.poll()
    rows: list[dict[str, object]] = []

    def note(at: str) -> None:
        whole, inside = ink(app)
        rows.append(
            {"size": f"{size[0]}x{size[1]}", "at": at}
            | {"ink": f"{whole:.1%}", "without frames": f"{inside:.1%}"}
        )
        name = f"ink-{size[0]}x{size[1]}-{at.rstrip('%')}.svg"
        (place / name).write_text(app.export_screenshot(), encoding="utf-8")

    app = GeobatchApp(link, period=0.25)
    async with app.run_test(size=size) as pilot:
        for moment in moments:
            while app.shown.settled < moment * max(1, app.shown.counts["total"]):
                await pilot.pause(0.1)
            await pilot.pause(0.3)
            note(f"{moment:.0%}")
        while not host.over:
            await pilot.pause(0.2)
        await pilot.pause(1.5)
        note("end")
    link.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--sizes", default="80x24,120x36,160x48")
    parser.add_argument("--at", default="0.3,0.6,0.9")
    given = parser.parse_args()
    place = Path(given.directory or tempfile.mkdtemp(prefix="geobatch-ink-"))
    samples = sample_dir()
    if samples is None:
        raise SystemExit("the examples are missing")
    shutil.copytree(samples, place, dirs_exist_ok=True)
    os.environ |= {"XDG_STATE_HOME": f"{place}/state", "XDG_CONFIG_HOME": f"{place}/config"}
    os.chdir(place)
    resource_tracker.ensure_running()  # a console's own streams have no descriptor for it
    rows = []
    for text in given.sizes.split(","):
        wide, high = (int(part) for part in text.split("x"))
        moments = [float(part) for part in given.at.split(",")]
        rows += asyncio.run(measured(place, (wide, high), moments))
    print(table(rows))


if __name__ == "__main__":
    main()
