"""A real terminal for a test: a pty, a process of its own on it, and what it painted."""

from __future__ import annotations

import codecs
import fcntl
import os
import signal
import struct
import sys
import termios
import time
from multiprocessing.connection import wait

from cell_screen import CellScreen

ROOT = __file__.rpartition("/tests/")[0]


class Interpreter:
    """A Python of its own as the leader of a session on a terminal; ``cpu``: seconds that it took,
    once it ended."""

    def __init__(self, words, terminal, *, env, cwd):
        self.cpu = 0.0
        self.pid = os.fork()
        if self.pid == 0:
            os.login_tty(terminal)
            os.chdir(cwd)
            os.execvpe(sys.executable, [sys.executable, *words], env)  # noqa: S606

    def poll(self):
        """The exit code, or None while it runs."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        self.cpu = usage.ru_utime + usage.ru_stime
        return os.waitstatus_to_exitcode(status) if pid else None


#: Starts ``geobatch``, if it is given, as :class:`Interpreter` does. Tests take what does it in less
#: time.
begin = None


class Terminal:
    """A process on a terminal of its own, as the leader of a session."""

    def __init__(self, words, cwd, *, columns=100, rows=30, **env):
        self.output = b""
        self._screen = CellScreen(columns, rows)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        base = {
            key: value
            for key, value in os.environ.items()
            if key not in {"NO_COLOR", "COLUMNS", "LINES"} and not key.startswith("GEOBATCH_")
        }
        search = os.pathsep.join([ROOT, f"{ROOT}/tests/tui"])
        facts = {"TERM": "xterm-256color", "PYTHONPATH": search, "XDG_CONFIG_HOME": str(cwd)}
        self.primary, secondary = os.openpty()
        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        how = {"env": base | facts | env, "cwd": cwd}
        if begin is not None and words[:2] == ["-m", "geobatch_tui"]:
            self._process = begin(words[2:], secondary, **how)
        else:
            self._process = Interpreter(words, secondary, **how)
        os.close(secondary)
        self.pid = self._process.pid
        self.code = None

    def read(self, seconds):
        """Read for so long; what came."""
        until, came = time.monotonic() + seconds, b""
        while (left := until - time.monotonic()) > 0:
            if not wait([self.primary], min(left, 0.1)):
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
        """Wait for the process, and read all that it painted; its exit code, negative for a signal.
        Fails if it goes on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.code = self._process.poll()
            if self.code is not None:
                self.cpu = self._process.cpu
                while self.primary >= 0 and self.unread():
                    self.read(0.01)
                return self.code
            if self.primary >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        raise AssertionError(f"still running after {seconds} s:\n" + "\n".join(self.lines()))

    def close(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            while self._process.poll() is None:
                time.sleep(0.01)
        if self.primary >= 0:
            os.close(self.primary)
