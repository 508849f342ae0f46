"""A real terminal for a test: a pty, a process of its own on it, and what it painted."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

from cell_screen import CellScreen

ROOT = __file__.rpartition("/tests/")[0]


class Terminal:
    """A process on a terminal of its own, as the leader of a session."""

    def __init__(self, words, cwd, *, columns=100, rows=30, **env):
        self.output = b""
        self._screen = CellScreen(columns, rows)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pid, self.primary = pty.fork()
        if pid == 0:
            os.chdir(cwd)
            base = {
                key: value
                for key, value in os.environ.items()
                if key not in {"NO_COLOR", "COLUMNS", "LINES"} and not key.startswith("GEOBATCH_")
            }
            search = os.pathsep.join([ROOT, f"{ROOT}/tests/tui"])
            facts = {"TERM": "xterm-256color", "PYTHONPATH": search, "XDG_CONFIG_HOME": str(cwd)}
            os.execvpe(sys.executable, [sys.executable, *words], base | facts | env)  # noqa: S606
        self.pid = pid
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.code = None

    def read(self, seconds):
        """Read for so long; what came."""
        until, came = time.monotonic() + seconds, b""
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.primary], [], [], min(left, 0.1))[0]:
                continue
            try:
                block = os.read(self.primary, 65536)
            except OSError:
                break
            if not block:
                break
            came += block
        self.output += came
        self._screen.feed(self._decoder.decode(came))
        return came

    def lines(self):
        """What each line of the screen shows."""
        return self._screen.lines()

    def shows(self, text):
        """Whether a line of the screen has the text: cells that had its glyphs before are not sent
        again, so it may not stand in the output as one."""
        return self._screen.shows(text)

    def wait_for(self, text, seconds=60.0):
        """Read until the text was painted; fails if it is not."""
        until = time.monotonic() + seconds
        while text not in self.output and not self.shows(text.decode()):
            assert time.monotonic() < until, self.output[-3000:].decode(errors="replace")
            self.read(0.1)

    def type(self, keys):
        os.write(self.primary, keys)

    def unread(self):
        """Bytes that wait to be read."""
        count = fcntl.ioctl(self.primary, termios.FIONREAD, b"\0" * 4)
        return struct.unpack("i", count)[0]

    def hang_up(self):
        """Close the terminal, as a lost connection does."""
        os.close(self.primary)
        self.primary = -1

    def ended(self, seconds=60.0):
        """Wait for the process; its exit code, negative for a signal. Fails if it goes on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
                return self.code
            if self.primary >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        raise AssertionError(f"still running after {seconds} s: {self.output[-2000:]!r}")

    def close(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.primary >= 0:
            os.close(self.primary)
