"""What a job's cluster may do as its user: whether a job file may ask for it, and what its user
agreed to.

Who runs the scheduler of a cluster can run code in the engine, and a batch system runs what its
options say. An address, and plain options, a job file may name; other code only if its reader
allows it, as for functions of the job's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.chains import own_functions
from geobatch_tui.config.cluster.dask_section import BATCH, LOCAL
from geobatch_tui.config.problems import Problem
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.config.job_reader import JobFile
    from geobatch_tui.config.schema import Job

#: Options that say how much is asked for, where and as whom. They get into scripts of a shell, so
#: that their values are words.
_PLAIN: Final = frozenset({
    "account", "cores", "death_timeout", "interface", "job_cpu", "job_mem", "job_name",
    "local_directory", "log_directory", "mem", "memory", "name", "namespace", "nanny", "ncpus",
    "processes", "project", "protocol", "queue", "resource_spec", "shared_temp_directory",
    "walltime",
})  # fmt: skip
_WORD: Final = re.compile(r"[A-Za-z0-9_.,:/=@%+-]*")
_ADVICE: Final = "source.allow_code = true allows it all the same"


def refused(job: Job | None, file: JobFile | None) -> Iterator[Problem]:
    """Yield a problem if the cluster of ``job`` runs code that ``file`` may not run."""
    if job is None or file is None or job.source.allow_code or job.engine.executor != "dask":
        return
    place = job.dask
    if not place.is_started_by_class:
        return
    key = "dask.cluster"
    if place.cluster not in BATCH:
        text = f"{safe(place.cluster)} is code of an installed package; {_ADVICE}"
        yield Problem(file.where(key), key, f"{key}: {text}")
    for name, value in place.options.items():
        if name not in _PLAIN or _WORD.fullmatch(str(value)) is None:
            key = f"dask.options.{name}"
            text = f"{safe(str(value))!r} may be a program, or part of one; {_ADVICE}"
            yield Problem(file.where(key), key, f"{safe(key)}: {text}")


def agreed(job: Job) -> list[tuple[str, str, str]]:
    """Return all code that a job runs, and its cluster: what its user agreed to."""
    return [*own_functions.identities(job), *identities(job)]


def identities(job: Job) -> list[tuple[str, str, str]]:
    """Return the cluster of a job and a digest of its options: what its user agreed to."""
    place = job.dask
    if job.engine.executor != "dask" or place.cluster == LOCAL:
        return []
    said = json.dumps([place.options, place.security], sort_keys=True)
    return [(place.cluster, "", hashlib.sha256(said.encode()).hexdigest())]
