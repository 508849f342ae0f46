"""The pane of a step's result: what it gives for one chunk, as a picture with its ranges, or as a
table of features."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.worker import Worker, WorkerState

from geobatch_tui.config.chains import step_kinds
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.jobs.chunk_results import ChunkResults, StepPicture
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.letters.previewer import Unseen
from geobatch_tui.tui.parts.dialogs import LineDialog
from geobatch_tui.tui.widgets.window_preview import CAPTION, Preview, range_lines

if TYPE_CHECKING:
    from textual.binding import BindingType

    from geobatch_tui.execution.protocol.preview_messages import FeaturesReceipt, PreviewReceipt
    from geobatch_tui.tui.jobs.draft import Draft

#: Seconds that the cursor rests on a step before it is computed.
_REST: Final = 0.1


class ChunkDialog(LineDialog[str]):
    """A dialog that returns the name of a chunk or an item, or None."""

    BINDING_GROUP_TITLE = "Chunk"

    def meant(self, text: str) -> str:
        return text


class ResultPane(Preview, can_focus=True):
    """The picture of a step's result; it follows the job and the step that it is told of."""

    BORDER_TITLE = "Result"
    BINDINGS: ClassVar[list[BindingType]] = [bind("open", "choose", name="Chunk", show=False)]
    DEFAULT_CSS = "ResultPane:focus { border: round $border; }"
    least: ClassVar[int] = 3
    busy: ClassVar[str] = "computing the chunk"

    def __init__(self, *, id: str | None = None, results: ChunkResults | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.results = results or ChunkResults()
        self._draft: Draft | None = None
        self._step = 0
        self._found: StepPicture | None = None
        self.border_subtitle = "n:next chunk  enter:choose"

    async def on_unmount(self) -> None:
        await self.results.close()

    def follow(self, draft: Draft, step: int) -> None:
        """Show what a step of a job gives; 0: what the first one gets."""
        if draft is self._draft and step == self._step and self.shows is not None:
            return
        self._draft, self._step = draft, step
        self._look()

    def move(self, by: int) -> None:
        """Show the next chunk, or the one before."""
        self.results.move(by)
        self._look()

    def leave(self) -> None:
        """Compute no more: nobody looks."""
        self.workers.cancel_group(self, "result")
        self._draft = None

    @work(exclusive=True, group="result", exit_on_error=False)
    async def action_choose(self) -> None:
        """Ask for a chunk."""
        now = self._found.chunk if self._found is not None else ""
        said = "A chunk, as item@row,col, or an item: then its middle one."
        chunk = await self.app.push_screen_wait(ChunkDialog("Chunk", said, now))
        if chunk:
            try:
                self.results.choose(chunk)
            except ConfigError as error:
                self.notify(str(error), title="chunk", severity="error", markup=False)
        self._look()

    @work(exclusive=True, group="result", exit_on_error=False)
    async def _look(self) -> None:
        draft, step = self._draft, self._step
        if draft is None:
            return
        if (reason := _unseen(draft)) is not None:
            self.show(reason)
            return
        await asyncio.sleep(_REST)
        self.show(None)
        found = await self.results.look(draft.loaded, step, self._room())
        self._found = found if isinstance(found, StepPicture) else None
        self.show(found.receipt if isinstance(found, StepPicture) else found)

    def _room(self) -> tuple[int, int]:
        """Return how large a picture there is room for, in pixels."""
        width, height = self.size
        if self.puts_beside(width, height):
            width -= CAPTION + 1
        else:
            height -= self.least
        return max(width, 1), max(2 * height, 1)

    def puts_beside(self, width: int, height: int) -> bool:
        return height < 14 and width >= 2 * CAPTION - 10

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show an unexpected error: else a picture that failed would look like a slow one."""
        event.stop()
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.show(Unseen(f"{type(error).__name__}: {error}"))

    def titles(self, found: FeaturesReceipt) -> list[str]:
        """Return which step of which chunk it is."""
        shown = self._found
        return self._named(shown) if shown is not None and shown.receipt is found else []

    def _named(self, found: StepPicture) -> list[str]:
        heads = {head.number: head.name for head in self._draft.heads()} if self._draft else {}
        name = f"step {found.step} {heads.get(found.step, '')}" if found.step else "source"
        lines = [f"{name.rstrip()}, chunk {found.chunk} ({found.number} of {found.count})"]
        return [*lines, f"? {safe(found.note)}"] if found.note else lines

    def captions(self, receipt: PreviewReceipt) -> list[str]:
        """Return which step of which chunk it is, what its raster is, and the range of each
        band."""
        found = self._found
        if found is None or found.receipt is not receipt:
            return []
        return self._named(found) + range_lines(receipt)


def _unseen(draft: Draft) -> Unseen | None:
    """Return why a job has no results to be shown."""
    if not draft.right:
        return Unseen("something is wrong with the job", "it is marked with !")
    if draft.operation not in {kind.chain for kind in step_kinds.KINDS}:
        return Unseen(f"{draft.operation} is no chain of steps", "only those have results of steps")
    return None
