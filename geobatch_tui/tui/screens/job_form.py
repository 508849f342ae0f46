"""A job as a form made from the schema, with its file and its plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from geobatch_tui.config.sources import STEP
from geobatch_tui.config.writing.toml_writer import job_toml
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe, safe_lines
from geobatch_tui.tui.jobs.choices import choose_step, choose_word, words_of
from geobatch_tui.tui.jobs.draft import FIELDS, Draft
from geobatch_tui.tui.jobs.forecast import compared
from geobatch_tui.tui.kit.fixed_width import fit_middle
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.console_app import Destination
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import TextBox
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.screens.job_files import JobFiles
from geobatch_tui.tui.widgets.field_list import FieldList
from geobatch_tui.tui.widgets.plan_pane import PlanPane
from geobatch_tui.tui.widgets.result_pane import ResultPane
from geobatch_tui.tui.widgets.value_input import ValueInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.tui.jobs.draft import Field

_PAIR: Final = 2
_NAME: Final = 24  #: cells that a job's name may take of the heading

_NOTHING = (
    "There is no job yet. ^n begins one with an example, ^l reads a job file, c in the history "
    "makes one out of a run's."
)


class ConfigScreen(JobFiles):
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
        bind("filter", "filter", first=True),
        bind("step.result", "result"),
        bind("next", "chunk(1)", show=False),
        bind("previous", "chunk(-1)", show=False),
        bind("undo", "undo", show=False),
        bind("job.diff", "differences", show=False),
        bind("detail.less", "basic(True)", show=False, name="Basic", does="The usual keys only"),
        bind("detail.more", "basic(False)", show=False, name="All", does="All keys"),
        bind("mark", "next_word", show=False, name="Next word", does="The next of a key's words"),
        bind("editor", "edit_file", show=False),
        bind("job.read", "read", show=False),
        bind("copy", "copy", show=False),
        bind("open", "open", show=False),
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
    ConfigScreen #edit { display: none; border: none; height: 1; padding: 0 1; }
    ConfigScreen.-editing #edit { display: block; }
    ConfigScreen.-editing #about { height: 1; }
    """

    list = getters.query_one(FieldList)
    result = getters.query_one(ResultPane)

    def compose(self) -> ComposeResult:
        """Yield form, file and plan, and below them the meaning of a key, or the field."""
        yield FilterBar(FIELDS, id="bar")
        with Container(id="panes"):
            yield FieldList(id="fields")
            yield TextBox(id="toml", title="TOML")
            yield PlanPane()
            yield ResultPane(id="result")
        yield Static(id="about", markup=False)
        yield ValueInput(id="edit")
        yield KeyBar()

    def on_mount(self) -> None:
        """Give the form the keys; in the console of a run show the run's job."""
        self.list.focus()
        run = self.app.shown.run
        if self.draft is None and run is not None and "origins" in run.job:
            self.take(lambda: Draft.of_run(run.job))
        self.refilter()

    def destinations(self, text: str) -> Iterable[Destination]:
        """Return the keys of the form."""
        del text
        fields = self.draft.fields() if self.draft is not None else []
        return [
            Destination(field.leaf.key, field.leaf.help, partial(self.go_to, field.leaf.key))
            for field in fields
        ]

    def go_to(self, key: str) -> None:
        """Put the cursor on a key, whatever the filter says."""
        if self.draft is not None and not self.list.go(key):
            self.bar.clear()
            self.list.show(self.draft)
            self.list.go(key)
        self.list.renew()
        self._about()

    @on(FieldList.Edited)
    def _steps_edited(self, message: FieldList.Edited) -> None:
        self.change(message.draft)

    def refilter(self) -> None:
        draft = self.draft
        if draft is None:
            self.bar.say(Content.styled(" Config ", "bold"))
            self.query_one("#about", Static).update(Content(_NOTHING))
            return
        chosen = self.bar.chosen
        self.list.show(draft, (lambda row: chosen.matches(row.row())) if chosen.text else None)
        name, path = safe(draft.loaded.job.job.name), draft.path or draft.loaded.path
        made = "" if draft.path else "not saved yet" if draft.fresh else "as it was run"
        kind = f"{made}, from " if made and path else made
        state = figures.plural(len(draft.problems), "error") if draft.problems else "valid"
        self.bar.say(
            Content.assemble(
                (" Config ", "bold"), f" {fit_middle(name, _NAME).rstrip()}  ", (kind, "$quiet")
            ),
            safe(str(path or "")),
            Content.assemble(
                ("  modified", "bold $accent") if draft.edited else "",
                (f"  {state}", "bold $error" if draft.problems else "bold $success"),
            ),
        )
        self._tell(draft)
        self._about()

    def _tell(self, draft: Draft) -> None:
        """Show the file beside the form, or what differs from it."""
        box = self.query_one("#toml", TextBox)
        if self.has_class("-differences"):
            box.border_title = "Differences"
            box.write(compared(draft))
            return
        box.border_title = "TOML" if draft.right else "TOML, as it was when it last was right"
        said = [
            text if text.startswith(key) else f"{key}: {text}"
            for key, text in draft.problems.items()
        ]
        lines = [Content.styled(safe_lines(f"! {text}"), "bold $error") for text in said]
        box.write(Content("\n").join([*lines, Content(safe_lines(self._file_of(draft)))]))

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
    def action_open(self) -> None:
        """Type a value, or choose one of its words; of two take the other."""
        field = self.list.current
        if self.list.head is not None:
            self.list.fold()
        if field is None or self.draft is None:
            return
        words = words_of(field)
        if not words or (field.problem and field.text):
            self._type(field)
        elif len(words) == _PAIR:
            self.action_next_word()
        else:
            choose_word(self.app, field, partial(self._put, field.leaf.key))

    def action_next_word(self) -> None:
        """Take the next of the words of a key."""
        field = self.list.current
        words = words_of(field) if field is not None else ()
        if field is not None and words:
            at = words.index(field.text) + 1 if field.text in words else 0
            self._put(field.leaf.key, words[at % len(words)])

    def _type(self, field: Field) -> None:
        self.add_class("-editing")
        typed = self.query_one("#edit", ValueInput)
        typed.open(field.leaf.key, field.text, path=field.leaf.path)

    @on(Input.Submitted, "#edit")
    @on(Input.Blurred, "#edit")
    def _entered(self, message: Input.Submitted | Input.Blurred) -> None:
        """Take the value, also where the mouse leaves the field; an error stands at its key."""
        message.stop()
        if not self.has_class("-editing") or not self.app.app_focus:
            return
        typed = self.query_one("#edit", ValueInput)
        self._close()
        if message.value != typed.before:
            self._put(typed.key, message.value)

    def _put(self, key: str, text: str) -> None:
        if self.draft is not None:
            self.change(self.draft.put(key, text))

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
        self.change(draft.with_steps(draft.chain.added(step, message.number)))
        self.go_to(f"{STEP}[{message.number}]")
        needed = [field for field in self.draft.fields() if field.leaf.required and not field.text]
        if needed:
            self.go_to(needed[0].leaf.key)

    def _close(self) -> None:
        self.remove_class("-editing")
        self.list.focus()

    def action_back(self) -> None:
        """Leave the field, go to the form, or drop the filter."""
        if self.has_class("-editing") or self.has_class("-toml"):
            self.remove_class("-toml", "-differences")
            self._close()
            self.refilter()
        else:
            super().action_back()

    def action_toml(self) -> None:
        """Show the file or the form, where there is no room for both."""
        self.remove_class("-differences")
        self.toggle_class("-toml")
        self.refilter()

    def action_differences(self) -> None:
        """Show what differs from the file and from the last run, or the file again."""
        self.toggle_class("-differences")
        self.set_class(self.has_class("-differences"), "-toml")
        self.refilter()

    def action_basic(self, basic: bool) -> None:  # noqa: FBT001 - of a key
        """Show the usual keys, or all."""
        self.list.basic = basic
        self.refilter()

    def action_copy(self) -> None:
        """Copy the job file."""
        if self.draft is not None and self.draft.right:
            self.copy_text(self._file_of(self.draft))

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
        draft = self.whole()
        if draft is not None:
            self.pane.plan(draft.loaded)

    def action_attempt(self) -> None:
        """Run a few chunks in a scratch directory."""
        draft = self.whole()
        if draft is not None:
            self.pane.attempt(draft.loaded)
