"""A Dask cluster that is started for one run, and ends with it: of processes on this machine, by a
batch system, or by a class that the job names. Its scheduler lives in the engine's process, unless
that class puts it elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import warnings
from typing import TYPE_CHECKING, Any, Final

import distributed
from distributed.deploy.cluster import Cluster

from geobatch_tui.config.cluster.dask_section import LOCAL
from geobatch_tui.errors import PreflightError
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.cluster.cluster_nodes import USABLE
from geobatch_tui.orchestration.plan.machine import cores, memory_limit
from geobatch_tui.orchestration.state.run_index import index_dir
from geobatch_tui.orchestration.workers.fork_server import start_tracker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from geobatch_tui.config.cluster.dask_section import DaskSection

#: What a class of clusters is made with.
type _Options = dict[str, Any]
#: A ``distributed.Security``, which has no types.
type _Security = Any
#: Seconds that the end of a cluster may take.
CLOSE: Final = 20.0
#: Log files of nodes that are kept.
KEPT_LOGS: Final = 200
_JOBQUEUE: Final = "dask-jobqueue"
#: Classes of dask-jobqueue by the names that a job gives, and that of Kubernetes.
_BATCH: Final = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
}
_KUBERNETES: Final = "dask_kubernetes.operator:KubeCluster"


class StartedCluster:
    """A cluster that can be scaled. Use :func:`started`."""

    def __init__(self, cluster: Any, workers: int) -> None:
        self._cluster = cluster
        self.workers = workers  # asked for

    @property
    def address(self) -> str:
        return str(self._cluster.scheduler_address)

    @property
    def security(self) -> _Security:
        """What a client needs, None without TLS."""
        return self._cluster.security

    async def scale(self, workers: int) -> None:
        """Ask for so many Dask workers; those that are to go are chosen by :meth:`drop`."""
        self.workers = workers
        await _awaited(self._cluster.scale(workers))

    async def drop(self, names: list[Any]) -> None:
        """End the Dask workers of these names, which are idle."""
        self.workers = max(self.workers - len(names), 0)
        if hasattr(self._cluster, "scale_down"):
            await _awaited(self._cluster.scale_down(names))
        else:
            await _awaited(self._cluster.scale(self.workers))

    async def close(self) -> None:
        with contextlib.suppress(Exception):  # what is left of it ends with its scheduler
            async with asyncio.timeout(CLOSE):
                await _awaited(self._cluster.close())


async def _awaited(value: object) -> None:
    if inspect.isawaitable(value):
        await value


@contextlib.asynccontextmanager
async def started(place: DaskSection, security: _Security) -> AsyncIterator[StartedCluster]:
    """Start the cluster of a job and ask for its workers; end it.

    Raises PreflightError if its package is missing, or it cannot be started.
    """
    kind, options = (
        (distributed.LocalCluster, _local(place))
        if place.cluster == LOCAL
        else (_class(place.cluster), _options(place))
    )
    if security is not None:
        options = {"security": security, **options}
    what = "a Dask cluster on this machine" if place.cluster == LOCAL else place.cluster
    if place.cluster == LOCAL:
        start_tracker()  # which Dask's nannies need, and would take from the current directory
    made: Any = None
    try:
        with warnings.catch_warnings():  # those of Dask would get onto the console
            warnings.simplefilter("ignore")
            made = kind(asynchronous=True, **options)
            await made
        cluster = StartedCluster(made, place.least)
        if place.cluster != LOCAL:
            await cluster.scale(place.least)
            await made  # raises what the batch system said of the first jobs
    except Exception as error:
        if made is not None:
            await StartedCluster(made, 0).close()
        said = safe(f"{type(error).__name__}: {error}")[:500]
        raise PreflightError(
            f"cannot start {safe(what)}: {said}",
            hint="check dask.options: queue, cores, memory, walltime; and what the cluster's own "
            "commands say",
        ) from error
    try:
        yield cluster
    finally:
        await cluster.close()


def _class(name: str) -> type[Any]:
    """Import the class of a cluster. Raises PreflightError if there is none."""
    path = _KUBERNETES if name == "kubernetes" else name
    module, _, attribute = path.partition(":")
    try:
        if name in _BATCH:
            found = getattr(importlib.import_module("dask_jobqueue"), _BATCH[name])
        else:
            found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        known = {"kubernetes": "dask-kubernetes", **dict.fromkeys(_BATCH, _JOBQUEUE)}
        missing = known.get(name, safe(str(error.name)))
        raise PreflightError(
            f'dask.cluster = "{safe(name)}" needs the package {missing}, which is not installed',
            hint=f"install it with `pip install {missing}`, or give the address of a scheduler",
        ) from error
    except (ImportError, AttributeError) as error:
        raise PreflightError(f"dask.cluster: {safe(str(error))}") from error
    if not (isinstance(found, type) and issubclass(found, Cluster)):
        raise PreflightError(f"dask.cluster: {safe(path)} is no class of a Dask cluster")
    return found


def _options(place: DaskSection) -> _Options:
    """Return what the class of a cluster is made with."""
    usual: _Options = {}
    if place.cluster in _BATCH:
        # One Dask worker a job: its threads are worker processes of ours. Its dashboard shows our
        # leases to whoever reaches it.
        usual = {"processes": 1, "log_directory": _log_directory()}
        usual["scheduler_options"] = {"dashboard_address": "127.0.0.1:0"}
    elif place.cluster == "kubernetes":
        usual = {"quiet": True, "n_workers": place.least}
    return _joined(usual, place.options)


def _joined(usual: _Options, given: _Options) -> _Options:
    """Return options, with those in a table that both have side by side."""
    joined = {**usual, **given}
    for name, value in usual.items():
        if isinstance(value, dict) and isinstance(given.get(name), dict):
            joined[name] = {**value, **given[name]}
    return joined


def _log_directory() -> str:
    """Return the folder for what Dask workers of batch jobs print; drop all but the newest."""
    folder = index_dir().parent / "nodes"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for old in files[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
    return str(folder)


def _local(place: DaskSection) -> _Options:
    """Return what a cluster of processes on this machine is made with, on loopback."""
    workers = place.least
    return {
        "n_workers": workers,
        "threads_per_worker": place.processes or max(1, cores() // workers),
        "memory_limit": int(memory_limit() / USABLE) // workers,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
    }
