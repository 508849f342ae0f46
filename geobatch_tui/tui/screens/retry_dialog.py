"""A dialog that shows what a retry will compute, before it does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key, MouseEvent
from textual.widgets import Input, Static

from geobatch_tui.config.layers import from_plan_json
from geobatch_tui.errors import ConfigError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe_lines
from geobatch_tui.orchestration.splitting import tile_of
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal
from geobatch_tui.tui.letters.dossier import changed_sources
from geobatch_tui.tui.letters.listing import names_of
from geobatch_tui.tui.letters.retry_plan import consequence, selection
from geobatch_tui.tui.parts.console_messages import RetryRequested

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import RunRow
    from geobatch_tui.tui.letters.retry_plan import Consequence
    from geobatch_tui.tui.parts.page import Page
    from geobatch_tui.tui.run.model import LetterView

_SHOWN: Final = 500
_LOOKED_AT: Final = 2000  #: items of other letters


class RetryDialog(Modal[tuple[str, ...] | None]):
    """Returns the changes (empty: none) if the operator agrees, else None. Nobody agrees before the
    terminal showed it.

    Args:
        found: what will be rerun.
        where: in or by which run, in words.
        check: says what is wrong with changes of values, or nothing; None: none are asked for.
    """

    BINDING_GROUP_TITLE = "Retry"
    BINDINGS: ClassVar[list[BindingType]] = [bind("open", "agree"), bind("back", "dismiss")]

    def __init__(
        self, found: Consequence, where: str, *, check: Callable[[Sequence[str]], str] | None = None
    ) -> None:
        super().__init__()
        self._found = found
        self._where = where
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical(id="retry") as box:
            box.border_title = "Retry"
            box.border_subtitle = "enter retry  esc leave" if self._found.letters else "esc leave"
            yield Static(summary(self._found, self._where), markup=False)
            if self._check is not None:
                yield Input(placeholder="engine.chunk_timeout=10m retry.max_attempts=8")
                yield Static(id="retry-wrong", markup=False)
            with VerticalScroll(id="retry-list", can_focus=True):
                yield Static(lines(self._found), markup=False)

    def refuses(self, event: Key | MouseEvent) -> bool:
        """Whether it would agree to what was not seen when it was typed."""
        if not isinstance(event, Key):
            return super().refuses(event)
        bound = self.active_bindings.get(event.key)
        agrees = event.key == "enter" or (bound is not None and bound.binding.action == "agree")
        return agrees and self.is_ahead(event)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self._agree(message.value)

    def action_agree(self) -> None:
        self._agree(self.query_one(Input).value if self._check is not None else "")

    def _agree(self, typed: str) -> None:
        changes = tuple(typed.split())
        wrong = self._check(changes) if self._check is not None and changes else ""
        if wrong:
            # Text and marks stay: it is one letter that is wrong.
            said = Content.styled(safe_lines(wrong), "bold $error")
            self.query_one("#retry-wrong", Static).update(said)
            return
        self.dismiss(changes if self._found.letters else None)


async def retry(
    page: Page,
    letters: Mapping[int, LetterView],
    chosen: Sequence[int],
    *,
    changes: bool = False,
    split: bool = False,
) -> bool:
    """Ask for another attempt at some letters, after a dialog; return whether it was asked for.

    Args:
        page: where the request is posted.
        letters: all letters, by id.
        chosen: ids of those that are meant.
        changes: whether values may be changed, where the run is not live.
        split: in quarters of their chunks.

    Raises:
        GeobatchError: the ledger cannot be read.
    """
    store, link = page.app.link.store, page.app.link
    live = link.can_steer()
    items = {letters[dead_id].item_id for dead_id in chosen}
    others = {letter.item_id for letter in letters.values()} - items if not live else set()
    names, changed, joining = await asyncio.to_thread(
        store.reading,
        lambda reader: (
            names_of(reader, chosen),
            changed_sources(reader, items),
            changed_sources(reader, sorted(others)[:_LOOKED_AT]),
        ),
    )
    tile = tile_of(_creation(page.app.shown.run)) if split else None
    found = consequence(letters, chosen, store.item, live=live, changed=changed, tile=tile)
    if split and not found.split:
        said = "none can be split: only chunks of more than one tile, of an output held back"
        page.notify(said, title="split", severity="warning", markup=False)
        return False
    found = replace(found, joining=len(joining))
    check = partial(wrong_with, page.app.shown.run) if changes and not live else None
    dialog = RetryDialog(found, link.retries, check=check)
    answer = await page.app.push_screen_wait(dialog)
    if answer is None:
        return False
    named = selection(letters, chosen, lambda dead_id: names.get(dead_id, ""))
    if isinstance(named, str):
        page.notify(named, title="retry", severity="warning", markup=False)
        return False
    page.post_message(RetryRequested(named.classes, named.keys, answer, split))
    return True


def wrong_with(run: RunRow | None, changes: Sequence[str]) -> str:
    """Return what is wrong with changes of a run's job; empty: nothing, or nothing that they do."""
    if run is None:
        return ""
    try:
        from_plan_json(run.job)
    except ConfigError:
        return ""  # which the retry says, with what to do
    try:
        from_plan_json(run.job, overrides=changes)
    except ConfigError as error:
        return str(error)
    return ""


def _creation(run: RunRow | None) -> Json:
    """Return the job's ``output.creation``."""
    job: Json = {} if run is None else run.job.get("job", {})
    return dict(job.get("output", {}).get("creation", {}))


def summary(found: Consequence, where: str) -> Content:
    """Return the numbers of letters, chunks and items, and where they are tried."""
    many = figures.plural(found.letters, "dead letter") if found.letters else "nothing can be"
    texts = [Content.assemble((many, "bold"), f" tried again {where}")]
    facts = [
        (found.chunks, "chunk", "computed"),
        (found.replanned, "item", "opened and planned anew"),
        (found.split, "item", "planned anew in chunks half as wide and high, all of them computed"),
        (found.reassembled, "item", "assembled again"),
        (found.remade, "published output", "made anew, all chunks of it"),
        (found.joining, "more item", "whose source changed: a new run plans those, too"),
    ]
    texts += [Content(f"  {figures.plural(n, noun)} {what}") for n, noun, what in facts if n]
    if found.left:
        many = figures.plural(found.left, "letter")
        said = f"  {many} left for a new run, which plans items: retry after this one"
        texts.append(Content.styled(said, "$warning"))
    if found.stale:
        many = figures.plural(found.stale, "letter")
        said = f"  {many} will fail again: the source changed under the run; drain it, then retry"
        texts.append(Content.styled(said, "$warning"))
    classes = ", ".join(f"{name} {figures.count(n)}" for name, n in found.classes)
    return Content("\n").join([*texts, Content.styled(f"  {classes}", "$quiet")])


def lines(found: Consequence) -> Content:
    """Return a line for each of the first letters, in columns as wide as needed."""
    first = [
        (where, name.removesuffix("Error"), fate) for where, name, fate in found.lines[:_SHOWN]
    ]
    wide = min(36, max((cell_len(where) for where, _, _ in first), default=0))
    broad = min(18, max((cell_len(name) for _, name, _ in first), default=0))
    rows = [
        Content.assemble(
            f"{fmt.fit_middle(where, wide)}  ",
            (f"{fmt.fit(name, broad)}  ", "bold"),
            (fate, "$quiet"),
        )
        for where, name, fate in first
    ]
    if len(found.lines) > _SHOWN:
        more = figures.count(len(found.lines) - _SHOWN)
        rows.append(Content.styled(f"and {more} more", "$quiet"))
    return Content("\n").join(rows)
