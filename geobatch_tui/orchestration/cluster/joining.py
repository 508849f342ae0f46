"""Joins the cluster of a job, before anything of a run is written, and leaves it at the end.

Nothing here imports `distributed`, which is an extra: a job without a cluster never loads it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import SECRETS
from geobatch_tui.ledger.schema.updates import Noted
from geobatch_tui.orchestration.cluster.on_node.view_proof import Token, sample
from geobatch_tui.orchestration.plan.plan_report import WORKER_BYTES
from geobatch_tui.orchestration.plan.resources import (
    CHUNK_FLOOR,
    ENGINE_BYTES,
    Resources,
    linked_for_outputs,
    written_by_workers,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from geobatch_tui.config.cluster.dask_section import DaskSection
    from geobatch_tui.config.schema import Job
    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.stores.store_settings import Stores
    from geobatch_tui.orchestration.cluster.cluster_nodes import Node, Refused
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster
    from geobatch_tui.orchestration.plan.inputs import Input
    from geobatch_tui.orchestration.state.session import Session
    from geobatch_tui.orchestration.workers.pool import Pool

EXECUTOR: Final = "dask"


@contextlib.asynccontextmanager
async def joined(
    job: Job, say: Callable[[str, str], None] | None = None
) -> AsyncIterator[DaskCluster | None]:
    """Give the cluster of a job, None where it has none.

    Args:
        job: the job.
        say: told the name of an event and words, if there is something to wait for. None: what
            would have to wait in a queue is not started, as if there were no cluster.

    Raises:
        PreflightError: `distributed` is not installed, or the cluster cannot be used.
        ClusterError: its scheduler does not answer, or it has no node that may work.
    """
    if job.engine.executor != EXECUTOR or (say is None and job.dask.is_started_by_class):
        yield None
        return
    require_distributed()
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster

    data = "" if say is None else get_operation(job.op.name).data
    async with DaskCluster.joined(job.dask, job.op.name, say, data=data) as cluster:
        yield cluster


def described(job: Job, cluster: DaskCluster | None) -> Json:
    """Return a cluster as ``plan --json`` shows it: its nodes, or what a run will start."""
    if cluster is not None:
        return cluster.to_json()
    if job.engine.executor != EXECUTOR:
        return {}
    starts = job.dask.model_dump(mode="json")["workers"] or job.dask.least
    return {"address": job.dask.cluster, "starts": starts, "nodes": [], "refused": []}


def require_distributed() -> None:
    """Raise PreflightError if the extra is not installed."""
    if find_spec("distributed") is None:
        raise PreflightError(
            'engine.executor = "dask" needs the package distributed, which is not installed',
            hint='install it with `pip install "geobatch-tui[dask]"`, or set engine.executor = '
            '"process"',
        )


def resources_of(job: Job, cluster: DaskCluster | None) -> Resources:
    """Return the resources of a job on a cluster, or on this machine. A chunk is planned to fit the
    smallest share of memory that a worker process has on any node.

    Raises PreflightError as :meth:`Resources.of`, and if a node has too little memory.
    """
    local = Resources.of(job)
    if cluster is None:
        return local
    nodes = list(cluster.nodes.values())
    limit = job.engine.memory_budget
    shares = []
    for node in nodes:
        memory = min(node.memory, limit) if limit else node.memory
        shares.append(memory // node.slots)
    share = min(shares)
    if share < WORKER_BYTES + CHUNK_FLOOR:
        where = nodes[shares.index(share)]
        raise PreflightError(
            f"{where.label} has {share:,} bytes for each of its {where.slots} worker processes; "
            f"one needs {WORKER_BYTES + CHUNK_FLOOR:,}",
            hint="set dask.processes lower, or give the Dask worker more memory",
        )
    slots = sum(node.slots for node in nodes)
    workers = min(slots, job.engine.max_workers) if job.engine.max_workers else slots
    return replace(
        local,
        workers=workers,
        budget=ENGINE_BYTES + workers * share,
        handles=job.engine.max_open_files * len(nodes),
        largest=min(node.memory for node in nodes) - WORKER_BYTES,
        lease=job.dask.lease,
    )


async def open_pool(
    cluster: DaskCluster | None,
    resources: Resources,
    session: Session,
    inputs: Sequence[Input],
    on_fatal: Callable[[GeobatchError], None],
    left: Callable[[], int],
) -> Pool:
    """Make the pool of a run; on a cluster, once its nodes have proved that they see its files.
    ``on_fatal`` is called if the cluster is of no use any more; ``left`` counts the chunks that
    are to be done.

    Raises:
        PreflightError: secrets of stores would travel without encryption.
        ClusterError: no node may work.
    """
    job, output_dir, root = session.job, session.output_dir, session.state.root
    write = [str(output_dir), str(root), *written_by_workers(job, inputs)]
    write += linked_for_outputs(output_dir, inputs)
    if cluster is None:
        return resources.make_pool(root, write, inputs)
    from geobatch_tui.orchestration.cluster.dask_pool import DaskPool
    from geobatch_tui.orchestration.cluster.membership import Membership
    from geobatch_tui.orchestration.cluster.on_node.cluster_node import Orders
    from geobatch_tui.orchestration.cluster.scaling import Scaling

    stores = store_settings.current()
    refuse_secrets(stores, cluster.address)
    paths = [each.path for each in inputs]
    orders = Orders(
        session.run_id,
        "",
        cluster.client.id,
        get_operation(job.op.name).data,
        write=tuple(write) if resources.confined else None,
        ports=stores.ports(paths),
        stores=stores,
    )

    scaling = Scaling(job.dask, left)
    token = Token.written((str(output_dir), str(root)))
    pool = DaskPool(
        cluster,
        session.run_id,
        Membership(cluster, orders, token, sample(paths), resources.needs, scaling),
        scaling,
        on_fatal=on_fatal,
        on_refused=partial(_note_refused, session),
        on_lost=partial(_note_lost, session),
        share=resources.share,
        handles=job.engine.max_open_files,
        most=resources.workers if resources.workers < cluster.slots else 0,
    )
    try:
        await pool.enter()
    except BaseException:
        await pool.close(0.0)
        raise
    _note_joined(session, cluster)
    return pool


def _note_joined(session: Session, cluster: DaskCluster) -> None:
    session.log.emit("cluster.joined", message=cluster.summary())
    if open_to := exposure(cluster.address):
        session.log.emit("cluster.exposed", level="warning", message=open_to)


def _note_refused(session: Session, refused: Refused) -> None:
    fields = {"host": refused.host} if refused.host else {}
    session.log.emit("node.refused", level="warning", message=str(refused), **fields)
    session.put(Noted("node.refused", {"node": refused.label, **fields, "why": refused.why}))


def _note_lost(session: Session, node: Node, why: str) -> None:
    event, level = ("node.lost", "warning") if why else ("node.left", "info")
    text = f"{node.label}: {why or 'it has done its work, and left'}"
    session.log.emit(event, level=level, message=text, host=node.host)
    session.put(Noted(event, {"node": node.label, "host": node.host, "why": why}))


async def survey(place: DaskSection) -> Json:
    """Look at a cluster without a job; return what :meth:`DaskCluster.to_json` says. Raises as
    :func:`joined`."""
    require_distributed()
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster

    async with DaskCluster.joined(place, "raster.reproject") as cluster:
        return cluster.to_json()


def exposure(address: str) -> str:
    """Say that others may reach a cluster; empty if they may not, or if it is not there yet."""
    if "://" not in address or address.startswith("tls://") or is_loopback(address):
        return ""
    return f"{address} has no TLS: whoever reaches it can run code on its nodes, as their user"


def refuse_secrets(stores: Stores, address: str) -> None:
    """Raise PreflightError if secrets would reach nodes without encryption."""
    if address.startswith("tls://") or is_loopback(address):
        return
    if stores.proxy or any(
        getattr(settings, name) for settings in stores.by_root.values() for name in SECRETS
    ):
        raise PreflightError(
            f"the secrets of [storage] would travel to {address} without encryption",
            hint="use a cluster with TLS (tls://...), or credentials that its nodes have",
        )


def is_loopback(address: str) -> bool:
    """Whether an address of Dask is of this machine alone."""
    host = urlsplit(address).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
