"""What chunks with functions of the user took, as a trial measured it: kept for the runs that
follow, below ``$XDG_STATE_HOME``.

A plan guesses the memory of such chunks. A run that finds nothing here computes the first of them
alone, to learn it.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Final

from geobatch_tui.orchestration.plan.fingerprints import digest
from geobatch_tui.orchestration.schedule.admission import Prediction
from geobatch_tui.orchestration.state.run_index import index_dir

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.schema import Job

KEPT: Final = 200
"""Jobs that are remembered; the longest unused are dropped."""


def recall(job: Job) -> float:
    """Return how many times the planned bytes a chunk of ``job`` takes; 0 if nobody measured it
    with these functions and parameters."""
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        times = json.loads(_file(job).read_text(encoding="ascii"))["times_planned"]
        return min(max(float(times), Prediction.LEAST), Prediction.MOST_SHOWN)
    return 0.0


def keep(job: Job, times: float) -> None:
    """Remember how many ``times`` the planned bytes a chunk took. A home that cannot be written is
    no error."""
    with contextlib.suppress(OSError, RuntimeError):
        file = _file(job)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(json.dumps({"times_planned": round(times, 3)}), encoding="ascii")
        part.replace(file)
        ages = [(each.stat().st_mtime_ns, each) for each in file.parent.glob("*.json")]
        for _, old in sorted(ages, reverse=True)[KEPT:]:
            old.unlink(missing_ok=True)


def _file(job: Job) -> Path:
    """Return the file of jobs that have the operation, its parameters and the code of ``job``."""
    return index_dir().with_name("memory") / f"{digest(job.semantic()['op'])}.json"
