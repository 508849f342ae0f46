"""What earlier runs began to send to a store and did not end: gone on with, or given up.

A store keeps the parts of such an upload, and charges for them, until somebody gives it up.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.stores import write_faults
from geobatch_tui.execution.stores.object_url import ObjectUrl
from geobatch_tui.execution.stores.writing import part_upload
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.schema.updates import ItemState, UploadBegun
from geobatch_tui.observability.figures import plural
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.side_tasks.uploader import Uploader

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.output_prefix import OutputPrefix
    from geobatch_tui.orchestration.side_tasks.watchdogs import Calls
    from geobatch_tui.orchestration.state.session import Session

#: Keys of others that a warning names.
_SHOWN = 5
#: The beginning of the names of uploads that show whether a store takes outputs.
_PROBE = ".geobatch-probe-"


def probe(prefix: OutputPrefix) -> None:
    """See whether the store takes outputs: begin an upload and give it up, of which nothing is
    seen. Stores without uploads by parts show it by the first output. Raises PreflightError."""
    if not prefix.root.startswith("s3:"):
        return
    url = prefix.url(f"{_PROBE}{secrets.token_hex(8)}")
    try:
        uploads = part_upload.uploads_of(prefix.root)
        uploads.give_up(url, uploads.begin(url, {}))
    except GeobatchError as error:
        raise write_faults.refused_at_start(error) from error


async def ready(session: Session) -> None:
    """See whether the store of a run's outputs takes them, if they go to one. Raises
    PreflightError."""
    if session.state.prefix is not None:
        await asyncio.to_thread(probe, session.state.prefix)


async def uploader_of(session: Session, calls: Calls) -> Uploader | None:
    """Return what sends the outputs of a run to their store, once the uploads of earlier runs are
    settled; None: they go to a directory."""
    prefix = session.state.prefix
    if prefix is None:
        return None
    is_swept = await sweep(session, prefix)
    await session.flush()
    return Uploader(session, prefix, calls, is_swept=is_swept)


async def sweep(session: Session, prefix: OutputPrefix) -> bool:
    """Give up the uploads of earlier runs that this one does not go on with; whether the store
    answered. Uploads of others below the prefix are told of, and left alone."""
    begun = session.reader.uploads()
    keeps = {each.item_id for each in begun if _goes_on(session, each)}
    if not prefix.root.startswith("s3:"):
        given_up: int = 0
        others: list[str] = []
    else:
        try:
            given_up, others = await asyncio.to_thread(_give_up, prefix, begun, keeps)
        except GeobatchError as error:
            session.log.emit("uploads.unswept", level="warning", message=error.message)
            return False
    for each in begun:
        if each.item_id not in keeps:
            session.put(lu.UploadEnded(each.item_id))
    if given_up:
        session.log.emit("uploads.swept", message=f"{given_up} given up")
    if others:
        session.log.emit(
            "uploads.unknown",
            level="warning",
            message=f"{plural(len(others), 'unfinished upload')} below {prefix} that this ledger "
            "does not know, of others or of a lost ledger, take room in the store: "
            + ", ".join(map(safe, others[:_SHOWN])),
        )
    return True


def _goes_on(session: Session, begun: UploadBegun) -> bool:
    row = session.reader.item(begun.item_id)
    if row is None or row.state is not ItemState.PLANNED:
        return False
    return (row.key, row.fingerprint) == (begun.key, begun.fingerprint)


def _give_up(
    prefix: OutputPrefix, begun: list[UploadBegun], keeps: set[int]
) -> tuple[int, list[str]]:
    """Give up what is known of and not gone on with, and what killed engines tried the store with;
    return how many that are, and the keys of others. An upload whose id was never learnt has the
    key of its item."""
    uploads = part_upload.uploads_of(prefix.root)
    ids = {each.upload: each for each in begun if each.upload}
    nameless = {prefix.key(each.key) for each in begun if not each.upload}
    tried = prefix.key(_PROBE)
    given_up = 0
    others: list[str] = []
    for one in uploads.unfinished(prefix):
        known = ids.get(one.upload)
        if known is not None and known.item_id in keeps:
            continue
        if known is None and one.key not in nameless and not one.key.startswith(tried):
            others.append(one.key)
            continue
        uploads.give_up(ObjectUrl(prefix.root, one.key), one.upload)
        given_up += 1
    return given_up, others
