"""Identities of source files, parameters, code, items and published outputs."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import aiofiles
import aiofiles.ospath

from geobatch_tui.errors import (
    InvalidInputError,
    Reaction,
    RemoteIOError,
    SourceChangedError,
    SourceNotFoundError,
    TransientError,
)
from geobatch_tui.execution.io.digest import alike
from geobatch_tui.execution.params.frozen import SIDE_TABLES, SIDES
from geobatch_tui.execution.protocol.messages import Failure, SourceIdentity
from geobatch_tui.execution.runtime.classify import BY_ERRNO
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.file_identity import EDGE, identify_each, identify_file
from geobatch_tui.execution.sources.object_sources import content_of, identify_object, is_still
from geobatch_tui.execution.sources.source_list import is_large, is_source_list, members_of
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.execution.stores.request_pool import submit
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Operation
    from geobatch_tui.ledger.schema.updates import ItemRow

READ_SIZE = 4 * 1024 * 1024

PASSING = frozenset(
    number for number, kind in BY_ERRNO.items() if kind.reaction is Reaction.TRANSIENT
)
"""Numbers of errors of the system that may go away by themselves."""

SCHEMA = 1
"""Raised when the meaning of a fingerprint changes."""

_CODE = re.compile(r"(step\[(\d+)\])\.(version|function\.(.+))")

Identified = SourceIdentity | Failure

UNSEEN = SourceIdentity(0, 0, "")
"""In place of the identity of a large group, at whose files workers look in parts."""


def digest(value: object) -> str:
    """Return the BLAKE2b-128, as 32 hex digits, of the JSON with sorted keys and no blanks: equal
    values give equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def identify(path: str) -> SourceIdentity:
    """Return size, mtime and the hash of size, head and tail of a source; if it consists of
    several files, a hash over those of all.

    A file of at most 128 KiB is hashed whole.

    Raises:
        SourceNotFoundError: it cannot be read.
        UnsafeInputError: it is a pipe or a device.
        RemoteIOError: it cannot be read now.
    """
    if is_url(path):
        return identify_object(path, EDGE, leave=True)
    try:
        if is_source_list(path):  # by their order: their places are no part of an identity
            statuses, digests = identify_each(members_of(path))
            return SourceIdentity(*source_files.total(statuses), digest(list(digests)))
        files, named = source_files.files(path), source_files.named(path)
        if len(files) == 1 and not named and not source_files.is_dataset(path):
            return identify_file(path)
        size, mtime_ns = source_files.status(path)
        each: dict[str, object] = {one.name: identify_file(one).digest for one in files}
        for one in named:  # not read: a VRT may name any file
            now = one.stat()
            each[str(one)] = [now.st_size, now.st_mtime_ns]
    except OSError as error:
        kind = RemoteIOError if error.errno in PASSING else SourceNotFoundError
        raise kind(f"{safe(path)}: {error.strerror}") from error
    return SourceIdentity(size, mtime_ns, digest(each))


def identity_of(row: ItemRow) -> SourceIdentity:
    """Return the identity of the source that an item of the ledger was planned with."""
    return SourceIdentity(row.src_size, row.src_mtime_ns, row.src_digest)


def identify_all(paths: Sequence[str], rows: Sequence[ItemRow | None]) -> list[Identified]:
    """Identify sources, those of stores beside each other. A source with the size and time of its
    row in the ledger is not read."""
    asked = {
        at: submit(_identify_known, path, rows[at]) for at, path in enumerate(paths) if is_url(path)
    }
    return [
        asked[at].result() if at in asked else _identify_known(path, row)
        for at, (path, row) in enumerate(zip(paths, rows, strict=True))
    ]


def _is_still(path: str, row: ItemRow) -> bool:
    """Whether a source is the one of its row in the ledger, as far as can be told unread."""
    if is_url(path):
        return ":" in row.src_digest and is_still(path, identity_of(row))
    return source_files.status(path) == (row.src_size, row.src_mtime_ns)


