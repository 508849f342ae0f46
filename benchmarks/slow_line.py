"""The console of a live run on a slow line: bytes a second, and seconds from a key to its picture.

Usage: ``uv run python benchmarks/slow_line.py [--rates 5000,1500] [--size 80x24] [--swallows N]``

A pty whose reader takes so many bytes a second, as a terminal behind a slow line does, and answers
what a terminal is asked when it gets there. ``--swallows`` bytes are taken at once, as the buffers
of sshd and of the network do; with 0 only the pty's own are there. The run does nothing 80 times a
second. Seconds are taken until the title of what a key asks for is on the screen, or gone from it;
of another screen, also until the last line of its picture is there.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import statistics
import sys
import tempfile
import time
from codecs import getincrementaldecoder
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console import OPS, noop
from measure import ROOT, table

sys.path.insert(0, str(ROOT / "tests" / "tui"))
from cell_screen import CellScreen
from pseudo_terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STEP = 0.02  #: seconds between two looks
PATIENCE = 60.0
KEYS = (
    (b"?", "Help  Run", True, ""),
    (b"\x1b", "Help  Run", False, ""),
    (b"5", "─ Runs", True, "^r Resume"),
    (b"1", "RUNNING", True, "u Units"),
    (b":", "Search", True, ""),
    (b"\x1b", "Search", False, ""),
    (b"7", "─ Chunks", True, "g Items/chunks"),
    (b"2", "─ Chunks", False, "m Mode"),
    (b"1", "RUNNING", True, "u Units"),
)
"""A key, a text, and whether the key brings it or takes it away: titles, which come first. Then a
text of the last line of another screen, which comes last: with it the picture is whole."""


class Line:
    """A line of so many bytes a second between a console and a terminal."""

    def __init__(self, shown: Any, rate: float, swallows: int, size: tuple[int, int]) -> None:
        self.shown, self.rate, self.swallows = shown, rate, swallows
        self.screen: Any = CellScreen(*size)
        self.came = 0
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._under_way: deque[bytes] = deque()
        self._queued = 0
        self._credit = 0.0
        self._last = time.monotonic()
        self._answered = 0
        self.text = ""

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Let bytes pass for so long, or until something holds; the seconds that it took."""
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + seconds and not until():
            self._credit = min(self._credit + self.rate * (now - self._last), self.rate * 0.1)
            self._last = now
            self._pass()
            time.sleep(STEP)
        return time.monotonic() - begun

    def until_shown(self, text: str, *, there: bool = True) -> float:
        """Wait until a text is on the screen, or no longer; the seconds that it took."""
        return self.run(PATIENCE, lambda: self.screen.shows(text) is there)

    def _pass(self) -> None:
        """Take from the pty what there is room for, and give the terminal what has arrived."""
        while (room := int(self.swallows + self._credit) - self._queued) > 0:
            if not select.select([self.shown.primary], [], [], 0)[0]:
                break
            try:
                block = os.read(self.shown.primary, min(room, 65536))
            except OSError:
                return
            if not block:
                return
            self._under_way.append(block)
            self._queued += len(block)
        while self._under_way and self._credit >= 1:
            block = self._under_way.popleft()
            now, rest = block[: int(self._credit)], block[int(self._credit) :]
            if rest:
                self._under_way.appendleft(rest)
            self._credit -= len(now)
            self._queued -= len(now)
            self.came += len(now)
            text = self._decode(now)
            self.text += text
            self.screen.feed(text)
        for row, column in self.screen.asked[self._answered :]:
            self._answered += 1
            self.shown.type(f"\x1b[{row};{column}R".encode())


def measured(place: Path, rate: float, swallows: int, size: tuple[int, int]) -> dict[str, Any]:
    """Figures of one line."""
    noop(place, chunks=60_000, milliseconds=25)
    words = ["-m", "geobatch_tui", "run", str(place / "job.toml")]
    shown = Terminal(words, place, columns=size[0], rows=size[1], **OPS)
    line = Line(shown, 1e6, swallows, size)
    took: dict[str, Any] = {}
    missing = 0
    try:
        line.run(60, lambda: line.screen.shows("RUNNING"))
        line.run(6)
        line.rate = rate
        before, begun = line.came, time.monotonic()
        line.run(20)
        sent = (line.came - before) / (time.monotonic() - begun)
        seconds, whole = [], []
        for turn in range(2):
            for key, text, there, last in KEYS:
                line.run(1.3 + 0.4 * turn)
                shown.type(key)
                seconds.append(line.until_shown(text, there=there))
                if last:
                    whole.append(seconds[-1] + line.until_shown(last))
                missing += seconds[-1] >= PATIENCE
        worst = max(range(len(seconds)), key=seconds.__getitem__)
        took = {
            "median s": statistics.median(seconds),
            "worst s": seconds[worst],
            # By its name and turn: a screen is made in the first one.
            "worst key": f"{KEYS[worst % len(KEYS)][0]!r} {worst // len(KEYS) + 1}",
            "whole s": statistics.median(whole),
            "worst whole s": max(whole),
        }
        line.run(2)
        shown.type(b"q")
        asked = line.until_shown("What becomes")
        line.until_shown("keep watching")
        line.run(0.5)  # a question takes no answer that was typed before it was read
        shown.type(b"\r")
        left = line.run(PATIENCE, lambda: "kill -INT" in line.text.rpartition("\x1b[?1049l")[2])
        took |= {"q to question s": asked, "enter to prompt s": left, "never": missing}
    finally:
        line.rate = 1e6
        line.run(0.5)
        shown.close()
        end(line.text)
    how = {"line B/s": rate, "swallows": swallows, "bytes/s": sent}
    return how | took


def end(text: str) -> None:
    """Stop the run that was left."""
    found = re.search(r"kill -INT (\d+)", text)
    if found is None:
        return
    os.kill(int(found[1]), signal.SIGINT)
    until = time.monotonic() + 30
    while Path(f"/proc/{found[1]}").exists() and time.monotonic() < until:
        time.sleep(0.1)


def main(words: Sequence[str] | None = None) -> None:
    """Measure each line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rates", default="5000,1500")
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--swallows", default="0,262144")
    given = parser.parse_args(words)
    wide, high = (int(part) for part in given.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="geobatch-line-") as scratch:
        lines = [
            measured(Path(scratch) / f"{rate}-{swallows}", float(rate), int(swallows), (wide, high))
            for rate in given.rates.split(",")
            for swallows in given.swallows.split(",")
        ]
    print(table(lines))


if __name__ == "__main__":
    main()
