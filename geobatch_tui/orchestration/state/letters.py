"""Dead letters: records of chunks, features and items that were given up, with all evidence."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError, Reaction
from geobatch_tui.execution.protocol.messages import Failure, ItemContext, chunk_place
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.observability.redact import redact, redact_value
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import ChunkGrid, FeatureLetter, Json
    from geobatch_tui.execution.protocol.operation import Operation
    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.ledger.schema.updates import ItemRow

#: Letters in the last line of the log, and in a result.
LETTERS_SHOWN = 20

_TEXTS = frozenset({"error_message", "reproduce", "suggestion", "traceback", "evidence"})


def first_letters(reader: LedgerReader) -> list[Json]:
    """Return the oldest dead letters without their bulk; those that can be read."""
    letters: list[Json] = []
    with contextlib.suppress(GeobatchError):
        for letter in islice(reader.dead_letters(), LETTERS_SHOWN):
            short = {key: letter[key] for key in letter if key not in {"traceback", "evidence"}}
            letters.append(short)
    return letters


def chunk_label(key: str, grids: Sequence[ChunkGrid], index: int) -> str:
    """Return the chunk's key for people and for ``--chunk``: ``item@row,col``; in a stage
    ``item@stage1:row,col``. ``grids`` are those of an item's plan."""
    number, grid, local = chunk_place(grids, index)
    row, col = divmod(local, grid.columns)
    stage = "" if number == len(grids) - 1 else f"stage{number + 1}:"
    return f"{key}@{stage}{row},{col}"


def chunk_letter(
    item: ItemContext, index: int, attempts: int, failure: Failure, operation: Operation
) -> dict[str, object]:
    """Make the record of a dead chunk."""
    plan, notes = item.plan, item.plan.notes
    number, grid, local = chunk_place(plan.grids, index)
    window = grid.window(local)
    bounds = None
    if number == len(plan.stages):
        bounds = window_bounds(notes.get("lonlat"), grid, window)
        reproduce = operation.reproduce(item, window)
    else:
        # As if the chain ended there. Nobody knows where on the earth that is.
        steps = list(item.params["steps"])[: plan.stages[number].steps]
        reproduce = operation.reproduce(
            replace(item, params={**item.params, "steps": steps}), window
        )
    record = _letter(item, attempts, failure, notes, reproduce)
    record |= {
        "chunk": safe(chunk_label(item.key, plan.grids, index)),
        "window": [window.col_off, window.row_off, window.width, window.height],
        "bounds_lonlat": bounds,
    }
    return _redacted(record)


def feature_letter(
    item: ItemContext, index: int, attempts: int, letter: FeatureLetter, operation: Operation
) -> dict[str, object]:
    """Make the record of a feature that its chunk set aside."""
    grid = item.plan.grid
    window = Window(letter.position, grid.window(index).row_off, 1, 1)
    fid = "" if letter.fid is None else f" with fid {letter.fid}"
    failure = Failure(
        letter.error_class,
        Reaction.PERMANENT,
        f"feature {letter.position}{fid}: {letter.reason}",
        stage=letter.stage,
        hint="repair it in the quarantine file, or retry with other parameters",
        evidence={
            "position": letter.position,
            "wkb": letter.wkb,
            "wkb_bytes": letter.wkb_bytes,
            "quarantine": safe(f".geobatch/dead/{item.key}.gpkg"),
            **({"step": letter.step} if letter.step else {}),
        },
    )
    reproduce = redact(operation.reproduce(item, window))
    record = _letter(item, attempts, failure, item.plan.notes, reproduce)
    return record | {
        "chunk": safe(chunk_label(item.key, item.plan.grids, index)),
        "feature": letter.position if letter.fid is None else letter.fid,
        "error_message": redact(safe(failure.message)),
        "window": [letter.position, window.row_off, 1, 1],
    }


def item_letter(
    item: ItemContext | ItemRow, attempts: int, failure: Failure, reproduce: str
) -> dict[str, object]:
    """Make the record of an item that is dead as a whole: refused by its probe, or unassembled."""
    return _redacted(_letter(item, attempts, failure, failure.evidence, reproduce))


def _letter(
    item: ItemContext | ItemRow, attempts: int, failure: Failure, known: Json, reproduce: str
) -> dict[str, object]:
    """Make a record without a place in its item; ``known`` has the source of the CRS."""
    return {
        "item_id": item.item_id,
        "item": safe(item.key),
        "chunk": None,
        "feature": None,
        "error_class": failure.error_class,
        "error_message": safe(failure.message),
        "stage": failure.stage,
        "crs_source": known.get("crs_source"),
        "attempts": attempts,
        "window": None,
        "bounds_lonlat": None,
        "reproduce": reproduce,
        "suggestion": safe(failure.hint),
        "source": safe(item.source),
        "source_digest": (
            item.source_id.digest if isinstance(item, ItemContext) else item.src_digest
        ),
        "reaction": failure.reaction.value,
        "traceback": failure.traceback,
        "evidence": dict(failure.evidence),
        **({"host": safe(str(host))} if (host := failure.evidence.get("host")) else {}),
        **({"step": int(step)} if (step := failure.evidence.get("step")) else {}),
    }


def _redacted(record: Json) -> dict[str, object]:
    """Remove credentials from the texts of a record: a library's message may name a URL, a command
    a secret. Names of items and sources stay: letters are found by them."""
    return {
        name: redact_value(value) if name in _TEXTS else value for name, value in record.items()
    }


def window_bounds(lattice: Json | None, grid: ChunkGrid, window: Window) -> list[float] | None:
    """Return west, south, east, north of a window in degrees, from the plan's lon/lat lattice.

    The lattice holds ``cols`` x ``rows`` nodes at equal steps over the item's pixels; a node that
    has no place on the earth is None. The window's corners, edge middles and centre are
    interpolated between nodes, so a window smaller than a cell is exact to the lattice's error.
    Returns None where no node round the window is known.
    """
    if not lattice:
        return None
    points = [
        point
        for v in (0.0, 0.5, 1.0)
        for u in (0.0, 0.5, 1.0)
        if (
            point := _interpolate(
                lattice,
                (window.col_off + u * window.width) / grid.width,
                (window.row_off + v * window.height) / grid.height,
            )
        )
    ]
    if not points:
        return None
    lons, lats = zip(*points, strict=True)
    return [round(value, 6) for value in (min(lons), min(lats), max(lons), max(lats))]


def _interpolate(lattice: Json, x: float, y: float) -> tuple[float, float] | None:
    """Interpolate between the four nodes round (x, y), both 0 to 1; None if one is unknown."""
    cols, rows = int(lattice["cols"]), int(lattice["rows"])
    points: Sequence[Sequence[float] | None] = lattice["points"]
    u, v = x * (cols - 1), y * (rows - 1)
    col, row = min(int(u), cols - 2), min(int(v), rows - 2)
    du, dv = u - col, v - row
    lon = lat = 0.0
    for node, weight in (
        (row * cols + col, (1 - du) * (1 - dv)),
        (row * cols + col + 1, du * (1 - dv)),
        ((row + 1) * cols + col, (1 - du) * dv),
        ((row + 1) * cols + col + 1, du * dv),
    ):
        point = points[node]
        if weight == 0:
            continue
        if point is None:
            return None
        lon += weight * point[0]
        lat += weight * point[1]
    return lon, lat
