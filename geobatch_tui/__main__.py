"""The command ``geobatch``. Does as little as it can before the command line is known."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITH_WORKERS = {"run", "retry", "plan", "demo"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: words after the program's name; default those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        from geobatch_tui import __version__

        sys.stdout.write(f"geobatch {__version__}\n")
        return 0
    if _wants_processes(words):
        # First of all: workers warm up (GDAL loads) while this process still reads the job file.
        from geobatch_tui.orchestration.launch import start_fork_server

        start_fork_server()
    from geobatch_tui.cli.boundary import run_command

    return run_command(words)


def _wants_processes(words: list[str]) -> bool:
    """Whether this command will most likely start worker processes of its own."""
    if not words or words[0] not in _WITH_WORKERS:
        return False
    if not {"--help", "-h", "--detach"}.isdisjoint(words):
        return False
    if os.environ.get("GEOBATCH_ENGINE__EXECUTOR", "process") != "process":
        return False
    return not any(word.endswith("engine.executor=thread") for word in words)


if __name__ == "__main__":
    sys.exit(main())
