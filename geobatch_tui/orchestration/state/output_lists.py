"""Writes the lists of what a run published: outputs.json, and a STAC collection with an item beside
each output.

Items that say already what they would say are left alone, so a run writes those of its own outputs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import GeobatchError, OutputGoneError, PreflightError, StateError
from geobatch_tui.execution.io.disk import replacing
from geobatch_tui.ledger.place.regular_file import read
from geobatch_tui.ledger.place.state_directory import output_path
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.published import write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pystac

    from geobatch_tui.config.schema import Job
    from geobatch_tui.ledger.place.state_directory import StateDir
    from geobatch_tui.orchestration.state.session import Session

COLLECTION: Final = "collection.json"
_SUFFIX: Final = ".json"
_LONGEST: Final = 255
#: What tells our collection from another.
_ITEMS: Final = "geobatch:items"


def check_pystac() -> None:
    """Raise PreflightError if the package that writes STAC is not installed."""
    try:
        import pystac  # noqa: F401
    except ImportError:
        raise PreflightError(
            "output.stac needs the package pystac, which is not installed",
            hint='pip install "geobatch-tui[cloud]"',
        ) from None


async def write_lists(session: Session) -> list[str]:
    """Write the lists that the job of ``session`` wants. Return warnings of what could not be
    written: the outputs do not depend on it."""
    job, told = session.job, []
    for wanted, name, write in (
        (job.output.manifest, "manifest", partial(write_manifest, run_id=session.run_id)),
        (job.output.stac, "stac", partial(write_collection, job=job)),
    ):
        try:
            if wanted:
                await session.flush()
                await asyncio.to_thread(write, session.state)
        except GeobatchError as error:
            session.log.emit(f"{name}.failed", level="warning", message=str(error))
            told.append(str(error))
    return told


def write_collection(state: StateDir, job: Job) -> None:
    """Write an item beside each published output, and ``collection.json`` where the outputs are;
    each is whole or not written.

    Raises:
        StateError: a file or object of such a name is not ours, or the ledger cannot be read.
        OutputGoneError: it cannot be written.
    """
    from geobatch_tui.orchestration.state.stac_items import MARK

    extent = _Extent()
    links: list[tuple[str, str]] = []
    items = _items(state, job, extent, links)
    if state.prefix is not None:
        from geobatch_tui.execution.stores.writing.small_objects import SmallObjects

        documents = SmallObjects(state.prefix, "output.stac")
        documents.write((place, _packed(values)) for place, values in items)
        if links:
            documents.write([(COLLECTION, _packed(_collection(job, state, extent, links)))])
        return
    for place, values in items:
        _write(state.output_dir / place, values, MARK)
    if links:
        _write(state.output_dir / COLLECTION, _collection(job, state, extent, links), _ITEMS)


def _items(
    state: StateDir, job: Job, extent: _Extent, links: list[tuple[str, str]]
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the item of each published output, and its place; add it to ``extent`` and ``links``
    of the collection."""
    from geobatch_tui.orchestration.state.stac_items import quoted, stac_item

    root = state.output_dir
    with LedgerReader(state.ledger) as reader:
        for row in reader.items():
            if row.state is not ItemState.PUBLISHED:
                continue
            item = stac_item(row, root, job.output.format, is_far=state.prefix is not None)
            path = _beside(output_path(root, row.key))
            folder = os.path.relpath(path.parent, root)
            place = path.name if folder == "." else f"{folder}/{path.name}"
            up = "../" * place.count("/")
            item.set_collection(None)
            item.collection_id = _name(job, state)
            values = item.to_dict(include_self_link=False, transform_hrefs=False)
            values["links"] += [
                {"rel": name, "href": f"{up or './'}{COLLECTION}", "type": "application/json"}
                for name in ("collection", "parent", "root")
            ]
            extent.add(item)
            links.append((f"./{quoted(place)}", item.id))
            yield place, values


def _name(job: Job, state: StateDir) -> str:
    return safe(job.job.name or state.outputs.rpartition("/")[2]) or "outputs"


def _beside(path: Path) -> Path:
    """Return the path of the item of an output: its name and .json; one that is too long is known
    by a digest."""
    raw = os.fsencode(path.name + _SUFFIX)
    if len(raw) <= _LONGEST:
        return path.with_name(path.name + _SUFFIX)
    return path.with_name(hashlib.blake2b(raw, digest_size=16).hexdigest() + _SUFFIX)


class _Extent:
    """The box and the times of all items."""

    def __init__(self) -> None:
        self._box: list[float] = []
        self._times: list[datetime] = []

    def add(self, item: pystac.Item) -> None:
        if item.datetime is not None:
            times = [*self._times, item.datetime]
            self._times = [min(times), max(times)]
        if item.bbox is None:
            return
        west, south, east, north = item.bbox
        west, east = (west, east) if west <= east else (-180.0, 180.0)
        box = self._box or [west, south, east, north]
        self._box = [
            min(box[0], west), min(box[1], south), max(box[2], east), max(box[3], north)
        ]  # fmt: skip

    def made(self) -> pystac.Extent:
        import pystac

        begin, end = self._times or [datetime.fromtimestamp(0, UTC)] * 2
        box = self._box or [-180.0, -90.0, 180.0, 90.0]
        return pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([[begin, end]]))


def _collection(
    job: Job, state: StateDir, extent: _Extent, links: list[tuple[str, str]]
) -> dict[str, object]:
    import pystac

    made = pystac.Collection(
        id=_name(job, state),
        description=f"Outputs of geobatch, by {job.op.name}.",
        extent=extent.made(),
        license="other",
        extra_fields={_ITEMS: len(links)},
    )
    values: dict[str, object] = made.to_dict(include_self_link=False, transform_hrefs=False)
    values["links"] = [
        {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
        *(
            {"rel": "item", "href": href, "type": "application/geo+json", "title": title}
            for href, title in links
        ),
    ]
    return values


def _packed(values: dict[str, object]) -> bytes:
    return json.dumps(values, indent=1, allow_nan=False).encode()


def _write(path: Path, values: dict[str, object], mark: str) -> None:
    """Write a document unless it is there already. Raises StateError where another file is."""
    data = _packed(values)
    try:
        there = read(path)
    except FileNotFoundError:
        there = b""
    except OSError as error:
        raise StateError(f"cannot read {safe(str(path))}: {error.strerror}") from error
    if there == data:
        return
    if there and f'"{mark}"'.encode() not in there:
        raise StateError(
            f"{safe(str(path))} was not written by geobatch: it stays as it is",
            hint="move it away, or set output.stac = false",
        )
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise OutputGoneError(
            f"cannot write {safe(str(path))}: {error.strerror}", hint="check the directory"
        ) from error
