"""The published outputs of a run: an entry for each, from its ledger."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TextIO

from geobatch_tui.errors import StateError
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.ledger.place.regular_file import open_read
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.letter_export import cell, write_array, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.stores.object_url import ObjectUrl
    from geobatch_tui.ledger.place.state_directory import StateDir
    from geobatch_tui.ledger.schema.updates import ItemRow
    from geobatch_tui.orchestration.state.inspection import Inspector

MANIFEST: Final = "outputs.json"
#: Beginning of each manifest; a file with another beginning is not replaced.
_MARK: Final = '{"geobatch_outputs": '
COLUMNS: Final = ("path", "item", "source", "size", "sha256", "crs")
_SIDES: Final = ("minx", "miny", "maxx", "maxy")
AMOUNTS: Final = ("width", "height", "bands", "features", "seconds")
_CODE: Final = re.compile(r',(?:ID|AUTHORITY)\["([A-Za-z]+)","?(\w+)"?\]\]$')


def published(
    reader: LedgerReader, state: StateDir, inspector: Inspector | None = None
) -> Iterator[Json]:
    """Yield an entry for each output of a run, in the order of its items.

    Args:
        reader: its ledger.
        state: says where its outputs are.
        inspector: reads facts that the ledger lacks, of files that earlier versions made.
    """
    for row in reader.items():
        if row.state is not ItemState.PUBLISHED:
            continue
        if inspector is not None and state.prefix is None and _lacks(row):
            facts = inspector.facts(_op(row), state.named(row.key))
            row = replace(row, facts={**row.facts, **facts})  # noqa: PLW2901
        adopted = row.reason == "adopted"  # made before this ledger began
        yield entry(row, state.named(row.key), None if adopted else reader.seconds(row))


def _op(row: ItemRow) -> str:
    return str((row.params.get("op") or {}).get("name", ""))


def _lacks(row: ItemRow) -> bool:
    """Whether facts of a vector output are missing."""
    return _op(row).startswith("vector.") and not row.facts.keys() >= {"features_out", "bounds"}


def entry(row: ItemRow, path: str, seconds: float | None) -> Json:
    """Make the entry of the output at ``path``. ``bounds`` are in its CRS; unknown values are
    None."""
    detail, facts = row.plan.get("detail") or {}, row.facts
    count = facts.get("features_out")
    bounds = facts.get("bounds") if count is not None else _box(detail)
    return {
        "path": path,
        "item": row.key,
        "source": row.source,
        "size": row.out_size,
        "sha256": row.out_digest,
        "crs": crs_name(str(detail.get("dst_crs") or detail.get("crs") or "")),
        "bounds": bounds,
        "width": detail.get("width"),
        "height": detail.get("height"),
        "bands": detail.get("count") if "width" in detail else None,
        "features": count,
        "seconds": None if seconds is None else round(seconds, 3),
    }


def write_manifest(state: StateDir, run_id: str) -> None:
    """Write the entries to ``outputs.json`` where the outputs are, as :func:`write_file` does.
    Raises StateError where a file of that name is not ours, or the ledger cannot be read."""
    path = (state.output_dir if state.prefix is None else state.root) / MANIFEST
    _refuse_foreign(path)

    def stream(entries: Iterable[Json], file: TextIO) -> None:
        head = f'{_MARK}1, "run_id": {json.dumps(run_id)}, "outputs": ['
        write_array(head, entries, file)

    with LedgerReader(state.ledger) as reader:
        write_file(stream, published(reader, state), path)
    if state.prefix is not None:
        _send(path, state.prefix.url(MANIFEST))


def _send(path: Path, url: ObjectUrl) -> None:
    """Write the list to a store, where none of others is in its place."""
    from geobatch_tui.execution.stores.writing import object_output
    from geobatch_tui.execution.stores.writing.small_objects import LISTS

    there = object_output.reader_of(url).described(url)
    if there is not None and LISTS not in there[1]:
        raise StateError(
            f"{shown(str(url))} is no list of outputs of geobatch: it stays as it is",
            hint="move it away, or set output.manifest = false",
        )
    object_output.put_file(path, url, {LISTS: "1"})


def _refuse_foreign(path: Path) -> None:
    try:
        with open_read(path) as file:
            head = file.read(len(_MARK))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"cannot read {safe(str(path))}: {error.strerror}") from error
    if head != _MARK.encode():
        raise StateError(
            f"{safe(str(path))} is no list of outputs of geobatch: it stays as it is",
            hint="move it away, or set output.manifest = false",
        )


def stream_csv(entries: Iterable[Json], file: TextIO) -> None:
    """Write a table (RFC 4180), an output in each row; the sides of ``bounds`` are columns."""
    writer = csv.writer(file)
    writer.writerow([*COLUMNS, *_SIDES, *AMOUNTS])
    for one in entries:
        sides = one["bounds"] or [""] * len(_SIDES)
        facts = ([cell(one[name]) for name in names] for names in (COLUMNS, AMOUNTS))
        writer.writerow([*next(facts), *sides, *next(facts)])


def crs_name(wkt: str) -> str | None:
    """Return the code of a CRS, such as EPSG:6933; its WKT if it has none."""
    code = _CODE.search(wkt)
    return f"{code[1]}:{code[2]}" if code else wkt or None


def _box(detail: Json) -> list[float] | None:
    """Return the box of a raster: round its four corners, as it may be rotated."""
    place: Sequence[float] | None = detail.get("transform")
    if not place or "width" not in detail or "height" not in detail:
        return None
    a, b, c, d, e, f = place[:6]
    corners = [(x, y) for x in (0, detail["width"]) for y in (0, detail["height"])]
    xs = [a * x + b * y + c for x, y in corners]
    ys = [d * x + e * y + f for x, y in corners]
    return [min(xs), min(ys), max(xs), max(ys)]
