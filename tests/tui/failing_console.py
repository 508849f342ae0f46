"""``geobatch WORDS``, with a console that fails where the key ``u`` is pressed on its first screen.
Started by a test."""

import sys

from geobatch_tui.__main__ import command
from geobatch_tui.tui.screens.dashboard import RunScreen


def fail(screen):
    """What a bug does."""
    secret = "hunter2"  # noqa: F841, S105 - no value of a variable may be in the traceback
    raise KeyError("a bug in a handler of https://me:hunter3@host/a.tif")


if __name__ == "__main__":
    RunScreen.action_units = fail
    sys.argv[0] = "geobatch"
    command()
