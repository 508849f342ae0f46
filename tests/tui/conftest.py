"""A run by script: a ledger that a test writes, and a store that reads it at a fake time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import forked_command
import pseudo_terminal
import pytest
from textual import _wait, screen
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.tui.run.store import RunStore

JOB = {"job": {"job": {"name": "relief"}, "op": {"name": "raster.reproject"}}}
T0 = 1_795_000_000.0

# A pilot waits until the process has been idle for a while, after each key twice: 20 ms were most
# of the time of these tests.
_wait.SLEEP_GRANULARITY = 0.004
_wait.SLEEP_IDLE = 0.001
# Consoles paint less often by themselves. In this process a pilot's pause asks for the picture, and
# Textual has read the variable already.
screen.UPDATE_PERIOD = 1 / 10
os.environ.setdefault("TEXTUAL_FPS", "20")
pseudo_terminal.begin = forked_command.begin_on_terminal
_parse_rules = Stylesheet._parse_rules
_parsed: dict[tuple[Any, ...], list[RuleSet]] = {}


@wraps(_parse_rules)
def _parse_once(sheet: Stylesheet, *source: Any, **more: Any) -> list[RuleSet]:
    """Parse a style sheet as the first console of this process did: that is a sixth of these tests."""
    key = source, tuple(more.items()), frozenset(sheet._variables.items())
    if key not in _parsed:
        _parsed[key] = _parse_rules(sheet, *source, **more)
    return _parsed[key]


Stylesheet._parse_rules = _parse_once


class Clock:
    """A UNIX time that moves when it is told to."""

    def __init__(self, t: float = T0) -> None:
        self.t = t

    def __call__(self) -> float:
        return self.t


class Script:
    """Writes a ledger as an engine would. ``clock`` is also the ledger's time."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.clock = clock
        self.state = StateDir.open(directory, create=True)
        self.ledger = Ledger.open(self.state.ledger, directory)
        self.lock = RunLock.acquire(self.state.lock, run_id="run-1", t0=clock.t, host="node-1")
        self.ledger.begin_run("run-1", JOB, {"gdal": "3.12"})
        self.live = True

    def keep_events(self, number: int) -> None:
        """Go on with a ledger that keeps about so many events."""
        self.ledger.close(archive=False)
        self.ledger = Ledger.open(self.state.ledger, self.state.output_dir, ring=number)
        self.ledger.begin_run("run-1", JOB, {"gdal": "3.12"})

    def put(self, *updates: lu.Update) -> None:
        self.ledger.apply(updates)

    def plan(
        self,
        item_id: int,
        first: int,
        columns: int = 1,
        rows: int = 1,
        *,
        size: int = 256,
        key: str = "",
        bounds: Sequence[float] = (11.0, 47.0, 12.0, 48.0),
        **changes: Any,
    ) -> lu.ItemRow:
        """An item of ``columns`` x ``rows`` chunks from chunk ``first``."""
        key = key or f"{item_id}.tif"
        facts: dict[str, Any] = {
            "item_id": item_id,
            "key": key,
            "source": f"/data/{key}",
            "src_size": 10,
            "src_mtime_ns": 20,
            "src_digest": "a" * 32,
            "params_digest": "b" * 32,
            "code_digest": "c" * 32,
            "fingerprint": "d" * 32,
            "params": {"crs": "EPSG:6933"},
            "plan": {
                "grid": {
                    "width": columns * size - 7,
                    "height": rows * size - 5,
                    "chunk_width": size,
                    "chunk_height": size,
                },
                "bounds_lonlat": list(bounds),
                "notes": {},
            },
            "out_path": str(self.state.output_dir / key),
            "first_chunk": first,
            "n_chunks": columns * rows,
        }
        item = lu.ItemRow(**(facts | changes))
        self.put(lu.ItemPlanned(item))
        return item

    def start(self, *chunks: int) -> None:
        self.put(*(lu.ChunkStarted(chunk) for chunk in chunks))

    def done(self, *chunks: int, item: int = 1, **changes: Any) -> None:
        facts: dict[str, Any] = {
            "item_id": item,
            "attempts": 1,
            "spool": "1-99-1.spool",
            "offset": 0,
            "length": 100,
            "crc32": 1,
            "units": 65_536,
            "bytes_in": 1000,
            "bytes_out": 100,
            "seconds": 0.25,
            "nodata": 0.5,
            "rss_peak": 1 << 20,
        }
        self.put(*(lu.ChunkDone(chunk_id=chunk, **(facts | changes)) for chunk in chunks))

    def die(
        self,
        chunk_id: int | None,
        message: str = "IReadBlock failed at X offset 3, Y offset 7",
        *,
        item: int = 1,
        error: str = "CorruptSourceError",
        **record: Any,
    ) -> None:
        place = f"{item}.tif" if chunk_id is None else f"{item}.tif@0,{chunk_id}"
        facts = {
            "item": f"{item}.tif",
            "chunk": None if chunk_id is None else place,
            "error_class": error,
            "error_message": message,
            "stage": "read",
            "source": f"/data/{item}.tif",
            "suggestion": "fetch the file again",
        }
        self.put(lu.DeadLetter(item, chunk_id, 3, 0, error, facts | record))

    def progress(self, **data: Any) -> None:
        facts = {
            "chunks_per_s": 3.5,
            "units_per_s": 2.1e6,
            "bytes_in_per_s": 1.4e9,
            "bytes_out_per_s": 3.1e8,
            "eta_s": 1120.0,
            "rss_bytes": 2 << 30,
            "suspended": "",
            "state": "running",
        }
        self.put(lu.Noted("progress", facts | data))

    def end(self, state: str = "success", code: int = 0, reason: str = "complete") -> None:
        self.put(lu.RunEnded(state, code, reason))
        self.release()

    def release(self) -> None:
        """Let the lock go, as a process that died would."""
        if self.live:
            self.lock.release()
            self.live = False

    def close(self) -> None:
        self.release()
        self.ledger.close(archive=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of ledger and store."""
    clock = Clock()
    monkeypatch.setattr("geobatch_tui.ledger.write.writer.time.time", clock)
    return clock


@pytest.fixture
def script(tmp_path: Path, clock: Clock) -> Iterator[Script]:
    script = Script(tmp_path / "out", clock)
    yield script
    script.close()


@pytest.fixture
def store(script: Script, clock: Clock) -> Iterator[RunStore]:
    with RunStore(script.state.output_dir, clock) as store:
        yield store


@pytest.fixture
def utc() -> Iterator[None]:
    """Local time is UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def console(
    script: Script, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, utc: None
) -> Iterator[Callable[..., Any]]:
    """``console()`` makes the console on the scripted run; it polls when a test says so. Where the
    screen of ``mode`` is tried, it opens with that: the run's screen is half of a short test."""
    from geobatch_tui.tui.console.app import GeobatchApp
    from geobatch_tui.tui.run.link import RunLink

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    # No runs of other tests in the history.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setattr("geobatch_tui.tui.widgets.overview.__version__", "1.0")
    # Folders of tests have another name each time, which no picture may show.
    monkeypatch.setattr("geobatch_tui.tui.console.app.GeobatchApp.place", "attached  out")
    links = []

    def make(mode: str = "run", **options: Any) -> GeobatchApp:
        monkeypatch.setattr(GeobatchApp, "DEFAULT_MODE", mode)
        link = RunLink(Path("out"), clock=clock, **options)
        links.append(link)
        link.poll()
        app = GeobatchApp(link, period=None)
        app.shown = link.store.view
        return app

    yield make
    for link in links:
        link.close()
