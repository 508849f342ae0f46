"""Pictures of the console for the README, exported by itself, on all of its screens.

Usage: ``uv run python benchmarks/screenshots.py [DIR]``. Makes DIR, runs the examples there, writes
``docs/screenshots/NAME-WxH.svg``, and removes DIR again. The pictures name it; the default is
``/tmp/geobatch-demo``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distributed
import tifffile
from measure import ROOT

import geobatch_tui
from geobatch_tui.config.layers import load_job
from geobatch_tui.config.paths import sample_dir
from geobatch_tui.tui.console.app import GeobatchApp, HomeApp
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.run.host import HostedRun
from geobatch_tui.tui.run.link import RunLink

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = ROOT / "docs" / "screenshots"
SIZES = ((80, 24), (160, 48))
FINE = "[900, 900]"  #: metres of a pixel, a quarter of the source's
#: job, ``--set``: the earlier runs of the history, oldest first. The first one compiles what the
#: pictured runs take: that would be most of their time.
RUNS = (
    ("demo.toml", (f"op.resolution={FINE}",)),
    ("make-valid.toml", ()),
    ("clip.toml", ()),
    ("web.toml", ()),
    ("demo.toml", ("op.resampling=bilinear",)),
    ("demo.toml", ()),
)


async def history(place: Path) -> None:
    """Real runs, one of them with a broken file."""
    for name, overrides in RUNS:
        job = place / name
        loaded = load_job(job, overrides=[*overrides, f"output.dir={place / 'out' / job.stem}"])
        result = await geobatch_tui.run(loaded)
        print(f"{name}: {result.state}")


async def picture(app: Any, name: str, size: tuple[int, int], keys: Sequence[str]) -> None:
    """Press keys, wait for what they began, and export what is shown."""
    async with app.run_test(size=size) as pilot:
        await app.workers.wait_for_complete()
        if name == "job":
            await app.switch_mode("config")
            edits = {"op.resampling": "lanczos", "output.dir": "out/demo"}
            draft = Draft.of_file(Path("demo.toml"))
            for key, text in edits.items():
                draft = draft.put(key, text)
            app.screen_stack[0].edit(draft)
            app.screen_stack[0].list.go("op.resampling")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause(0.2)
        save(app, name, size)


def fine_job(place: Path, size: tuple[int, int]) -> Path:
    """The demo in fine pixels, so that it lasts, with a damaged tile in one of its files."""
    home = place / f"fine-{size[0]}"
    shutil.copytree(Path("data"), home / "data")
    torn = home / "data" / "alps.tif"
    with tifffile.TiffFile(torn) as file:
        page = file.pages[0]
        begin, count = page.dataoffsets[7], page.databytecounts[7]
    content = bytearray(torn.read_bytes())
    content[begin : begin + count] = bytes(count)
    torn.write_bytes(content)
    return Path(shutil.copy("demo.toml", home / "demo.toml"))


async def live(place: Path, size: tuple[int, int]) -> None:
    """A run in the console: at a glance and on the map while it goes on; its log and its dead
    letters when it has ended."""
    job = fine_job(place, size)
    out = job.parent / "out"
    loaded = load_job(job, overrides=[f"output.dir={out}", f"op.resolution={FINE}"])
    host = HostedRun(out, lambda control: geobatch_tui.run(loaded, control=control))
    host.start()
    host.wait_ready()
    link = RunLink(out, host=host)
    link.poll()
    app = GeobatchApp(link, period=0.25)
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot, 0.4)
        save(app, "run", size)
        await pilot.press("2")
        await pilot.pause(1.5)
        save(app, "map", size)
        while not host.over:
            await pilot.pause(0.2)
        await pilot.press("4")
        await pilot.pause(2)
        save(app, "log", size)
        await pilot.press("3")
        await pilot.pause(0.5)
        await pilot.press("g", "g", "n", "n")
        await pilot.pause(8)  # the window is read by a worker that starts now
        save(app, "dead", size)
        await pilot.press("7")
        await pilot.pause(2)
        save(app, "units", size)
        await pilot.press("t")
        await pilot.pause(12)
        await pilot.press("space")
        await pilot.pause(0.5)
        save(app, "replay", size)
        await pilot.press("escape")
    link.close()


async def clustered(place: Path, size: tuple[int, int]) -> None:
    """A run on three nodes, one of which is killed meanwhile, in the console."""
    job = fine_job(place / "clustered", size)
    out = job.parent / "out"
    with distributed.LocalCluster(
        n_workers=3,
        threads_per_worker=2,
        memory_limit="3GiB",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        values = [f"output.dir={out}", f"op.resolution={FINE}", "engine.executor=dask"]
        values.append(f"dask.cluster={cluster.scheduler_address}")
        loaded = load_job(job, overrides=values)
        host = HostedRun(out, lambda control: geobatch_tui.run(loaded, control=control))
        host.start()
        host.wait_ready()
        link = RunLink(out, host=host)
        link.poll()
        app = GeobatchApp(link, period=0.25)
        async with app.run_test(size=size) as pilot:
            await settled(app, pilot, 0.25)
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
            await settled(app, pilot, 0.5)
            await pilot.pause(2)
            save(app, "cluster", size)
            while not host.over:
                await pilot.pause(0.2)
        link.close()


async def settled(app: Any, pilot: Any, share: float) -> None:
    """Wait until so much of the run is settled."""
    while app.shown.settled < share * max(1, app.shown.counts["total"]):
        await pilot.pause(0.1)


def save(app: Any, name: str, size: tuple[int, int]) -> None:
    """Export what is shown."""
    target = TARGET / f"{name}-{size[0]}x{size[1]}.svg"
    target.write_text(app.export_screenshot(title="geobatch"), encoding="utf-8")
    print(target.relative_to(ROOT))


def main() -> None:
    """Run the examples, then take the pictures."""
    place = Path(sys.argv[1] if len(sys.argv) > 1 else f"{tempfile.gettempdir()}/geobatch-demo")
    samples = sample_dir()
    if samples is None:
        raise SystemExit("the examples are missing")
    if place.exists():
        raise SystemExit(f"{place} is there already: remove it, or name another directory")
    shutil.copytree(samples, place)
    os.environ |= {"XDG_STATE_HOME": f"{place}/state", "XDG_CONFIG_HOME": f"{place}/config"}
    os.environ["HOME"] = str(place / "home")
    os.chdir(place)
    resource_tracker.ensure_running()  # a console's own streams have no descriptor for it
    asyncio.run(history(place))
    for size in SIZES:
        asyncio.run(live(place, size))
        asyncio.run(clustered(place, size))
        asyncio.run(picture(HomeApp(watching=False), "history", size, ("space", "down")))
        asyncio.run(picture(HomeApp(watching=False), "job", size, ("down", "up", "d")))
        link = RunLink(place / "out" / "demo")
        link.poll()
        app = GeobatchApp(link, period=None)
        app.shown = link.store.view
        asyncio.run(picture(app, "help", size, ("3", "question_mark")))
        link.close()
    os.chdir(ROOT)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
