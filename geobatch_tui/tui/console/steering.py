"""Actions on the run from anywhere in the console."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.console.shell import Shell
from geobatch_tui.tui.kit import waiting_parent
from geobatch_tui.tui.kit.endings import Ending, Watch
from geobatch_tui.tui.letters.listing import chunk_named
from geobatch_tui.tui.letters.requests import rerun
from geobatch_tui.tui.parts.console_app import Destination, RunConsole
from geobatch_tui.tui.parts.console_messages import (
    ShowCause,
    ShowLetter,
    ShowNamed,
    ShowOnMap,
)
from geobatch_tui.tui.parts.dialogs import Choice, Question
from geobatch_tui.tui.parts.jump import matching

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from geobatch_tui.tui.kit.endings import Wish
    from geobatch_tui.tui.parts.console_messages import RetryRequested

_STARTING = 5.0  #: seconds that a worker may take to start, or to end
_CHANGES = frozenset({"pause", "workers", "retry", "stop_now"})


class Steering(Shell, RunConsole):
    """The actions. Each asks first where work could be lost."""

    #: Workers that were asked for, and until when that is more than what is seen.
    _crew = (0, 0.0)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide actions on the run in a read-only console, and dim them where nothing is live."""
        del parameters
        if action not in _CHANGES:
            return True
        if self.link.read_only:
            return False
        return True if self.link.can_steer() else None

    def action_pause(self) -> None:
        """Pause the run, or resume it."""
        self.command("resume" if self.shown.state == "paused" else "pause")

    def action_workers(self, step: int) -> None:
        """Ask for one worker more or less."""
        seen, now = len(self.shown.workers), time.monotonic()
        # Keys come faster than workers: steps count from what was asked for last.
        asked, until = self._crew
        base = asked if now < until and asked != seen else seen
        count = max(1, base + step)
        if count != base:
            self._crew = count, now + _STARTING
            self.command("set_workers", count=count)

    def action_retry(self) -> None:
        """Try all dead letters again, after a question that says how many."""
        letters = self.shown.dead_letters
        if not letters:
            self.notify("there are no dead letters", markup=False)
            return
        text = f"{figures.plural(letters, 'dead letter')} tried again, with the job as it is."
        self.ask(
            "Retry",
            text,
            (
                Choice("", "No", "leave them as they are"),
                Choice("retry_dead", "Retry all", "in this run, after the chunks that wait"),
            ),
            self.command,
        )

    def on_retry_requested(self, message: RetryRequested) -> None:
        """Retry the dead letters that the operator has chosen."""
        message.stop()
        self._request(
            "retry",
            partial(
                rerun,
                self.link,
                message.classes,
                message.keys,
                message.changes,
                split=message.split,
            ),
            hints=True,
        )

    def on_show_letter(self, message: ShowLetter) -> None:
        """Show a dead letter, as another screen asks for."""
        from geobatch_tui.tui.widgets.letter_list import LetterList

        message.stop()
        self.show_mode("dead", lambda screen: screen.query_one(LetterList).go(message.dead_id))

    def on_show_cause(self, message: ShowCause) -> None:
        """List the dead letters of a cause, as another screen asks for."""
        from geobatch_tui.tui.screens.dead import DeadScreen

        message.stop()

        def show(screen: Screen[None]) -> None:
            if isinstance(screen, DeadScreen):
                screen.list_cause(message.dead_id)

        self.show_mode("dead", show)

    def on_show_named(self, message: ShowNamed) -> None:
        """Show the letter of a chunk or item, or its line among the units."""
        from geobatch_tui.tui.units.unit_screen import UnitsScreen

        message.stop()
        store = self.link.store
        found = chunk_named(store.items, message.name) if message.name else None
        if found is None:
            if message.name:
                self.notify("the job has no such chunk or item", markup=False)
            return
        item, chunk = found
        letters = reversed(list(store.letters.values()))
        of_it = (one for one in letters if one.item_id == item.item_id)
        letter = next(
            (one for one in of_it if chunk is None or one.chunk_id in {chunk, None}), None
        )
        if letter is not None:
            self.post_message(ShowLetter(letter.dead_id))
            return

        def show(screen: Screen[None]) -> None:
            if isinstance(screen, UnitsScreen):
                screen.show_unit(item, None if chunk is None else chunk - item.first_chunk)

        self.show_mode("units", show)

    def on_show_on_map(self, message: ShowOnMap) -> None:
        """Show chunks or items on the map, as another screen asks for."""
        from geobatch_tui.tui.map.chunk_map import ChunkMap

        message.stop()
        store = self.link.store
        found = [store.position(chunk) for chunk in message.chunks]
        for item in filter(None, map(store.item, message.items)):
            found += [item.first, item.first + item.n - 1] if item.n > 1 else [item.first]
        positions = [position for position in found if position is not None]
        if not positions:
            self.notify("the map has no place for it", title="map", markup=False)
            return
        self.show_mode("map", lambda screen: screen.query_one(ChunkMap).show(positions))

    async def destinations(self, text: str, screen: Screen[object]) -> list[Destination]:
        """Return items and chunks of the run, then the destinations of every console."""
        items = self.link.store.items
        found = []
        chunk = chunk_named(items, text) if "@" in text else None
        if chunk is not None and chunk[1] is not None:
            name, show = safe(text), ShowOnMap((text,), (chunk[1],))
            found.append(Destination(name, "Show this chunk on the map", partial(self._show, show)))
        for item in matching(items, text) if text else ():
            show = ShowOnMap((item.key,), (), (item.item_id,))
            found.append(
                Destination(item.key, "Show this item on the map", partial(self._show, show))
            )
        return [*found, *await super().destinations(text, screen)]

    def _show(self, message: ShowOnMap) -> None:
        self.post_message(message)

    def action_stop_now(self) -> None:
        """End the run at once, after a question that names what is lost."""
        running = self.shown.counts["running"]
        lost = (
            f"{figures.plural(running, 'running chunk')} will be abandoned, and redone when "
            "the run is resumed."
            if running
            else "No chunk is running."
        )
        text = f"{lost} Nothing that is finished is lost."
        self.ask(
            "Stop now",
            text,
            (
                Choice("", "No", "the run goes on"),
                Choice("drain", "Drain instead", "finish the chunks in flight, then stop"),
                Choice("cancel", "Stop now", "abandon the chunks in flight"),
            ),
            self.command,
        )

    def action_leave(self) -> None:
        """Leave the console. Where the run lives in it, ask what becomes of the run."""
        if self.leaving is None and self.keep_edits(self.action_leave):
            return
        if not self.link.hosted:
            self.exit(Ending.LEFT)
            return
        if self.leaving is not None:
            self.action_stop_now()
            return
        chunks = figures.plural(self.shown.counts["running"], "running chunk")
        place = (
            "without a terminal" if waiting_parent.is_there() else "on this terminal, line by line"
        )
        self.ask(
            "Leave",
            "What becomes of the run?",
            (
                Choice(Ending.DETACH.value, "Leave it running", f"it goes on {place}"),
                Choice(Ending.LEFT.value, "Drain and stop", f"finish {chunks}, resume later"),
                Choice("", "Stay", "keep watching"),
            ),
            self._leave_by,
        )

    def _leave_by(self, answer: str) -> None:
        if answer == Ending.DETACH.value:
            self.exit(Ending.DETACH)
        else:
            self.drain_and_leave(Ending(answer))

    def open(self, wish: Wish) -> None:
        """Open another run in place of this one, which goes on, if it can without the console."""
        if isinstance(wish, Watch) and wish.directory.absolute() == self.link.directory.absolute():
            self.switch_mode("run")
        elif self.link.hosted and waiting_parent.is_there():
            self.wish = wish
            self.exit(Ending.DETACH)
        elif self.link.hosted:
            self.notify(
                "the run of this console goes on: leave it first (q), then open another",
                title="history",
                severity="warning",
                markup=False,
            )
        else:
            super().open(wish)

    def drain_and_leave(self, ending: Ending) -> None:
        """Drain the run of this process; the console closes when it has ended."""
        self.leaving = ending
        if self.link.host is not None:
            self.link.host.drain()
        self.notify("draining: the console closes when the chunks in flight are done", markup=False)

    def look_at_host(self) -> None:
        """Close the console when the run that it waits for has ended, or never began."""
        host = self.link.host
        if host is None or not host.over:
            return
        if self.leaving is not None:
            self.exit(self.leaving)
        elif host.failed:
            self.exit(Ending.LEFT)

    def ask(
        self, title: str, text: str, choices: tuple[Choice, ...], act: Callable[[str], object]
    ) -> None:
        """Ask a question, and call ``act`` with its answer, unless it was left."""

        def answered(answer: str | None) -> None:
            if answer:
                act(answer)

        self.push_screen(Question(title, text, choices), answered)

    def command(self, verb: str, **arguments: object) -> None:
        """Send a command to the run, and show its reply or error as a notice."""
        self._request(verb, partial(self.link.send, verb, **arguments))

    def _request(self, title: str, ask: Callable[[], str], *, hints: bool = False) -> None:
        """Call a function that may block, and show what it returns or raises as a notice."""

        async def work() -> None:
            try:
                said = await asyncio.to_thread(ask)
            except GeobatchError as error:
                text = f"{error}\n{error.hint}" if hints and error.hint else str(error)
                self.notify(text, title=title, severity="error", markup=False)
                return
            if said:
                self.notify(said, title=title, markup=False)

        # The function, not its coroutine: that would be left over, if the worker is cancelled.
        self.run_worker(work, group="commands", exit_on_error=False, name=title)  # type: ignore[arg-type]
