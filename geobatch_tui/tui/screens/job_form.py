"""A job as a form made from the schema, with its file and its plan."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on, work
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from geobatch_tui.config.sources import STEP
from geobatch_tui.config.toml_writer import job_toml
from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe, safe_lines
from geobatch_tui.tui.jobs.choices import choose_example, choose_step
from geobatch_tui.tui.jobs.draft import FIELDS, Draft
from geobatch_tui.tui.jobs.saving import save
from geobatch_tui.tui.kit.editor import edit_outside
from geobatch_tui.tui.kit.endings import Start
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.console_app import Destination
from geobatch_tui.tui.parts.dialogs import PathDialog
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Filtered, TextBox
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.widgets.field_list import FieldList
from geobatch_tui.tui.widgets.plan_pane import PlanPane
from geobatch_tui.tui.widgets.result_pane import ResultPane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.tui.jobs.draft import Field

_NOTHING = (
    "There is no job yet. ^n begins one with an example, ^l reads a job file, c in the history "
    "makes one out of a run's."
)


class ConfigScreen(Filtered):
    """Mode ``config``. In the console of a run it begins with the run's job."""

    BINDING_GROUP_TITLE = "Config"
    HELP = (
        "The job. Enter edits a value, or takes the next of its words; empty takes it back. On a "
        "step it shows its parameters."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("job.plan", "plan"),
        bind("job.try", "attempt"),
        bind("export", "save"),
        bind("run.start", "start"),
        bind("job.new", "new"),
        bind("job.toml", "toml"),
        bind("filter", "filter"),
        bind("step.result", "result"),
        bind("next", "chunk(1)", show=False),
        bind("previous", "chunk(-1)", show=False),
        bind("undo", "undo", show=False),
        bind("editor", "edit_file", show=False),
        bind("job.read", "read", show=False),
        bind("copy", "copy", show=False),
        bind("back", "back", show=False),
    ]
    DEFAULT_CSS = """
    ConfigScreen #panes { layout: grid; grid-size: 1; grid-rows: 3fr 2fr; }
    ConfigScreen.-wide #panes { grid-size: 2; grid-columns: 1fr 1fr; grid-rows: 3fr 2fr; }
    ConfigScreen.-wide #fields { row-span: 2; }
    ConfigScreen #toml { display: none; }
    ConfigScreen.-wide #toml, ConfigScreen.-toml #toml { display: block; }
    ConfigScreen.-toml #fields { display: none; }
    ConfigScreen.-wide #fields { display: block; }
    ConfigScreen #result { display: none; }
    ConfigScreen.-result #result { display: block; }
    ConfigScreen.-result #panes { grid-rows: 1fr 1fr; }
    ConfigScreen.-wide #result { row-span: 2; }
    ConfigScreen.-result #toml, ConfigScreen.-result PlanPane { display: none; }
    ConfigScreen #about { height: 2; padding: 0 1; color: $quiet; }
    ConfigScreen #edit { display: none; border: none; height: 1; padding: 0; margin: 0 1; }
    ConfigScreen.-editing #edit { display: block; }
    """

    list = getters.query_one(FieldList)
    pane = getters.query_one(PlanPane)
    result = getters.query_one(ResultPane)

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        self._before: list[Draft] = []

    def compose(self) -> ComposeResult:
        """Yield form, file and plan, and below them the meaning of a key, or the field."""
        yield FilterBar(FIELDS, id="bar")
        with Container(id="panes"):
            yield FieldList(id="fields")
            yield TextBox(id="toml", title="TOML")
            yield PlanPane()
            yield ResultPane(id="result")
        yield Static(id="about", markup=False)
        yield Input(id="edit", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Give the form the keys; in the console of a run show the run's job."""
        self.list.focus()
        run = self.app.shown.run
        if self.draft is None and run is not None and "origins" in run.job:
            self._take(lambda: Draft.of_run(run.job))
        self.refilter()

    def destinations(self, text: str) -> Iterable[Destination]:
        """Return the keys of the form."""
        del text
        fields = self.draft.fields() if self.draft is not None else []
        return [
            Destination(field.leaf.key, field.leaf.help, partial(self._stand_on, field.leaf.key))
            for field in fields
        ]

    def _stand_on(self, key: str) -> None:
        """Put the cursor on a key, whatever the filter says."""
        if self.draft is not None and not self.list.go(key):
            self.bar.clear()
            self.list.show(self.draft)
            self.list.go(key)
        self.list.renew()
        self._about()

    def edit(self, draft: Draft) -> None:
        """Begin with a job; there is nothing to be undone."""
        self._before = []
        self._show(draft)

    def _show(self, draft: Draft) -> None:
        self.draft = draft
        self.pane.forget()
        self.refilter()

    @on(FieldList.Edited)
    def _steps_edited(self, message: FieldList.Edited) -> None:
        self._change(message.draft)

    def _change(self, draft: Draft) -> None:
        """Take a draft after an edit, which can be undone."""
        if self.draft is not None:
            self._before.append(self.draft)
        self._show(draft)

    def action_undo(self) -> None:
        """Take the last edit back."""
        if self._before:
            self._show(self._before.pop())
        else:
            self.notify("there is no edit to take back", title="config", markup=False)

    def _take(self, make: Callable[[], Draft]) -> None:
        try:
            self.edit(make())
        except GeobatchError as error:
            self._refuse(str(error))

    def refilter(self) -> None:
        draft = self.draft
        if draft is None:
            self.bar.say(Content.styled(" Config ", "bold"))
            self.query_one("#about", Static).update(Content(_NOTHING))
            return
        chosen = self.bar.chosen
        self.list.show(draft, (lambda row: chosen.matches(row.row())) if chosen.text else None)
        name = safe(str(draft.path)) if draft.path else "not saved yet"
        state = figures.plural(len(draft.problems), "error") if draft.problems else "valid"
        self.bar.say(
            Content.assemble(
                (" Config ", "bold"),
                f" {safe(draft.loaded.job.job.name)}  ",
                (name, "$quiet"),
                ("  modified", "bold $accent") if draft.edited else "",
                (f"  {state}", "bold $error" if draft.problems else "bold $success"),
            )
        )
        problems = (f"{key}: {text}" if key else text for key, text in draft.problems.items())
        text = self._file_of(draft) if draft.right else "\n".join(problems)
        self.query_one("#toml", TextBox).write(Content(safe_lines(text)))
        self._about()

    def _file_of(self, draft: Draft) -> str:
        folder = draft.path.absolute().parent if draft.path is not None else None
        return job_toml(draft.loaded.job, folder)

    @on(ScrollLines.Moved)
    def _about(self) -> None:
        """Say what the line of the cursor means, and show what its step gives."""
        other = self.draft.problems.get("", "") if self.draft else ""
        self.query_one("#about", Static).update(self.list.about() or Content(other))
        if self.draft is not None and self.has_class("-result"):
            self.result.follow(self.draft, self.list.step)

    # --- editing --------------------------------------------------------------------------------

    @on(ScrollLines.Opened)
    def _opened(self) -> None:
        """Type a value; of a few words take the next one."""
        field = self.list.current
        if self.list.head is not None:
            self.list.fold()
        if field is None or self.draft is None:
            return
        if field.leaf.choices and not (field.problem and field.text):
            self._put(field.leaf.key, _next(field))
            return
        self.add_class("-editing")
        typed = self.query_one("#edit", Input)
        typed.value = field.text
        typed.placeholder = field.leaf.key
        typed.focus()
        typed.action_end()

    @on(Input.Submitted, "#edit")
    def _entered(self, message: Input.Submitted) -> None:
        """Take the value; an error in it is shown at its key."""
        message.stop()
        field = self.list.current
        self._close()
        if field is not None and message.value != field.text:
            self._put(field.leaf.key, message.value)

    def _put(self, key: str, text: str) -> None:
        if self.draft is not None:
            self._change(self.draft.put(key, text))

    @work(exclusive=True, group="config", exit_on_error=False)
    @on(FieldList.Wanted)
    async def _step_wanted(self, message: FieldList.Wanted) -> None:
        """Ask which step is added, and put the cursor on what it needs."""
        draft = self.draft
        if draft is None or draft.chain is None:
            return
        step = await choose_step(self.app, draft.chain, message.number)
        if step is None or self.draft is not draft:
            return
        self._change(draft.with_steps(draft.chain.added(step, message.number)))
        self._stand_on(f"{STEP}[{message.number}]")
        needed = [field for field in self.draft.fields() if field.leaf.required and not field.text]
        if needed:
            self._stand_on(needed[0].leaf.key)

    def _close(self) -> None:
        self.remove_class("-editing")
        self.list.focus()

    def action_back(self) -> None:
        """Leave the field, go to the form, or drop the filter."""
        if self.has_class("-editing") or self.has_class("-toml"):
            self.remove_class("-toml")
            self._close()
        else:
            super().action_back()

    def action_toml(self) -> None:
        """Show the file or the form, where there is no room for both."""
        self.toggle_class("-toml")

    def action_copy(self) -> None:
        """Copy the job file."""
        if self.draft is not None and self.draft.right:
            self.copy_text(self._file_of(self.draft))

    # --- files ----------------------------------------------------------------------------------

    @work(exclusive=True, group="config", exit_on_error=False)
    async def action_new(self) -> None:
        """Start from an example, with outputs below the working directory."""
        found = await choose_example(self.app)
        if found is not None:
            self._take(lambda: Draft.of_example(found, Path.cwd() / "out" / found.stem))

    @work(exclusive=True, group="config", exit_on_error=False)
    async def action_read(self) -> None:
        said = "A job file, TOML or YAML."
        path = await self.app.push_screen_wait(PathDialog("Read", said, Path.cwd() / "job.toml"))
        if path is not None:
            self._take(lambda: Draft.of_file(path))

    def action_edit_file(self) -> None:
        """Edit the job file itself, comments and all, and read it again."""
        draft = self.draft
        if draft is None or draft.path is None or draft.edited:
            self._refuse("save the job first (^s): only a file can be edited")
            return
        path = draft.path
        try:
            edit_outside(self.app, path)
        except GeobatchError as error:
            self._refuse(f"{error}; {error.hint}" if error.hint else str(error))
            return
        self._take(lambda: Draft.of_file(path))

    @work(exclusive=True, group="config", exit_on_error=False)
    async def action_save(self) -> None:
        """Write the job to a file, whole or not at all."""
        await self._save()

    async def _save(self) -> Path | None:
        draft = self._whole()
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
        draft = self._whole()
        if draft is None:
            return
        path = await self._save() if draft.changed else draft.path
        if path is not None:
            self.app.open(Start(path))

    def _whole(self) -> Draft | None:
        """Return the job if it is valid; else put the cursor on its first error."""
        draft = self.draft
        if draft is None or draft.right:
            return draft
        wrong = [field.leaf.key for field in draft.fields() if field.problem]
        wrong += [head.key for head in draft.heads() if head.problem]
        if wrong:
            self._stand_on(wrong[0])
        self._about()
        self._refuse("something is wrong with the job: it is marked with !")
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide in a read-only console what starts a run, and where there are no steps what shows
        their results."""
        del parameters
        if action in {"result", "chunk"}:
            return self.draft is not None and self.draft.chain is not None
        return action != "start" or not self.app.read_only

    # --- the result of a step -------------------------------------------------------------------

    def action_result(self) -> None:
        """Show what the step of the cursor gives, or the file and the plan again."""
        self.toggle_class("-result")
        if self.has_class("-result"):
            self._about()
        else:
            self.result.leave()

    def action_chunk(self, by: int) -> None:
        """Show the result for the next chunk, or the one before."""
        if self.has_class("-result"):
            self.result.move(by)

    # --- the plan -------------------------------------------------------------------------------

    def action_plan(self) -> None:
        """Plan the job: nothing is written."""
        draft = self._whole()
        if draft is not None:
            self.pane.plan(draft.loaded)

    def action_attempt(self) -> None:
        """Run a few chunks in a scratch directory."""
        draft = self._whole()
        if draft is not None:
            self.pane.attempt(draft.loaded)

    def _refuse(self, text: str) -> None:
        self.notify(text, title="config", severity="error", markup=False)


def _next(field: Field) -> str:
    words = field.leaf.choices
    return words[(words.index(field.text) + 1) % len(words)] if field.text in words else words[0]
