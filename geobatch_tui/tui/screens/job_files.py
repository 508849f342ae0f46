"""The job of a form, where it comes from and where it goes: examples, files, runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual import getters, work

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.jobs.choices import choose_example
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.jobs.saving import save
from geobatch_tui.tui.kit.editor import edit_outside
from geobatch_tui.tui.kit.endings import Start
from geobatch_tui.tui.parts.dialogs import Choice, PathDialog, Question
from geobatch_tui.tui.parts.page import Filtered
from geobatch_tui.tui.widgets.plan_pane import PlanPane

if TYPE_CHECKING:
    from collections.abc import Callable

_NEEDED: Final = "source.inputs"  #: what an example has of its own, and a job has not
_UNSAVED: Final = (
    Choice("", "No", "go on editing"),
    Choice("save", "Save", "write them to a file first"),
    Choice("lose", "Drop", "the edits are lost"),
)


class JobFiles(Filtered):
    """A screen with a job that is edited. Edits are dropped only after a question."""

    pane = getters.query_one(PlanPane)

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        self._before: list[Draft] = []

    def go_to(self, key: str) -> None:
        """Put the cursor on a key."""
        raise NotImplementedError

    # --- the draft ------------------------------------------------------------------------------

    def edit(self, draft: Draft) -> None:
        """Begin with a job; there is nothing to be undone."""
        self._before = []
        self._show(draft)

    def change(self, draft: Draft) -> None:
        """Take a draft after an edit, which can be undone."""
        if self.draft is not None:
            self._before.append(self.draft)
        self._show(draft)

    def _show(self, draft: Draft) -> None:
        before, self.draft = self.draft, draft
        # The plan of a job stays when only its file is another one.
        if before is None or not draft.right or before.loaded.job != draft.loaded.job:
            self.pane.forget()
        self.app.unsaved = draft.edited
        self.refilter()

    def action_undo(self) -> None:
        """Take the last edit back."""
        if self._before:
            self._show(self._before.pop())
        else:
            self.notify("there is no edit to take back", title="config", markup=False)

    def take(self, make: Callable[[], Draft]) -> None:
        """Begin with a job that may turn out to be none."""
        try:
            self.edit(make())
        except GeobatchError as error:
            self.refuse(str(error))

    @work(exclusive=True, group="config", exit_on_error=False)
    async def replace(self, draft: Draft) -> None:
        """Begin with a job, once it is settled what becomes of edits."""
        if await self._settled():
            self.edit(draft)

    async def _settled(self) -> bool:
        """Ask what becomes of edits that are in no file; return whether to go on."""
        draft = self.draft
        if draft is None or not draft.edited:
            return True
        text = f"{safe(draft.loaded.job.job.name)} has edits that are in no file."
        answer = await self.app.push_screen_wait(Question("Edits", text, _UNSAVED))
        if answer == "save":
            return await self._save() is not None
        return answer == "lose"

    # --- files ----------------------------------------------------------------------------------

    def action_new(self) -> None:
        """Start from an example, with outputs below the working directory."""
        if self.draft is None or not self.draft.edited:
            choose_example(self.app, self._begin)  # at once: keys behind are the dialog's
        else:
            self._new_if_settled()

    @work(exclusive=True, group="config", exit_on_error=False)
    async def _new_if_settled(self) -> None:
        if await self._settled():
            choose_example(self.app, self._begin)

    def _begin(self, example: Path) -> None:
        self.take(lambda: Draft.of_example(example, Path.cwd() / "out" / example.stem))
        self.go_to(_NEEDED)

    @work(exclusive=True, group="config", exit_on_error=False)
    async def action_read(self) -> None:
        """Read a job file."""
        if not await self._settled():
            return
        said = "A job file, TOML or YAML."
        path = await self.app.push_screen_wait(PathDialog("Read", said, Path.cwd() / "job.toml"))
        if path is not None:
            self.take(lambda: Draft.of_file(path))

    def action_edit_file(self) -> None:
        """Edit the job file itself, comments and all, and read it again."""
        draft = self.draft
        if draft is None or draft.path is None or draft.edited:
            self.refuse("save the job first (^s): only a file can be edited")
            return
        path = draft.path
        try:
            edit_outside(self.app, path)
        except GeobatchError as error:
            self.refuse(f"{error}; {error.hint}" if error.hint else str(error))
            return
        self.take(lambda: Draft.of_file(path))

    @work(exclusive=True, group="config", exit_on_error=False)
    async def action_save(self) -> None:
        """Write the job to a file, whole or not at all."""
        await self._save()

    async def _save(self) -> Path | None:
        draft = self.whole()
        if draft is None:
            return None
        path = await save(self.app, draft)
        if path is None:
            return None
        self.edit(Draft.of_file(path))
        self.notify(f"written to {path}", title="config", markup=False)
        return path

    @work(exclusive=True, group="config", exit_on_error=False)
    async def action_start(self) -> None:
        """Run the job in a console, after saving it."""
        draft = self.whole()
        if draft is None:
            return
        path = await self._save() if draft.changed else draft.path
        if path is not None:
            self.app.open(Start(path))

    def whole(self) -> Draft | None:
        """Return the job if it is valid; else put the cursor on its first error."""
        draft = self.draft
        if draft is None or draft.right:
            return draft
        wrong = [field.leaf.key for field in draft.fields() if field.problem]
        wrong += [head.key for head in draft.heads() if head.problem]
        if wrong:
            self.go_to(wrong[0])
        self.refuse("something is wrong with the job: it is marked with !")
        return None

    def refuse(self, text: str) -> None:
        """Show a notice of what cannot be done."""
        self.notify(text, title="config", severity="error", markup=False)
