"""Assembles the segments of an item into its part file: counted, written, read back, synced."""

from __future__ import annotations

import contextlib
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeometryError, VerifyError
from geobatch_tui.execution.io.digest import crc32, digest_of, output_digest
from geobatch_tui.execution.io.disk import disk_errors
from geobatch_tui.execution.io.part_file import part_path, removed_on_error
from geobatch_tui.execution.io.run_node import writer_name
from geobatch_tui.execution.protocol.messages import ItemReceipt
from geobatch_tui.execution.vector import set_aside
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.arrow_arrays import Summary
from geobatch_tui.execution.vector.batch.buffers import own
from geobatch_tui.execution.vector.plan import VectorPlan
from geobatch_tui.execution.vector.spool.segment import Finished, counts, damaged
from geobatch_tui.execution.vector.write import ogr_file
from geobatch_tui.execution.vector.write.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.io.write_behind import Written
    from geobatch_tui.execution.protocol.messages import FinaliseTask, ItemContext, Segment
    from geobatch_tui.execution.protocol.operation import Stage

_PIECE = 1 << 20


def finalise(task: FinaliseTask, stage: Stage) -> ItemReceipt:
    """Assemble a spooled item into its part file.

    Raises: as :func:`assemble`; the evidence of a VerifyError names all chunks whose segments are
        gone or damaged, so that all are computed again at once.
    """
    own().clear()
    try:
        return assemble(task.item, task.segments, task.epoch, stage)
    except VerifyError as error:
        if chunks := damaged(task.item, task.segments):
            error.evidence = {"chunks": chunks}
        raise


def assemble(
    item: ItemContext, segments: Sequence[Segment], epoch: int, stage: Stage
) -> ItemReceipt:
    """Write, check and sync the part file of an item.

    Raises:
        VerifyError: a segment is damaged (its evidence names the chunk), the counts do not add up,
            or the file reads back other than it was written.
        GeometryError: more features are in quarantine than the job allows, or all are.
        DiskFullError, OutputGoneError: the disk.
    """
    plan = VectorPlan.from_json(item.plan.detail)
    with stage("count"):
        summary, dead = _counted(item, segments, plan.count)
        _refuse_too_many(item, summary)
    facts: dict[str, object] = {
        "features_in": summary.features_in,
        "features_out": summary.out,
        "features_quarantined": summary.dead,
        "features_filtered": summary.filtered,
        **({"encoding": plan.encoding} if plan.encoding else {}),
        "geometry_types": [wkb_coordinates.type_name(kind) for kind in summary.types],
        "bounds": summary.bbox,
        **{name: count for name, count in sorted(summary.facts.items()) if count},
    }
    if plan.is_table:
        facts.pop("empty", None)
    if plan.output.m_of_one_type and not ogr_file.measured(summary.types):
        dropped = sum(
            count for kind, count in summary.kinds.items() if kind >= wkb_coordinates.MEASURED
        )
        if dropped:
            facts["m_dropped"] = summary.facts.get("m_dropped", 0) + dropped
    if plan.id_is_key and summary.ids is None:
        facts["ids_renumbered"] = summary.out
    done = Finished(item, plan, segments, summary)
    if dead:
        with stage("quarantine"):
            facts["quarantine"] = _write_quarantine(replace(done, segments=dead))
    path = part_path(item, epoch)
    with stage("write"), removed_on_error(path), _scratch(item, str(epoch)) as scratch:
        size, digest = _write(done, path, scratch)
    return ItemReceipt(str(path), size, digest, facts)


def _counted(
    item: ItemContext, segments: Sequence[Segment], count: int
) -> tuple[Summary, list[Segment]]:
    """Sum up the chunks of an item of ``count`` features; list those of which some are set aside.
    Raise VerifyError where features got lost or were made up."""
    summary, dead = Summary(), []
    for segment, stats in zip(segments, counts(item, segments), strict=True):
        planned = min(item.plan.grid.window(segment.index).width, count)
        accounted = stats["out"] + stats["dead"] + stats["filtered"]
        extra = stats.get("extra", 0)  # not in those of before there were chains
        if planned != stats["in"] or accounted != stats["in"] + extra:
            error = VerifyError(
                f"chunk {segment.index}: {planned} features were planned and {stats['in']} read, "
                f"but {stats['out']} published + {stats['dead']} quarantined + "
                f"{stats['filtered']} filtered = {accounted}"
                + (f", and steps made {extra} more of them" if extra else "")
            )
            error.evidence = {"chunks": [segment.index]}
            raise error
        summary.add(stats)
        if stats["dead"]:
            dead.append(segment)
    return summary, dead


