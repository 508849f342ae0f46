"""From the segments of an item to its part file: counted, written, read back, synced."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import GeometryError, VerifyError
from geobatch_tui.execution.io.digest import crc32, digest_of, output_digest
from geobatch_tui.execution.io.disk import disk_errors
from geobatch_tui.execution.io.part_file import part_path, removed_on_error
from geobatch_tui.execution.io.write_behind import Written
from geobatch_tui.execution.protocol.messages import ItemReceipt
from geobatch_tui.execution.vector import set_aside
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.arrow_arrays import Summary
from geobatch_tui.execution.vector.batch.buffers import own
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.plan import VectorPlan
from geobatch_tui.execution.vector.spool import contents, pieces, records
from geobatch_tui.execution.vector.write import flatgeobuf_file, gpkg_file, ogr_file, parquet_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.protocol.messages import FinaliseTask, ItemContext, Segment

_PIECE = 1 << 20
#: Suffixes by which OGR's drivers know their own files.
SUFFIXES = {
    "FlatGeobuf": ".fgb",
    "GPKG": ".gpkg",
    "GeoJSON": ".geojson",
    "GeoJSONSeq": ".geojsonl",
    "Shapefile": shapefile_zip.SUFFIX,
}


def finalise(task: FinaliseTask, stage: Stage) -> ItemReceipt:
    """Assemble a spooled item into its part file.

    Raises: as :func:`assemble`; the evidence of a VerifyError names all chunks whose segments are
        gone or damaged, so that all are computed again at once.
    """
    own().clear()
    try:
        return assemble(task.item, task.segments, task.epoch, stage)
    except VerifyError as error:
        if chunks := contents.damaged(task.item, task.segments):
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
        summary = _counted(item, segments, plan.count)
        _refuse_too_many(item, summary)
    facts: dict[str, Any] = {
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
    if plan.format in {"FlatGeobuf", "Shapefile"} and not ogr_file.measured(summary.types):
        dropped = sum(
            count for kind, count in summary.kinds.items() if kind >= wkb_coordinates.MEASURED
        )
        if dropped:
            facts["m_dropped"] = facts.get("m_dropped", 0) + dropped
    if plan.id_is_key and summary.ids is None:
        facts["ids_renumbered"] = summary.out
    if summary.dead:
        with stage("quarantine"):
            facts["quarantine"] = _write_quarantine(item, plan, segments)
    path = part_path(item, epoch)
    with stage("write"), removed_on_error(path):
        size, digest = _write(item, plan, segments, summary, path)
    return ItemReceipt(str(path), size, digest, facts)


def _counted(item: ItemContext, segments: Sequence[Segment], count: int) -> Summary:
    """Sum up the chunks of an item of ``count`` features. Raises VerifyError where features got
    lost or were made up."""
    summary = Summary()
    for segment, stats in zip(segments, contents.counts(item, segments), strict=True):
        planned = min(item.plan.grid.window(segment.index).width, count)
        told = stats["out"] + stats["dead"] + stats["filtered"]
        if not planned == stats["in"] == told:
            error = VerifyError(
                f"chunk {segment.index}: {planned} features were planned and {stats['in']} read, "
                f"but {stats['out']} published + {stats['dead']} quarantined + "
                f"{stats['filtered']} filtered = {told}"
            )
            error.evidence = {"chunks": [segment.index]}
            raise error
        summary.add(stats)
    return summary


def _refuse_too_many(item: ItemContext, summary: Summary) -> None:
    limit = item.params.get("max_bad_features", "")
    allowed = _allowed(limit, summary.features_in)
    if allowed is not None and summary.dead > allowed:
        raise GeometryError(
            f"{summary.dead} of {summary.features_in} features are in quarantine; "
            f"max_bad_features = {limit} allows {allowed}",
            hint="look at the reasons in the dead letters, or allow more",
        )
    if summary.dead and summary.dead + summary.filtered == summary.features_in:
        raise GeometryError(
            f"none of {summary.features_in} features could be processed; {summary.dead} are in "
            "quarantine"
        )


def _allowed(limit: Any, features: int) -> int | None:
    text = str(limit).strip()
    if not text:
        return None
    return int(features * float(text[:-1]) / 100) if text.endswith("%") else int(text)


# --- files -------------------------------------------------------------------------------------


def _write(
    item: ItemContext,
    plan: VectorPlan,
    segments: Sequence[Segment],
    summary: Summary,
    path: Path,
) -> tuple[int, str]:
    """Write the part file; its size and digest, as read back from the disk."""
    if plan.format == "GeoParquet":
        crc = parquet_file.write(item, plan, segments, summary, path)
        size, digest = _read_back(path, Written((), (crc,)))
        parquet_file.check(path, item.fingerprint, summary.out)
        return size, digest
    if records.taken(plan) and summary.out:
        write = gpkg_file.write if plan.format == "GPKG" else flatgeobuf_file.write
        with _scratch(item, epoch_name(path)) as directory:
            written = write(item, plan, segments, summary, path, directory)
            # OGR knows a GeoPackage by its suffix, too.
            named = directory / f"check{SUFFIXES[plan.format]}"
            named.symlink_to(path.absolute())
            with ThreadPoolExecutor(1, "check") as checking:
                sound = checking.submit(_check, named, item, plan, summary)
                size, digest = _read_back(path, written)
                sound.result()
        return size, digest
    parts = contents.contents(item, segments, last=True)
    with _scratch(item, epoch_name(path)) as directory:
        made = directory / f"output{SUFFIXES[plan.format]}"
        with disk_errors("cannot write", made):
            if plan.format == "Shapefile":
                layer = directory / f"{plan.layer_name}.shp"
                ogr_file.write(item, plan, pieces.good_batches(parts), summary, layer)
                shapefile_zip.pack(layer, made, item.fingerprint)
            else:
                ogr_file.write(item, plan, pieces.good_batches(parts), summary, made)
            if plan.format == "GPKG":
                gpkg_file.tell_dimensions(made, plan, summary)
                empty = BytesIO()
                ogr_file.write(item, plan, iter(()), summary, empty)
                gpkg_file.compare(made, empty.getvalue())
            _sync(made)
            _check(made, item, plan, summary)
            digest, size = digest_of(made)
            _move(made, path)
    return size, digest


def _check(made: Path, item: ItemContext, plan: VectorPlan, summary: Summary) -> None:
    """Raises VerifyError where OGR, or SQLite, finds another file than was to be written."""
    if plan.format == "GPKG":
        gpkg_file.check(made)
    ogr_file.check(made, plan, item.fingerprint, summary.out)


def _read_back(path: Path, written: Written) -> tuple[int, str]:
    """Size of a file, and SHA-256 in hex. Raises VerifyError if it is not what was written."""
    digest = output_digest()
    size, crcs = 0, [0]
    cuts = list(written.cuts)
    # The digest takes longest: a thread of its own computes it.
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(1, "digest") as hashing:
        waiting: Future[None] | None = None
        # In turn: the one before is still being digested.
        room, other = memoryview(bytearray(_PIECE)), memoryview(bytearray(_PIECE))
        while count := file.readinto(room[: cuts[0] - size] if cuts else room):
            piece = room[:count]
            room, other = other, room
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


def epoch_name(path: Path) -> str:
    """A directory name that no other try uses at the same time."""
    return f"{path.suffixes[-2:][0].strip('.')}-{os.getpid()}-{threading.get_ident()}.d"


@contextlib.contextmanager
def _scratch(item: ItemContext, name: str) -> Iterator[Path]:
    """A directory below the item's work directory: OGR names its files by suffix, and keeps
    others beside them."""
    directory = Path(item.work_dir) / name
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
    """To the target directory; by a copy where that lies on another filesystem."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    made.chmod(0o666 & ~_umask())
    shutil.move(made, path)
    _sync(path)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_quarantine(item: ItemContext, plan: VectorPlan, segments: Sequence[Segment]) -> str:
    """All features in quarantine, as they came, in a GeoPackage for QGIS; its path."""
    told = zip(segments, contents.counts(item, segments), strict=True)
    parts = contents.contents(item, [one for one, stats in told if stats["dead"]], in_turn=True)
    target = Path(item.work_dir).parents[1] / "dead" / f"{item.key}.gpkg"
    with _scratch(item, f"dead-{os.getpid()}-{threading.get_ident()}.d") as directory:
        made = directory / "dead.gpkg"
        with disk_errors("cannot write", target):
            set_aside.write(plan, parts, made)
            _move(made, target)
    return str(target)
