from __future__ import annotations

import asyncio
from multiprocessing import resource_tracker

import pytest
from corpus import corrupt_tile
from scripted_run import until

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.messages import Failure, Outcome
from geobatch_tui.execution.protocol.preview_messages import PreviewReceipt, PreviewTask
from geobatch_tui.orchestration.workers.pool import Answered, Lost
from geobatch_tui.tui.letters.previewer import Previewer, Unseen
from geobatch_tui.tui.widgets.window_preview import (
    NODATA,
    UNREADABLE,
    VALUE,
    captions,
    colour_line,
    fitted,
    glyph_line,
)

PICTURE = PreviewReceipt(1, 1, b"abc", b"\0", {})
TASK = PreviewTask(0, "/data/a.tif", False, {}, None, 0, 160, 96)


class Scripted:
    """A pool that answers with ``answer(pool, worker, task)``."""

    def __init__(self, answer):
        self.answer = answer
        self.spawned = 0
        self.retired = []
        self.killed = []
        self.closed = False

    def __call__(self, scratch):
        self.scratch = scratch
        return self

    def listen(self, callback):
        self.tell = callback

    def spawn(self):
        self.spawned += 1
        return self.spawned

    def submit(self, worker, task):
        asyncio.get_running_loop().call_soon(self.answer, self, worker, task)

    def retire(self, worker):
        self.retired.append(worker)

    def kill(self, worker, cause):
        self.killed.append((worker, cause))

    async def close(self, grace):
        self.closed = True


def done(pool, worker, task):
    pool.tell(Answered(worker, Outcome(task.task_id, PICTURE, None, 0, 0, 0)))


async def test_one_worker_answers_all():
    """The worker is started once, and its files are removed at the end."""
    pool = Scripted(done)
    previewer = Previewer(pool)
    for _ in range(3):
        assert await previewer.look(TASK) == PICTURE
    assert pool.spawned == 1
    await previewer.close()
    assert pool.closed
    assert not pool.scratch.exists()


async def test_a_worker_that_dies_is_replaced():
    """A window that kills its worker says so; the next one has a worker again."""
    failure = Failure("WorkerCrashError", Reaction.POISON, "signal 11", hint="look at it")

    def dies_first(pool, worker, task):
        if worker == 1:
            pool.tell(Lost(worker, task.task_id, (), "signal", failure))
        else:
            done(pool, worker, task)

    previewer = Previewer(Scripted(dies_first))
    assert await previewer.look(TASK) == Unseen("WorkerCrashError: signal 11", "look at it")
    assert await previewer.look(TASK) == PICTURE
    await previewer.close()


async def test_a_task_that_was_given_back_is_asked_again():
    """A worker that is replaced before it came to the task does not cost the picture."""

    def retires_first(pool, worker, task):
        if worker == 1:
            pool.tell(Lost(worker, None, (task.task_id,), "retired", None))
        else:
            done(pool, worker, task)

    previewer = Previewer(Scripted(retires_first))
    assert await previewer.look(TASK) == PICTURE
    await previewer.close()


async def test_a_window_that_hangs_is_given_up():
    """After the limit the worker is killed, and the reason is said."""
    pool = Scripted(lambda *_: None)
    previewer = Previewer(pool, seconds=0.05)
    found = await previewer.look(TASK)
    assert isinstance(found, Unseen)
    assert "within" in found.reason
    assert pool.killed == [(1, "timeout")]
    await previewer.close()


async def test_an_idle_worker_is_let_go():
    """A worker that nobody asks anything keeps no memory and no open file."""
    pool = Scripted(done)
    previewer = Previewer(pool, idle=0.01)
    await previewer.look(TASK)
    await until(lambda: pool.retired)
    assert pool.retired == [1]
    await previewer.close()


