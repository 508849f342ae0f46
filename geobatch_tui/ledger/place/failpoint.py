"""Named places where a test can kill the process, to prove that any such death is harmless."""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "GEOBATCH_FAILPOINT"


def _parse(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    return name, int(count or 1)


_name, _left = _parse(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Die by SIGKILL at the n-th passage of the place that ``GEOBATCH_FAILPOINT=name[:n]`` names.

    Does nothing when the variable was unset or named another place as this module was imported.
    """
    global _left  # noqa: PLW0603
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
