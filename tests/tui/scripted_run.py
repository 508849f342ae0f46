"""A scripted run in the middle of its work, what its console shows, and how pictures are chosen."""

from __future__ import annotations

import asyncio

import pytest

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.parts.dialogs import Question

#: Each size, and each theme, once: the size decides where things are, the theme their colours.
LOOKS = (
    ("terminal", (80, 24)),
    ("day", (120, 30)),
    ("night", (160, 48)),
)


def pictured(looks=LOOKS):
    """Parametrise a test of a picture by ``theme`` and ``size``."""
    return pytest.mark.parametrize(
        ("theme", "size"),
        [pytest.param(theme, size, id=f"{theme}-{size[0]}x{size[1]}") for theme, size in looks],
    )


def shown(app):
    """Return the text on the screen, a line each."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


async def until(condition):
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the console's own loop has no event for it
            await asyncio.sleep(0.01)


async def asked(app):
    """Wait until a question is on the terminal: it takes no answer that was typed before."""
    await dialog_seen(app, Question)


async def dialog_seen(app, dialog):
    """Wait until a dialog is on the terminal: some keys that were typed before do nothing there."""
    await until(lambda: isinstance(app.screen, dialog) and app.screen.was_seen)


def busy_run(script):
    """A run in the middle: workers at work, letters of three causes, a retry, a paused disk."""
    script.plan(1, 1, 40, 30, key="ndvi.tif", bounds=[7.0, 46.0, 12.0, 49.5])
    script.plan(2, 1201, 10, 10, key="scl.tif", bounds=[12.5, 46.5, 14.0, 48.0])
    script.put(lu.Noted("run.planned", {"current": 40}))
    script.progress(chunks_per_s=0.0)
    for step in range(30):
        script.clock.t += 2
        script.progress(
            chunks_per_s=2 + step % 7, units_per_s=1e6 * (1 + step % 5), bytes_in_per_s=3e8 + step
        )
    script.start(*range(1, 700))
    script.done(*range(1, 640))
    for chunk in range(640, 671):
        script.die(chunk, f"IReadBlock failed at X offset {chunk}, Y offset 7")
    for chunk in range(671, 683):
        script.die(chunk, "out of memory", error="MemoryBudgetError", source=f"/data/{chunk}.tif")
    script.die(None, "/data/scl.tif is cut off at 300004 bytes", item=2)
    script.put(lu.ChunkWaiting(690, 1, 0, 0, script.clock.t + 4, "RemoteIOError", "HTTP 503"))
    script.put(*(lu.ChunkReleased(chunk) for chunk in range(683, 690)))
    working = [[n, f"ndvi.tif@17,{n + 20}", 0.4 + n * 1.7, "chunk"] for n in range(5)]
    working[3][2] = 75.0
    script.progress(
        chunks_per_s=3.5,
        working=working,
        workers={
            str(n): {"pid": 23110 + n, "rss": 900_000_000 - n * 10**7}
            | ({"done": 130 + n, "failed": n % 3} if n != 4 else {})
            for n in range(6)
        },
    )
    log = script.state.log
    lines = [
        ("info", "run.start", "run started", {}),
        ("info", "chunk.done", "", {"chunk": "ndvi.tif@17,19", "duration_ms": 2310}),
        (
            "warning",
            "chunk.retry",
            "",
            {
                "chunk": "ndvi.tif@17,9",
                "error_class": "RemoteIOError",
                "error_message": "HTTP 503 /vsis3/s2-l2a/T32UPU/B08.tif",
            },
        ),
        (
            "error",
            "chunk.dead",
            "",
            {
                "chunk": "ndvi.tif@16,2",
                "error_class": "CorruptSourceError",
                "error_message": "IReadBlock failed at X offset 642",
            },
        ),
    ]
    with log.open("w") as file:
        for level, event, message, fields in lines:
            file.write(log_line(level, event, message, **fields) + "\n")


def log_line(level, event, message="", **fields):
    """A line of the log, at a fixed time."""
    import json

    head = {"time": "2026-11-24T12:04:30.123Z", "level": level, "logger": "geobatch"}
    return json.dumps(head | {"message": message, "event": event} | fields)
