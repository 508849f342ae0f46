"""Joins a run to what sends its outputs to a store; what does that is imported if they go to one.

A run whose outputs go to a directory has no uploader, and waits for none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import OBJECTS
from geobatch_tui.orchestration.schedule import events as u

if TYPE_CHECKING:
    from geobatch_tui.orchestration.side_tasks.uploader import Uploader
    from geobatch_tui.orchestration.side_tasks.watchdogs import Calls
    from geobatch_tui.orchestration.state.session import Session


def keep_copies(session: Session) -> None:
    """Have copies of objects lie with the run's state, in this context: those of outputs that are
    in a store, and what the engine leaves for the worker processes of this machine."""
    if session.state.prefix is not None or session.job.engine.executor == "process":
        scratch = str(session.state.root / OBJECTS)
        store_settings.use(replace(store_settings.current(), scratch=scratch))


async def prove_store(session: Session) -> None:
    """See whether the store of a run's outputs takes them, before anything is computed.

    Raises:
        PreflightError: it does not, or nobody is there.
    """
    if session.state.prefix is not None:
        from geobatch_tui.orchestration.side_tasks.upload_sweep import ready

        await ready(session)


async def begin_sending(session: Session, calls: Calls) -> Uploader | None:
    """Return what sends the outputs of a run to their store, once the uploads of earlier runs are
    settled; None: they go to a directory.

    Args:
        session: of the run, whose ledger says what was begun before.
        calls: what the uploader calls of the run.
    """
    if session.state.prefix is None:
        return None
    from geobatch_tui.orchestration.side_tasks.upload_sweep import uploader_of

    return await uploader_of(session, calls)


async def sent(session: Session, uploader: Uploader | None, finish: u.Finish) -> u.Finish:
    """Wait for the uploads. A run that leaves some to the next one is not complete. Those of
    earlier runs are settled now, if the store did not answer when this one began."""
    if uploader is None:
        return finish
    if finish.reason == "drained":
        uploader.begin_no_more()
    await uploader.drain()
    if not uploader.is_swept and session.state.prefix is not None:
        from geobatch_tui.orchestration.side_tasks.upload_sweep import sweep

        await session.flush()
        uploader.is_swept = await sweep(session, session.state.prefix)
    return u.Finish("drained") if uploader.left and finish.reason == "complete" else finish
