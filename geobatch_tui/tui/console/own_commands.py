"""Runs commands of the user's own on what the cursor is on, and lists them with the keys."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Final

from textual.binding import Binding

from geobatch_tui.errors import ConfigError, GeobatchError
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.observability.text import safe, safe_lines
from geobatch_tui.tui.kit.editor import lend
from geobatch_tui.tui.parts.console_app import Console, Target
from geobatch_tui.tui.parts.dialogs import Choice, Question
from geobatch_tui.tui.parts.help import HelpScreen, entries
from geobatch_tui.tui.parts.page import Filtered, Frame
from geobatch_tui.tui.parts.user_commands import load_commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.parts.user_commands import UserCommand

_LOOK: Final = 0.1  #: seconds between two looks whether a program has ended
_SAID: Final = 400  #: characters of what it said last


class OwnCommands(Console):
    """A console with the user's commands."""

    def bind_commands(self) -> None:
        """Read the commands, and bind their keys."""
        self.commands = load_commands(self.user_keys.changes)
        for number, command in enumerate(self.commands.commands):
            if command.key:
                action = f"own_command({number})"
                for key in Binding.make_bindings([Binding(command.key, action, show=False)]):
                    self.bind(key.key, action, description=command.title, show=False)
        for problem in self.commands.problems:
            self.notify(problem, title="commands", severity="warning", markup=False)

    def action_keys(self) -> None:
        """Show the keys that work here."""
        screen = self.screen
        keys = entries(self, screen.active_bindings.values())
        title = str(screen.BINDING_GROUP_TITLE or "")
        fields = screen.bar.fields if isinstance(screen, Filtered) else ()
        problems = (*self.user_keys.problems, *self.commands.problems)
        self.push_screen(HelpScreen(title, keys, problems, fields, self.commands.commands))

    def action_own_command(self, number: int) -> None:
        """Run a command of the user's."""
        command = self.commands.commands[number]
        if command.where and self.current_mode not in command.where:
            said = f"it is for {', '.join(command.where)}"
            self.notify(said, title=safe(command.title), markup=False)
            return
        screen = self.screen_stack[0]
        target = screen.target() if isinstance(screen, Frame) else Target()

        async def work() -> None:
            await self._own_command(command, target)

        self.run_worker(work, group="own", exit_on_error=False, name=safe(command.title))  # type: ignore[arg-type]

    async def _own_command(self, command: UserCommand, target: Target) -> None:
        title = safe(command.title)
        try:
            values = await asyncio.to_thread(values_of, target)
            words = command.filled(values)
        except GeobatchError as error:
            text = f"{error}\n{error.hint}" if error.hint else str(error)
            self.notify(text, title=title, severity="error", markup=False)
            return
        if not command.confirm:
            await self._start(command, words)
            return

        def answered(answer: str | None) -> None:
            if answer:
                start = partial(self._start, command, words)
                self.run_worker(start, group="own", exit_on_error=False, name=title)  # type: ignore[arg-type]

        choices = (Choice("", "No", "run nothing"), Choice("run", "Run", "the command above"))
        self.push_screen(Question(title, safe(shlex.join(words)), choices), answered)

    async def _start(self, command: UserCommand, words: Sequence[str]) -> None:
        """Run a program, and say how it ended; in the terminal, or beside the console."""
        title = safe(command.title)
        try:
            if command.terminal:
                lend(self, words)
                return
            said = await _ended(words)
        except GeobatchError as error:
            self.notify(str(error), title=title, severity="error", markup=False)
            return
        self.notify(
            said or "done", title=title, severity="error" if said else "information", markup=False
        )


async def _ended(words: Sequence[str]) -> str:
    """Run a program beside the console until it ends; return what went wrong, or nothing. It goes
    on where the console is closed before.

    Raises ConfigError where it cannot be started.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - the user's own; waited for by looks
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot start {safe(words[0])}: {error}") from error
        while (code := process.poll()) is None:  # noqa: ASYNC110 - a watcher would end it with us
            await asyncio.sleep(_LOOK)
        if not code:
            return ""
        output.seek(max(0, output.seek(0, 2) - _SAID))
        said = safe_lines(output.read().decode(errors="replace")).strip()
        return f"exit code {code}" + (f": {said}" if said else "")


def values_of(target: Target) -> dict[str, str]:
    """Return the values of placeholders: the names themselves, as the ledger has them, not as the
    console shows them.

    Raises:
        StateError: the ledger cannot be read.
    """
    values = {"dir": target.outputs}
    if target.directory is None or target.item_id is None:
        return values
    with LedgerReader(StateDir.open(target.directory).ledger) as reader:
        item = reader.item(target.item_id)
    if item is None:
        return values
    values |= {"item": item.key, "input": item.source, "output": item.out_path}
    return values | {"unit": f"{item.key}{target.place}"}
