"""A ledger in a fresh output directory, and short ways to say what happens in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ChunkDone, ItemRow
from geobatch_tui.ledger.write.writer import Ledger

BLANK = ItemRow(
    item_id=0,
    key="",
    source="/data/in.tif",
    src_size=10,
    src_mtime_ns=20,
    src_digest="a" * 32,
    params_digest="b" * 32,
    code_digest="c" * 32,
    fingerprint="d" * 32,
    params={"crs": "EPSG:6933"},
    plan={"grid": {"width": 100}},
    out_path="",
    first_chunk=0,
    n_chunks=0,
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir.open(tmp_path / "out", create=True)


@pytest.fixture
def ledger(state: StateDir) -> Iterator[Ledger]:
    opened = Ledger.open(state.ledger, state.output_dir)
    opened.begin_run("run-1", {"op": "raster.convert"}, {"gdal": "3.12"})
    yield opened
    opened.close(archive=False)


@pytest.fixture
def reader(ledger: Ledger) -> Iterator[LedgerReader]:
    with LedgerReader(ledger.path) as opened:
        yield opened


@pytest.fixture
def item(state: StateDir) -> Callable[..., ItemRow]:
    """``item(7, first, n)``: item 7 with output ``7.tif`` and chunks from ``first``."""

    def make(item_id: int, first: int, n: int = 1, **changes: Any) -> ItemRow:
        key = f"{item_id}.tif"
        out_path = str(state.output_dir / key)
        row = replace(
            BLANK, item_id=item_id, key=key, out_path=out_path, first_chunk=first, n_chunks=n
        )
        return replace(row, **changes)

    return make


@pytest.fixture
def done() -> Callable[..., ChunkDone]:
    """``done(chunk, item)``: the chunk has finished."""

    def make(chunk_id: int, item_id: int, **changes: Any) -> ChunkDone:
        made = ChunkDone(
            chunk_id=chunk_id,
            item_id=item_id,
            attempts=1,
            spool="1-99-1.spool",
            offset=chunk_id * 100,
            length=100,
            crc32=0xFFFF_FFFF,
            units=65_536,
            bytes_in=1_000,
            bytes_out=100,
            seconds=0.25,
            nodata=0.5,
            rss_peak=1 << 20,
        )
        return replace(made, **changes)

    return make


@pytest.fixture
def part(state: StateDir) -> Callable[..., str]:
    """``part("x", b"bytes")``: a finished file that waits for its name; returns its path."""

    def make(stem: str, data: bytes = b"whole") -> str:
        path = state.output_dir / stem
        path = path.with_name(f".{path.name}.dddddddd.1.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return make
