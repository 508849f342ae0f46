"""A console on a run, while native code writes to fd 1 and 2. Started by a test."""

import os
import sys
import threading
import time
from pathlib import Path

from geobatch_tui.tui.console import launch

NOISE = b"Warning 1: TIFFReadDirectory: NOISE from C\n"


def shout():
    """From the time on when the console has the terminal, for two seconds."""
    while os.isatty(2):
        time.sleep(0.01)
    for _ in range(40):
        os.write(2, NOISE)
        os.write(1, NOISE)
        time.sleep(0.05)


if __name__ == "__main__":
    threading.Thread(target=shout).start()
    launch.watch(Path(sys.argv[1]))
