"""The section ``[dask]``: the cluster that ``engine.executor = "dask"`` uses.

A cluster is named by the address of its scheduler. Those that a batch system starts are refused by
their names, with what to do instead.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from geobatch_tui.config.sections import Count, Section
from geobatch_tui.config.setting_types import Duration
from geobatch_tui.execution.params.param_fields import operational

#: Clusters that geobatch does not start.
_STARTED_ELSEWHERE = frozenset({"slurm", "pbs", "lsf", "sge", "kubernetes"})
_ADDRESS = r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}"
#: Limits of a lease, in seconds.
_LEAST, _MOST = 0.1, 600.0


def _cluster(text: str) -> str:
    if text.lower() in _STARTED_ELSEWHERE:
        raise ValueError(
            f"geobatch does not start a {text} cluster itself: start it with dask-jobqueue or "
            "dask-kubernetes, and give the address of its scheduler"
        )
    if text != "local" and re.fullmatch(_ADDRESS, text) is None:
        raise ValueError('must be "local", or an address as "tcp://host:8786"')
    return text


ClusterPlace = Annotated[
    str, AfterValidator(_cluster), Field(json_schema_extra={"pattern": f"^(local|{_ADDRESS})$"})
]


def _lease(seconds: float) -> float:
    if not _LEAST <= seconds <= _MOST:
        raise ValueError("must be 0.1 s to 10 min")
    return seconds


Lease = Annotated[Duration, AfterValidator(_lease)]


class DaskSection(Section):
    """The Dask cluster on whose nodes workers run, if engine.executor is dask."""

    cluster: ClusterPlace = operational(
        "local",
        "Address of a scheduler, as tcp://host:8786 or tls://host:8786; local: a cluster of "
        "processes on this machine.",
    )
    workers: Annotated[Count, Field(le=1024)] = operational(
        0, "Dask workers of a local cluster; 0: one.", "workers"
    )
    processes: Annotated[Count, Field(le=1024)] = operational(
        0, "Worker processes on each node; 0: as many as its Dask worker has threads.", "workers"
    )
    lease: Lease = operational(
        "3s", "Work that a worker process gets at once, once it is known how long chunks take.", "s"
    )