def _refuse_too_many(item: ItemContext, summary: Summary) -> None:
    limit = item.params.get("max_bad_features", "")
    text, allowed = str(limit).strip(), summary.features_in
    if text.endswith("%"):
        allowed = int(allowed * float(text[:-1]) / 100)
    elif text:
        allowed = int(text)
    if summary.dead > allowed:
        raise GeometryError(
            f"{summary.dead} of {summary.features_in} features are in quarantine; "
            f"max_bad_features = {limit} allows {allowed}",
            hint="look at the reasons in the dead letters, or allow more",
        )
    if summary.dead and not summary.out:
        raise GeometryError(
            f"none of {summary.features_in} features could be processed; {summary.dead} are in "
            "quarantine"
        )


# --- files -------------------------------------------------------------------------------------


def _write(done: Finished, path: Path, scratch: Path) -> tuple[int, str]:
    """Write the part file; return its size and digest, as read back from the disk."""
    writer, suffix = WRITERS[done.plan.format], done.plan.output.suffix
    if writer.joins(done):
        written, named = writer.join(done, path, scratch), path
        if not done.plan.output.is_parquet:  # OGR knows a GeoPackage by its suffix, too
            named = scratch / f"check{suffix}"
            named.symlink_to(path.absolute())
        with ThreadPoolExecutor(1, "check") as checking:
            sound = checking.submit(writer.check, named, done)
            size, digest = _read_back(path, written)
            sound.result()
        return size, digest
    made = scratch / f"output{suffix}"
    with disk_errors("cannot write", made):
        writer.write(done, made)
        _sync(made)
        writer.check(made, done)
        digest, size = digest_of(made)
        _move(made, path)
    return size, digest


def _read_back(path: Path, written: Written) -> tuple[int, str]:
    """Return the size of a file, and its SHA-256 in hex. Raise VerifyError if it is not what was
    written."""
    digest = output_digest()
    size, crcs = 0, [0]
    cuts = list(written.cuts)
    # The digest takes longest, so a thread of its own computes it.
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(1, "digest") as hashing:
        waiting: Future[None] | None = None
        # Two buffers in turn: the one before is still being digested.
        buffer, other = memoryview(bytearray(_PIECE)), memoryview(bytearray(_PIECE))
        while count := file.readinto(buffer[: cuts[0] - size] if cuts else buffer):
            piece = buffer[:count]
            buffer, other = other, buffer
            crcs[-1] = crc32(piece, crcs[-1])
            size += count
            if cuts and size == cuts[0]:
                del cuts[0]
                crcs.append(0)
            if waiting is not None:
                waiting.result()
            waiting = hashing.submit(digest.update, piece)
    if tuple(crcs) != written.crcs:
        raise VerifyError(f"{path.name!r} reads back other bytes than were written to it")
    return size, digest.hexdigest()


@contextlib.contextmanager
def _scratch(item: ItemContext, use: str) -> Iterator[Path]:
    """Give a directory below the item's work directory that no other try uses at the same time: OGR
    names its files by suffix, and keeps others beside them."""
    directory = Path(item.work_dir) / f"{use}-{writer_name()}.d"
    with disk_errors("cannot write in", directory):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _move(made: Path, path: Path) -> None:
    """Move a file to the target directory; copy it where that lies on another filesystem."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.umask(mask := os.umask(0o077))
    made.chmod(0o666 & ~mask)
    shutil.move(made, path)
    _sync(path)


def _write_quarantine(done: Finished) -> str:
    """Write features that are set aside, as they came, to a GeoPackage; return its path."""
    target = Path(done.item.work_dir).parents[1] / "dead" / f"{done.item.key}.gpkg"
    with _scratch(done.item, "dead") as directory, disk_errors("cannot write", target):
        made = directory / "dead.gpkg"
        set_aside.write(done, made)
        _move(made, target)
    return str(target)
