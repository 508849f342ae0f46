"""Runs a task to its outcome, whatever its operation does, in a process or in a thread."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from geobatch_tui.errors import MemoryBudgetError, OperationError
from geobatch_tui.execution.io.part_file import removed_on_error
from geobatch_tui.execution.io.run_node import require_pass
from geobatch_tui.execution.ops import registry
from geobatch_tui.execution.protocol import messages
from geobatch_tui.execution.protocol.looking import (
    InspectReceipt,
    InspectTask,
    LayersReceipt,
    LayersTask,
    MembersReceipt,
    MembersTask,
    SurveyReceipt,
    SurveyTask,
)
from geobatch_tui.execution.runtime import classify, evidence
from geobatch_tui.execution.runtime.recorder import ErrorFile, Recorder, listen_to_gdal
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.stores.host_traffic import TRAFFIC, traffic
from geobatch_tui.execution.stores.object_url import is_url
from geobatch_tui.execution.worker.warmup import restrict_gdal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.execution.protocol import preview_messages
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.runtime.meter import Meter
    from geobatch_tui.execution.sources.staged_source import Reading

#: Waiting tasks for which a worker fetches at once.
MOST_FORESEEN = 8


def run_task(
    task: messages.Task, recorder: Recorder, meter: Meter, fd2: ErrorFile | None
) -> messages.Outcome:
    """Run one task to its outcome. Raises nothing, whatever the operation does.

    Args:
        task: what to do.
        recorder: of this thread.
        meter: of this process or thread.
        fd2: where fd 2 of this process leads, if it is this worker's alone.
    """
    recorder.begin()
    meter.begin()
    receipt: messages.Receipt | None = None
    failure: messages.Failure | None = None
    try:
        receipt = _receipt(task, recorder)
    except BaseException as error:  # noqa: BLE001 - boundary: foreign code raises anything
        failure = _failure(error, task, recorder)
    text = fd2.take() if fd2 is not None else b""
    facts: dict[str, object] = {}
    if text:
        facts["stderr"] = evidence.tail(text)
    if recorder.messages:
        facts["gdal"] = [evidence.cut(message.text, 2000) for message in recorder.messages]
    if recorder.notes:
        facts["said"] = recorder.notes
    if facts:
        failure = _weigh(failure, _doubt(task, recorder, text))
        if failure is not None:
            merged = {**facts, **failure.evidence}
            failure, receipt, facts = replace(failure, evidence=merged), None, {}
    if recorder.seconds and isinstance(receipt, messages.ChunkReceipt) and not receipt.seconds:
        receipt = replace(receipt, seconds=recorder.seconds)
    if passed := traffic.taken():
        facts = {**facts, TRAFFIC: passed}
    seconds, rss, peak = meter.end()
    own = max(seconds - recorder.apart, 0.0)
    return messages.Outcome(task.task_id, receipt, failure, own, rss, peak, facts)


def _receipt(task: messages.Task, recorder: Recorder) -> messages.Receipt:
    if _needs_file(task):
        kind, receipt = _on_files(task, recorder.stage)
    else:
        kind, receipt = _call(task, recorder.stage)
    if not isinstance(receipt, kind):
        raise OperationError(
            f"the operation answered {type(receipt).__name__} where {kind.__name__} was asked for"
        )
    item = receipt.item if isinstance(receipt, messages.ChunkReceipt) else receipt
    if isinstance(item, messages.ItemReceipt):
        _keep_in_run(item)
    return receipt


def _keep_in_run(item: messages.ItemReceipt) -> None:
    """Remove a complete part file, and raise ClusterError, if others do the work of this node."""
    with removed_on_error(Path(item.part_path)):
        require_pass()


def _on_files(task: Reading, stage: Stage) -> tuple[type[messages.Receipt], messages.Receipt]:
    """Run a task of features whose source is in a store: their libraries read files."""
    from geobatch_tui.execution.sources import staged_source
    from geobatch_tui.execution.vector.read.object_ranges import version_in_ranges

    with staged_source.staged(task, version_in_ranges(task)) as staged:
        kind, receipt = _call(staged.task, stage)
        return kind, staged.told(receipt)


def _needs_file(task: messages.Task) -> TypeGuard[Reading]:
    match task:
        case messages.ChunkTask() | messages.FinaliseTask() | messages.ResultTask():
            op = task.item.op
        case messages.ProbeTask() | LayersTask():
            op = task.op
        case _:
            return False
    return is_remote(task) and _is_of_features(op)


def _call(task: messages.Task, stage: Stage) -> tuple[type[messages.Receipt], messages.Receipt]:
    """Run a task; return the class of receipt that it asks for, and the receipt."""
    match task:
        case messages.ChunkTask():
            return messages.ChunkReceipt, registry.get_operation(task.item.op).run(task, stage)
        case messages.FinaliseTask():
            return messages.ItemReceipt, registry.get_operation(task.item.op).finalise(task, stage)
        case messages.ProbeTask():
            return messages.ItemPlan, registry.get_operation(task.op).probe(task, stage)
        case MembersTask() | SurveyTask() | LayersTask():
            return _look(task, stage)
        case InspectTask():
            return InspectReceipt, registry.get_operation(task.op).inspect(task, stage)
        case _:
            return _show(task, stage)


def _show(
    task: preview_messages.PreviewTask | messages.ResultTask, stage: Stage
) -> tuple[type[messages.Receipt], messages.Receipt]:
    """Make what is for the eye."""
    from geobatch_tui.execution.protocol import preview_messages

    if isinstance(task, messages.ResultTask) and _is_of_features(task.item.op):
        from geobatch_tui.execution.vector.step_features import step_features

        return preview_messages.FeaturesReceipt, step_features(task, stage)
    from geobatch_tui.execution.raster.pictures.step_result import picture_of

    return preview_messages.PreviewReceipt, picture_of(task, stage)


def _is_of_features(op: str) -> bool:
    return registry.get_operation(op).data == "vector"


def _look(
    task: MembersTask | SurveyTask[messages.ProbeTask] | LayersTask, stage: Stage
) -> tuple[type[messages.Receipt], messages.Receipt]:
    """Look at what an item is to be made of."""
    if isinstance(task, MembersTask):
        from geobatch_tui.execution.raster.chain_probe import look_at_members

        return MembersReceipt, look_at_members(task, stage)
    if isinstance(task, SurveyTask):
        from geobatch_tui.execution.raster.chain_probe import survey_part

        return SurveyReceipt, survey_part(task, stage)
    from geobatch_tui.execution.vector.read.layer import layers

    return LayersReceipt, layers(task, stage)


def places(task: messages.Task) -> tuple[str, str]:
    """Return the source that a task reads, and the path of its output."""
    if isinstance(task, messages.ChunkTask | messages.FinaliseTask | messages.ResultTask):
        return task.item.source, task.item.out_path
    if isinstance(task, InspectTask):
        return task.path, ""
    return task.source, ""


def foresee(waiting: Iterable[messages.Task]) -> None:
    """Begin to fetch what tasks that wait will read first of their sources in stores."""
    for task in islice(waiting, MOST_FORESEEN):
        if not isinstance(task, messages.ChunkTask | messages.ProbeTask) or not is_remote(task):
            continue
        from geobatch_tui.execution.raster.source import object_source

        if isinstance(task, messages.ProbeTask):
            if not task.op.startswith("vector."):
                wanted = version_in(task.source_id) if task.source_id else None
                object_source.foresee(task.source, wanted, beside=not task.alone)
        elif task.item.plan.notes.get("driver") == "GTiff":
            object_source.foresee(task.item.source, version_in(task.item.source_id))


def is_remote(task: messages.Task) -> bool:
    """Whether a task reads an object of a store."""
    return is_url(places(task)[0])


def _failure(error: BaseException, task: messages.Task, recorder: Recorder) -> messages.Failure:
    source, out = places(task)
    stage = recorder.current_stage
    try:
        return classify.failure(error, stage=stage, source=source, out=out)
    except Exception as second:  # noqa: BLE001 - boundary: short of memory, even this may fail
        text = f"{type(error).__name__}, and {type(second).__name__} while it was recorded"
        short = isinstance(error, MemoryError) or isinstance(second, MemoryError)
        kind = MemoryBudgetError if short else OperationError
        return messages.Failure(kind.__name__, kind.reaction, text, stage=stage)


def _doubt(task: messages.Task, recorder: Recorder, text: bytes) -> messages.Failure | None:
    """Find the failure of a task that raised nothing, in its messages and its text on fd 2."""
    if evidence.is_flooded(text):
        message = f"it wrote more than {evidence.FLOOD >> 20} MiB to fd 2, more than can be judged"
        return messages.Failure(OperationError.__name__, OperationError.reaction, message)
    source, _ = places(task)
    reading_back = isinstance(task, messages.FinaliseTask | InspectTask)
    line = evidence.damage(text) or ""
    return classify.complaint(line, recorder.messages, source=source, reading_back=reading_back)


#: Failures that have several causes, a full disk among them: messages on the way decide.
_VAGUE = {"OperationError", "CorruptSourceError", "VerifyError"}
_PLAIN = {"DiskFullError", "OpenFilesError", "MemoryBudgetError"}


def _weigh(
    raised: messages.Failure | None, doubt: messages.Failure | None
) -> messages.Failure | None:
    """Choose the failure to report: the one raised, unless messages on the way tell more."""
    if raised is None or doubt is None:
        return raised or doubt
    cause = doubt.error_class
    tells_more = cause in _PLAIN or raised.error_class == "OperationError"
    if raised.error_class in _VAGUE and tells_more and cause != "OperationError":
        told = f"{raised.message} ({doubt.message})"
        return replace(
            raised, error_class=cause, reaction=doubt.reaction, message=told, hint=doubt.hint
        )
    return raised


def needs_gdal(task: messages.Task) -> bool:
    """Whether a task may call rasterio's GDAL, which takes long to load: operations of features do
    not, as pyogrio has a GDAL of its own."""
    match task:
        case messages.ChunkTask() | messages.FinaliseTask() | messages.ResultTask():
            name = task.item.op
        case messages.ProbeTask() | MembersTask() | SurveyTask() | LayersTask() | InspectTask():
            name = task.op
        case _:  # a preview, which is of pixels
            return True
    return "rasterio" in sys.modules or not name.startswith("vector.")


def enter_gdal() -> None:
    """Send GDAL's errors of this thread to its recorder and not to fd 2, from here on: rasterio's
    Env is never left. Entered in the main thread, it holds for the process, else for the thread."""
    import rasterio

    from geobatch_tui.execution.raster.source.opened_source import OPTIONS

    restrict_gdal()
    listen_to_gdal()
    rasterio.Env(**OPTIONS).__enter__()


def leave() -> None:
    """Close the source that this thread kept open for its next task. Without it the source would
    be open until garbage is collected."""
    opened_source = sys.modules.get("geobatch_tui.execution.raster.source.opened_source")
    if opened_source is not None:
        opened_source.release()
