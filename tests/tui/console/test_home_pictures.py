"""Pictures of history and form, at all sizes, dark, light, in 16 colours and without any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import textual
from scripted_run import pictured

from geobatch_tui.config.layers import make_job
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.ledger.read.reader import RunRow
from geobatch_tui.orchestration.dry_run import Trial, TriedChunk
from geobatch_tui.orchestration.plan.plan_report import ItemReason, PlanReport
from geobatch_tui.tui.console.app import HomeApp
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.run.past_runs import PastRun
from geobatch_tui.tui.run.run_failures import Failure, FailureChanges
from geobatch_tui.tui.screens.job_form import ConfigScreen

KNOWN = "8.2.8"

pytestmark = pytest.mark.skipif(
    textual.__version__ != KNOWN, reason=f"pictures were made with textual {KNOWN}"
)

CHANGES = FailureChanges(
    (Failure("S2B_32TPS_[b].tif@18,4", -1, "MemoryBudgetError", "worker took more than 1.0 GiB"),),
    (
        Failure("S2A_31TGJ.tif@2,7", -1, "CorruptSourceError", "TIFFFillTile: read error"),
        Failure("S2A_31TGJ.tif@2,8", -1, "CorruptSourceError", "TIFFFillTile: read error"),
    ),
    12,
)


def kept(resampling="cubic"):
    """A job as a ledger keeps it."""
    return make_job(
        {
            "job": {"name": "ndvi_s2"},
            "source": {"inputs": ["/data/s2/*.tif"]},
            "op": {"name": "raster.reproject", "dst_crs": "EPSG:6933", "resampling": resampling},
            "output": {"dir": "/data/out/ndvi_s2"},
        }
    ).to_json()


def past(number, state, done, dead, resampling="cubic"):
    """A run of a made-up history; all lie in one year that is over."""
    t0 = 1_600_000_000.0 - 90_000 * number
    t1 = None if state == "running" else t0 + 4000 + 137 * number
    row = RunRow(
        epoch=number,
        run_id=f"20200913T120000Z-{number:08x}",
        state=state,
        t0=t0,
        t1=t1,
        exit_code=0 if state == "success" else None,
        reason="complete" if state == "success" else "",
        job=kept(resampling),
        versions={"gdal": "3.12.1"},
        n_done=done,
        n_dead=dead,
        n_retry=3,
        units=1,
        bytes_in=10**9,
        bytes_out=10**8,
        seconds=9000.0,
    )
    return PastRun(
        Path(f"/data/out/ndvi_s2_{number}"), row, state, True, 40, dead, done + dead + 40
    )


@pytest.fixture
def home(monkeypatch, tmp_path, utc):
    """The console without a run, on a made-up history."""
    runs = [
        past(0, "running", 9408, 47),
        past(1, "interrupted", 6150, 2),
        past(2, "success", 14903, 0, "bilinear"),
        past(3, "partial", 14871, 32),
        past(4, "crashed", 12, 0),
    ]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("geobatch_tui.tui.screens.history.known", list)
    monkeypatch.setattr("geobatch_tui.tui.screens.history.gather", lambda *_: runs)
    monkeypatch.setattr("geobatch_tui.tui.screens.history.read_changes", lambda *_: CHANGES)

    def make(mode="history"):
        monkeypatch.setattr(HomeApp, "DEFAULT_MODE", mode)
        return HomeApp(watching=False)

    return make


async def show_history(pilot):
    """Two runs compared, with their failures."""
    await pilot.app.workers.wait_for_complete()
    await pilot.press("down", "down", "space", "down")
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def show_form(pilot):
    """A job with one value edited, and one that is wrong."""
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, ConfigScreen)
    draft = Draft.of_run(kept()).put("engine.chunk_cols", "1024").put("engine.max_workers", "-1")
    screen.edit(draft)
    screen.list.go("engine.max_workers")
    screen.list.renew()
    await pilot.press("down", "up")
    await pilot.pause()


@pictured()
def test_history(snap_compare, home, monkeypatch, theme, size):
    """Runs, and what differs between two of them."""
    monkeypatch.setenv("TEXTUAL_THEME", theme)
    assert snap_compare(home(), terminal_size=size, run_before=show_history)


@pictured()
def test_form(snap_compare, home, monkeypatch, theme, size):
    """The form; beside it, where there is room, what is wrong."""
    monkeypatch.setenv("TEXTUAL_THEME", theme)
    assert snap_compare(home("config"), terminal_size=size, run_before=show_form)


def planned():
    """A plan of two items, one of them begun under another value, and of one that was refused."""
    report = PlanReport(8, "/data/out/ndvi_s2", free_bytes=1_100_000_000_000)
    for key, columns, rows, reason, bounds in (
        ("T32TLS.tif", 24, 18, "param_changed", (7.0, 46.0, 9.5, 48.0)),
        ("T32TMS.tif", 24, 18, "new", (9.5, 46.0, 12.0, 48.0)),
    ):
        grid = ChunkGrid(columns, rows, 1, 1)
        report.entries.append(ItemReason(key, (grid,), reason, "", None, bounds))
        report.reasons[reason] += len(grid)
        report.chunks += len(grid)
    report.entries.append(
        ItemReason("T32TNS.tif", (ChunkGrid(1, 1, 1, 1),), "new", "", None, None, refused=True)
    )
    report.reasons["new"] += 1
    report.chunks += 1
    report.items = 3
    report.changed["op.resampling"] = 432
    report.peak_memory_bytes, report.output_bytes = 10_500_000_000, 212_000_000_000
    report.refused.append(
        {
            "item": "T32TNS.tif",
            "error_class": "CorruptSourceError",
            "error_message": "T32TNS.tif is cut off",
        }
    )
    return report


@pytest.fixture
def forecaster(monkeypatch):
    """Plans and dry runs that are made up."""
    report = planned()

    async def plan(loaded):
        return report

    monkeypatch.setattr("geobatch_tui.plan", plan)

    async def dry_run(loaded, chosen, todo, tell):
        chunks = [
            TriedChunk(
                key,
                index,
                f"{key}@{index // 24},{index % 24}",
                1.5 + index / 99,
                310 << 20,
                200 << 20,
            )
            for key, numbers in chosen.items()
            for index in numbers
        ]
        dead = replace(chunks[4], seconds=None, error="CorruptSourceError: IReadBlock failed")
        return Trial((*chunks[:4], dead, *chunks[5:]), todo, 8, "partial", 12)

    monkeypatch.setattr("geobatch_tui.tui.widgets.plan_pane.dry_run", dry_run)


async def show_dry_run(pilot):
    """A job, its plan, and what a dry run found."""
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, ConfigScreen)
    screen.edit(Draft.of_run(kept()))
    await pilot.press("d")
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pictured(
    [
        ("night", (160, 48)),
        ("terminal", (120, 30)),
        ("", (80, 24)),
    ]
)
def test_dry_run(snap_compare, home, forecaster, monkeypatch, theme, size):
    """The planned chunks on a map, those that were tried, and what the whole will take."""
    monkeypatch.setenv("TEXTUAL_THEME" if theme else "NO_COLOR", theme or "1")
    assert snap_compare(home("config"), terminal_size=size, run_before=show_dry_run)


@pytest.mark.parametrize(
    ("mode", "show", "size"),
    [("history", show_history, (80, 24)), ("config", show_form, (160, 48))],
    ids=["show_history-80x24", "show_form-160x48"],
)
def test_without_colors(snap_compare, home, monkeypatch, mode, show, size):
    """With NO_COLOR marks stand for what colours say elsewhere."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(home(mode), terminal_size=size, run_before=show)