def _identify_known(path: str, row: ItemRow | None) -> Identified:
    try:
        if row is not None and _is_still(path, row):
            return identity_of(row)
        return UNSEEN if is_large(path) else identify(path)
    except (InvalidInputError, TransientError, SourceChangedError) as error:
        failed: GeobatchError = error
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        kind = RemoteIOError if number in PASSING else SourceNotFoundError
        failed = kind(f"{path}: {error.strerror if isinstance(error, OSError) else error}")
    return Failure(
        type(failed).__name__,
        failed.reaction,
        failed.message,
        stage="open",
        hint=failed.hint,
        evidence=failed.evidence,
    )


async def has_digest(path: Path, digest: str) -> bool:
    """Whether an output's bytes have this digest; the file is read without blocking the loop.
    Raises OSError if it cannot be read."""
    state = alike(digest)
    if not await aiofiles.ospath.isfile(path):  # a pipe would never end
        return False
    async with aiofiles.open(path, "rb") as file:
        while block := await file.read(READ_SIZE):
            state.update(block)
    return bool(state.hexdigest() == digest)


def code_identity(operation: Operation) -> dict[str, object]:
    """Return the code that decides output bytes: operation, its version, its libraries."""
    return {
        "schema": SCHEMA,
        "op": operation.name,
        "version": operation.version,
        "libraries": operation.libraries(),
    }


def item_fingerprint(
    params_digest: str, code_digest: str, source: SourceIdentity, key: str, layer: str = ""
) -> str:
    """Return the fingerprint of an item, embedded in its output. The source's mtime and place are
    not part of it: a copied source gives the same bytes. ``layer``: of a source whose layers are
    items."""
    values = [SCHEMA, params_digest, code_digest, source.size, content_of(source), key]
    return digest([*values, layer] if layer else values)


def changed_keys(old: Json, new: Json, prefix: str = "", *, shared: bool = False) -> list[str]:
    """Return the dotted names of keys whose values differ between two nested mappings. ``shared``:
    only of keys that both have, as another version may have added or dropped the others."""
    names: list[str] = []
    for key in sorted(old.keys() & new.keys() if shared else old.keys() | new.keys()):
        before: Any = old.get(key)
        after: Any = new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            names += changed_keys(before, after, f"{prefix}{key}.", shared=shared)
        elif before != after and _are_same_steps(before, after):
            for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
                names += changed_keys(one, other, f"step[{number}].", shared=shared)
        elif before != after:
            names.append(f"{prefix}{key}")
    return names


def changed_code(names: Sequence[str], params: Json) -> str:
    """Name the steps of a chain whose code changed, functions of the user by where they are; empty
    if anything else changed too. ``names``: keys that differ, ``params``: of the operation."""
    told: dict[str, None] = {}
    for name in names:
        match = _CODE.fullmatch(name)
        if match is None:
            return ""
        step = params["steps"][int(match[2]) - 1]
        own = match[4]
        if own is None:
            told[match[1]] = None
        else:
            why = f"line {step['function']['line']}" if own == "code" else own.replace(".", " ", 1)
            told[f"{step['use']} ({why})"] = None
    return ", ".join(told)


def functions_in(params: Json) -> list[Json | str]:
    """Return what is known of the user's functions in a chain, and in those beside its steps. Plans
    do not hold all of it."""
    steps = params["op"].get("steps", ())
    found: list[Json | str] = [step["function"] for step in steps if "function" in step]
    for step in steps:
        states = [step.get(f"{name}_state") for name in SIDES]
        states += [one for name in SIDE_TABLES for one in step.get(f"{name}_state", {}).values()]
        found += [one for one in states if one and '"function": ' in one]
    return found


def _are_same_steps(before: Any, after: Any) -> bool:
    """Whether two values are lists of the same steps, so that their parameters can be compared."""
    names = []
    for steps in (before, after):
        if not (isinstance(steps, list) and steps and isinstance(steps[0], dict)):
            return False
        names.append([step.get("name") for step in steps])
    return names[0] == names[1]
