"""Runs one vector item as the engine does, in this process: probe, chunks, assembly."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import (
    Chunking,
    ChunkTask,
    FinaliseTask,
    ItemContext,
    ProbeTask,
    SourceIdentity,
)
from geobatch_tui.execution.sources.source_files import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import ChunkReceipt, ItemPlan, ItemReceipt

SUFFIXES = {
    "GeoParquet": ".parquet",
    "FlatGeobuf": ".fgb",
    "GPKG": ".gpkg",
    "GeoJSON": ".geojson",
    "GeoJSONSeq": ".geojsonl",
    "Shapefile": ".shp.zip",
}
FINGERPRINT = "0123456789abcdef" * 2


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """A stage that nobody measures."""
    del name
    yield


@dataclass(frozen=True)
class Done:
    """A finished item: ``path`` stands for the published file."""

    path: Path
    plan: ItemPlan
    item: ItemContext
    chunks: list[ChunkReceipt]
    receipt: ItemReceipt

    @property
    def letters(self) -> list[Any]:
        return [letter for chunk in self.chunks for letter in chunk.letters]


def probe(
    op: str,
    source: Path,
    *,
    params: dict[str, Any] | None = None,
    form: str = "GeoParquet",
    features: int = 0,
    options: dict[str, Any] | None = None,
    creation: dict[str, Any] | None = None,
    most_bytes: int = 0,
) -> ItemPlan:
    """The plan of one item."""
    operation = get_operation(op)
    values = operation.params.model_validate(params or {}).model_dump(mode="json")
    task = ProbeTask(
        0,
        source.stem + SUFFIXES[form],
        str(source),
        options or {},
        op,
        values,
        {"format": form, "creation": creation or {}, "allow_lossy": True},
        Chunking(0, 0, features, 0, most_bytes),
    )
    return operation.probe(task, stage)


def context(
    op: str, source: Path, out: Path, plan: ItemPlan, params: dict[str, Any] | None, form: str
) -> ItemContext:
    """The item as workers know it."""
    name = source.stem + SUFFIXES[form]
    operation = get_operation(op)
    return ItemContext(
        1,
        name,
        str(source),
        SourceIdentity(*status(str(source)), "d"),
        FINGERPRINT,
        op,
        operation.params.model_validate(params or {}).model_dump(mode="json"),
        {"format": form},
        str(out / name),
        str(out / ".geobatch" / "work" / "1"),
        plan,
    )


def run(
    op: str,
    source: Path,
    out: Path,
    *,
    params: dict[str, Any] | None = None,
    form: str = "GeoParquet",
    features: int = 0,
    order: int = 1,
    **more: Any,
) -> Done:
    """Process ``source`` into ``out``; chunks are computed in steps of ``order``, which may be
    negative."""
    plan = probe(op, source, params=params, form=form, features=features, **more)
    item = context(op, source, out, plan, params, form)
    operation = get_operation(op)
    count = len(plan.grid)
    receipts = [
        operation.run(ChunkTask(n, item, n, 1, 1, whole=count == 1), stage)
        for n in range(count)[::order]
    ]
    receipts.sort(key=lambda receipt: receipt.index)
    receipt = receipts[0].item
    if receipt is None:
        segments = tuple(chunk.segment for chunk in receipts)
        receipt = operation.finalise(FinaliseTask(0, item, 1, segments), stage)
    target = Path(item.out_path)
    Path(receipt.part_path).rename(target)
    return Done(target, plan, item, receipts, replace(receipt, part_path=str(target)))
