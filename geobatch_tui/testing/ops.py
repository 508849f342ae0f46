"""The operations ``test.noop`` and ``test.faulty``."""

from __future__ import annotations

import hashlib
import os
import shlex
import zlib
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from geobatch_tui.errors import SourceNotFoundError, VerifyError
from geobatch_tui.execution.io.part_file import part_path
from geobatch_tui.execution.io.run_node import writer_name
from geobatch_tui.execution.params.param_fields import operational, semantic
from geobatch_tui.execution.protocol.looking import InspectReceipt, InspectTask
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    ChunkReceipt,
    ChunkTask,
    FinaliseTask,
    ItemContext,
    ItemPlan,
    ItemReceipt,
    ProbeTask,
    Segment,
)
from geobatch_tui.testing.faults import misbehave

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.window import Window

_MEGABYTE = 1 << 20
#: First word of every output: a file with it is ours.
_MAGIC = "geobatch-test"


class NoopParams(BaseModel):
    """Parameters of ``test.noop``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunks: int = semantic(1, "chunks of each item", "chunks")
    milliseconds: float = operational(0.0, "time that a chunk takes", "ms")


class FaultyParams(NoopParams):
    """Parameters of ``test.faulty``: chunks by what they do, and where to count attempts.

    The faults are operational: a chunk that does not die gives the same bytes as ever.
    """

    bytes: int = semantic(64, "bytes of each chunk", "bytes")
    faults: dict[str, list[int]] = operational({}, "fault by name -> chunks that have it")
    times: int = operational(0, "attempts that fail of a chunk with a fault; 0: all", "attempts")
    megabytes: int = operational(64, "size of an allocation or a flood", "MB")
    state_dir: str = operational(
        "", "directory in which attempts are counted, for `times`", writes=True
    )
    only_key: str = operational("", "item that has the faults; empty: all")


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _write_part(item: ItemContext, epoch: int, text: bytes) -> ItemReceipt:
    """Write, sync and read back the part file. Its bytes depend on the item alone."""
    head = f"{_MAGIC} {item.fingerprint}\n".encode()
    part = part_path(item, epoch)
    with part.open("wb") as file:
        file.write(head + text)
        file.flush()
        os.fsync(file.fileno())
    data = part.read_bytes()
    if data != head + text:
        raise VerifyError(f"{part} holds other bytes than were written")
    return ItemReceipt(str(part), len(data), _digest(data), {"chunks": len(item.plan.grid)})


class Noop:
    """Does nothing, at once. For benchmarks of the engine."""

    name = "test.noop"
    version = 1
    data: Literal["raster", "vector"] = "raster"
    summary = "does nothing to any file (for tests and benchmarks)"
    params: type[BaseModel] = NoopParams

    def libraries(self) -> dict[str, str]:
        """Return none: it is plain Python."""
        return {}

    def probe(self, task: ProbeTask, stage: Stage) -> ItemPlan:
        """Plan as many chunks as asked for; SourceNotFoundError if there is no such file."""
        with stage("open"):
            if not Path(task.source).exists():
                raise SourceNotFoundError(f"{task.source} does not exist")
        chunks = int(task.params.get("chunks", 1))
        return ItemPlan(ChunkGrid(chunks, 1, 1, 1), 1, 64 + 32 * chunks, {"chunks": chunks})

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        """Wait as long as asked for, and return an empty segment."""
        pause = float(task.item.params.get("milliseconds", 0.0))
        if pause:
            with stage("compute"):
                sleep(pause / 1000)
        whole = _write_part(task.item, task.epoch, b"") if task.whole else None
        segment = Segment(task.index, "", 0, 0, 0)
        return ChunkReceipt(task.index, segment, 1, 0, 0, 0.0, {}, whole)

    def finalise(self, task: FinaliseTask, stage: Stage) -> ItemReceipt:
        """Write a short text file: the fingerprint, and nothing else."""
        with stage("assemble"):
            return _write_part(task.item, task.epoch, b"")

    def inspect(self, task: InspectTask, stage: Stage) -> InspectReceipt:
        """Read the fingerprint in the first line, if there is one."""
        with stage("read"):
            data = Path(task.path).read_bytes()
        word, _, fingerprint = data.partition(b"\n")[0].decode("utf-8", "replace").partition(" ")
        return InspectReceipt(fingerprint if word == _MAGIC else "", len(data), _digest(data))

    def gdal_command(self, item: ItemContext) -> str:
        """Return a comment: GDAL has no such command."""
        return f"true  # {item.key}"

    def reproduce(self, item: ItemContext, window: Window) -> str:
        return shlex.join(["true", "chunk", str(window.col_off), item.key])


class Faulty(Noop):
    """Like ``test.noop``, with bytes to show for it, and chunks that misbehave.

    ``faults`` in its parameters maps names in `geobatch_tui.testing.faults` to chunk numbers.
    """

    name = "test.faulty"
    summary = "crashes, hangs, exits, floods, on request (for tests)"
    params: type[BaseModel] = FaultyParams

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        """Misbehave if the chunk is listed; else spool its bytes."""
        params = task.item.params
        with stage("compute"):
            if params.get("only_key", "") in ("", task.item.key):
                for fault, chunks in params.get("faults", {}).items():
                    if task.index in chunks and _due(task):
                        misbehave(fault, int(params.get("megabytes", 64)) * _MEGABYTE)
            sleep(float(params.get("milliseconds", 0.0)) / 1000)
            data = _bytes_of(task)
        segment, whole = Segment(task.index, "", 0, 0, 0), None
        if task.whole:
            with stage("write"):
                whole = _write_part(task.item, task.epoch, data)
        else:
            with stage("spool"):
                segment = _spool(task, data)
        return ChunkReceipt(task.index, segment, len(data), 0, len(data), 0.0, {}, whole)

    def finalise(self, task: FinaliseTask, stage: Stage) -> ItemReceipt:
        """Write the bytes of all chunks, in order. VerifyError if a segment is damaged."""
        with stage("assemble"):
            folder = Path(task.item.work_dir)
            segments = sorted(task.segments, key=lambda segment: segment.index)
            parts = [_unspool(folder, segment) for segment in segments]
            damaged = [
                segment.index
                for segment, data in zip(segments, parts, strict=True)
                if zlib.crc32(data) != segment.crc32
            ]
            if damaged:
                error = VerifyError(f"segments {damaged} are gone or damaged")
                error.evidence = {"chunks": damaged}
                raise error
            return _write_part(task.item, task.epoch, b"".join(parts))


def _bytes_of(task: ChunkTask) -> bytes:
    """Make bytes that depend on the item's fingerprint and the chunk's number alone."""
    seed = f"{task.item.fingerprint}:{task.index}".encode()
    return hashlib.shake_128(seed).digest(int(task.item.params.get("bytes", 64)))


def _due(task: ChunkTask) -> bool:
    """Whether the fault strikes at this attempt. It is counted on disk, as the worker may die."""
    params = task.item.params
    times = int(params.get("times", 0))
    if not times:
        return True
    digest = hashlib.blake2b(task.item.key.encode(), digest_size=8).hexdigest()
    path = Path(params["state_dir"]) / f"{digest}-{task.index}"
    with path.open("ab") as file:
        file.write(b"x")
        return file.tell() <= times


def _spool(task: ChunkTask, data: bytes) -> Segment:
    folder = Path(task.item.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{task.epoch}-{writer_name()}.spool"
    with (folder / name).open("ab") as file:
        offset = file.tell()
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Segment(task.index, name, offset, len(data), zlib.crc32(data))


def _unspool(folder: Path, segment: Segment) -> bytes:
    try:
        with (folder / segment.spool).open("rb") as file:
            file.seek(segment.offset)
            return file.read(segment.length)
    except FileNotFoundError:
        return b""


NOOP = Noop()
FAULTY = Faulty()