async def test_a_caller_that_leaves_gives_up_its_turn():
    """The cursor moved on: the next letter is not kept waiting by the one before."""
    answered = []

    def slow(pool, worker, task):
        if answered or task.band == 2:
            done(pool, worker, task)

    pool = Scripted(slow)
    previewer = Previewer(pool)
    first = asyncio.ensure_future(previewer.look(TASK))
    await until(lambda: pool.spawned)
    first.cancel()
    from dataclasses import replace

    assert await asyncio.wait_for(previewer.look(replace(TASK, band=2)), 5) == PICTURE
    await previewer.close()


async def test_a_real_worker_reads_a_damaged_window(tmp_path):
    """In a process of its own a damaged file gives a picture with its damage, a missing one a
    reason."""
    resource_tracker.ensure_running()
    previewer = Previewer()
    path = corrupt_tile(tmp_path)
    found = await previewer.look(PreviewTask(0, str(path), False, {}, None, 0, 32, 32))
    assert isinstance(found, PreviewReceipt), found
    assert found.marks.count(UNREADABLE) == 64
    gone = await previewer.look(PreviewTask(0, str(tmp_path / "no.tif"), False, {}, None, 0, 9, 9))
    assert isinstance(gone, Unseen)
    assert gone.reason.startswith("SourceNotFoundError")
    await previewer.close()


# --- the picture on the screen -------------------------------------------------------------------


def picture(width, height, marks=()):
    pixels = b"".join(
        bytes([x * 255 // max(width - 1, 1)] * 3) for _ in range(height) for x in range(width)
    )
    state = bytearray(width * height)
    for x, y, mark in marks:
        state[y * width + x] = mark
    return PreviewReceipt(width, height, pixels, bytes(state), {})


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((100, 50), (50, 50), (50, 25)),
        ((100, 50), (20, 2), (4, 2)),
        ((10, 10), (35, 44), (30, 30)),
        ((1, 100), (10, 10), (1, 10)),
    ],
)
def test_picture_keeps_its_proportions(size, room, expected):
    """It shrinks by any factor, and grows by whole ones."""
    rows = fitted(picture(*size), *room)
    assert (len(rows[0]), len(rows)) == expected
    assert all(len(row) == expected[0] for row in rows)


def test_shrinking_hides_no_damage():
    """One pixel that cannot be read marks the larger pixel that stands for it."""
    rows = fitted(picture(100, 100, [(57, 33, UNREADABLE)]), 10, 10)
    assert rows[3][5][1] == UNREADABLE
    assert sum(pixel[1] == UNREADABLE for row in rows for pixel in row) == 1


def test_marks_are_told_without_colour():
    """Unreadable, nodata and dark each have a character of their own."""
    upper = [(0, VALUE), (0xFFFFFF, VALUE), (0, NODATA), (0, UNREADABLE)]
    assert glyph_line(upper, upper).plain == " @·?"
    assert colour_line(upper, upper).plain == "▀▀·?"
    assert colour_line(upper, None).plain == "▀▀·?"
    mixed = [(0x808080, VALUE)] * 4
    assert colour_line(upper, mixed).plain == "▀▀▄▀"


def test_captions_tell_damage_first():
    """What cannot be read comes before the band and its range."""
    facts = {
        "window": [1, 2, 3, 4], "size": [10, 20], "bands": [1, 2, 3], "count": 4,
        "dtype": "uint8", "nodata": None, "block": [256, 1], "low": [1.0, 2.0, 3.0],
        "high": [250.0, 251.0, 252.0], "bad_blocks": 2, "error": "x",
    }  # fmt: skip
    said = captions(PreviewReceipt(2, 1, b"abcdef", b"\0\1", facts))
    assert said[0] == "? 2 blocks unreadable"
    assert "bands 1,2,3 as RGB uint8" in said
    assert "p2-98 1 to 252" in said
    assert "· masked" in said
    assert "3x4 at 1,2" in said
    nothing_read = captions(PreviewReceipt(2, 1, b"abcdef", b"\2\2", facts))
    assert "p2-98" not in " ".join(nothing_read)
