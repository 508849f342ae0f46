"""Runs a task to its outcome, whatever its operation does, in a process or in a thread."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from geobatch_tui.errors import MemoryBudgetError, OperationError
from geobatch_tui.execution.ops import registry
from geobatch_tui.execution.protocol.messages import (
    ChunkReceipt,
    ChunkTask,
    Failure,
    FinaliseTask,
    InspectReceipt,
    InspectTask,
    ItemPlan,
    ItemReceipt,
    LayersReceipt,
    LayersTask,
    Outcome,
    PreviewReceipt,
    PreviewTask,
    ProbeTask,
    Receipt,
    Task,
)
from geobatch_tui.execution.runtime import classify, evidence
from geobatch_tui.execution.runtime.recorder import ErrorFile, Recorder, is_flooded, listen_to_gdal
from geobatch_tui.execution.worker.warmup import restrict_gdal

if TYPE_CHECKING:
    from geobatch_tui.execution.runtime.meter import Measure


def run_task(task: Task, recorder: Recorder, meter: Measure, fd2: ErrorFile | None) -> Outcome:
    """Run one task to its outcome. Raises nothing, whatever the operation does.

    Args:
        task: what to do.
        recorder: of this thread.
        meter: of this process or thread.
        fd2: where fd 2 of this process leads, if it is this worker's alone.
    """
    recorder.begin()
    meter.begin()
    receipt: Receipt | None = None
    failure: Failure | None = None
    try:
        receipt = _receipt(task, recorder)
    except BaseException as error:  # noqa: BLE001 - boundary: foreign code raises anything
        failure = _failure(error, task, recorder)
    text = fd2.take() if fd2 is not None else b""
    facts: dict[str, object] = {}
    if text or recorder.messages:
        facts = _facts(text, recorder)
        failure = _weigh(failure, _doubt(task, recorder, text))
        if failure is not None:
            merged = {**facts, **failure.evidence}
            failure, receipt, facts = replace(failure, evidence=merged), None, {}
    if recorder.seconds and isinstance(receipt, ChunkReceipt) and not receipt.seconds:
        receipt = replace(receipt, seconds=recorder.seconds)
    seconds, rss, peak = meter.end()
    return Outcome(task.task_id, receipt, failure, seconds, rss, peak, facts)


_RECEIPTS: dict[type[Task], type[Receipt]] = {
    ChunkTask: ChunkReceipt,
    FinaliseTask: ItemReceipt,
    ProbeTask: ItemPlan,
    LayersTask: LayersReceipt,
    PreviewTask: PreviewReceipt,
    InspectTask: InspectReceipt,
}


def _receipt(task: Task, recorder: Recorder) -> Receipt:
    receipt = _call(task, recorder)
    kind = _RECEIPTS[type(task)]
    if not isinstance(receipt, kind):
        raise OperationError(
            f"the operation answered {type(receipt).__name__} where {kind.__name__} was asked for"
        )
    return receipt


def _call(task: Task, recorder: Recorder) -> Receipt:
    if isinstance(task, ChunkTask):
        return registry.get_operation(task.item.op).run(task, recorder.stage)
    if isinstance(task, FinaliseTask):
        return registry.get_operation(task.item.op).finalise(task, recorder.stage)
    if isinstance(task, ProbeTask):
        return registry.get_operation(task.op).probe(task, recorder.stage)
    if isinstance(task, LayersTask):
        from geobatch_tui.execution.vector.read.layer import layers

        return layers(task, recorder.stage)
    if isinstance(task, PreviewTask):
        from geobatch_tui.execution.raster.preview import preview

        return preview(task, recorder.stage)
    return registry.get_operation(task.op).inspect(task, recorder.stage)


def places(task: Task) -> tuple[str, str]:
    """Return the source that a task reads, and the path of its output."""
    if isinstance(task, ChunkTask | FinaliseTask):
        return task.item.source, task.item.out_path
    if isinstance(task, ProbeTask | LayersTask | PreviewTask):
        return task.source, ""
    return task.path, ""


def _failure(error: BaseException, task: Task, recorder: Recorder) -> Failure:
    source, out = places(task)
    stage = recorder.current_stage
    try:
        return classify.failure(error, stage=stage, source=source, out=out)
    except Exception as second:  # noqa: BLE001 - boundary: short of memory, even this may fail
        text = f"{type(error).__name__}, and {type(second).__name__} while it was recorded"
        short = isinstance(error, MemoryError) or isinstance(second, MemoryError)
        kind = MemoryBudgetError if short else OperationError
        return Failure(kind.__name__, kind.reaction, text, stage=stage)


def _facts(text: bytes, recorder: Recorder) -> dict[str, object]:
    facts: dict[str, object] = {}
    if text:
        facts["stderr"] = evidence.tail(text)
    if recorder.messages:
        facts["gdal"] = [evidence.cut(message.text, 2000) for message in recorder.messages]
    return facts


def _doubt(task: Task, recorder: Recorder, text: bytes) -> Failure | None:
    """Find the failure of a task that raised nothing, in its messages and its text on fd 2."""
    if is_flooded(text):
        message = f"it wrote more than {evidence.FLOOD >> 20} MiB to fd 2, more than can be judged"
        return Failure(OperationError.__name__, OperationError.reaction, message)
    source, _ = places(task)
    reading_back = isinstance(task, FinaliseTask | InspectTask)
    line = evidence.damage(text) or ""
    return classify.complaint(line, recorder.messages, source=source, reading_back=reading_back)


#: Failures that have several causes, a full disk among them: messages on the way decide.
_VAGUE = {"OperationError", "CorruptSourceError", "VerifyError"}
_PLAIN = {"DiskFullError", "OpenFilesError", "MemoryBudgetError"}


def _weigh(raised: Failure | None, doubt: Failure | None) -> Failure | None:
    """Choose the failure to report: the one raised, unless messages on the way tell more."""
    if raised is None or doubt is None:
        return raised or doubt
    cause = doubt.error_class
    tells_more = cause in _PLAIN or raised.error_class == "OperationError"
    if raised.error_class in _VAGUE and tells_more and cause != "OperationError":
        message = f"{raised.message} ({doubt.message})"
        return replace(
            raised,
            error_class=cause,
            reaction=doubt.reaction,
            message=message,
            hint=doubt.hint,
        )
    return raised


def needs_gdal(task: Task) -> bool:
    """Whether a task may call rasterio's GDAL, which takes long to load.

    Operations of features do not: pyogrio has a GDAL of its own.
    """
    if "rasterio" in sys.modules or isinstance(task, PreviewTask):
        return True
    name = task.item.op if isinstance(task, ChunkTask | FinaliseTask) else task.op
    return not name.startswith("vector.")


def enter_gdal() -> None:
    """Send GDAL's errors of this thread to its recorder and not to fd 2, from here on.

    Entered in the main thread, rasterio's Env holds for the process; in another thread, for that
    one. It is never left: the settings of a worker last as long as it.
    """
    import rasterio

    from geobatch_tui.execution.raster.source.opened_source import OPTIONS

    restrict_gdal()
    listen_to_gdal()
    rasterio.Env(**OPTIONS).__enter__()
