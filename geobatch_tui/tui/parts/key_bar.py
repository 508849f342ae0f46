"""The line of keys at the bottom: modes, keys of the screen, and always help."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Input

from geobatch_tui.tui.kit.keymap import SIGNS
from geobatch_tui.tui.parts.console_app import RunConsole
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual import events
    from textual.binding import ActiveBinding, Binding

    from geobatch_tui.tui.run.model import View

_ALWAYS: Final = ("help", "detach")
_LATER: Final = ("palette",)
_BAR: Final = "│ "
_NEAR: Final = 3  #: keys of the screen that names of modes give way to
_ROOM: Final = 36  #: cells that they give way by, at most


class Entry(NamedTuple):
    """A key and its name; ``binding`` is pressed by a click."""

    key: str
    name: str
    binding: Binding
    enabled: bool

    @property
    def width(self) -> int:
        """Cells, with the gap after it."""
        return cell_len(self.key) + 1 + cell_len(self.name) + 2


class KeyBar(Lines):
    """The keys that there is room for: modes and help always, then those of the screen, then those
    of all screens. A click on a key presses it."""

    DEFAULT_CSS = "KeyBar { dock: bottom; height: 1; background: $footer-background; }"

    def __init__(self) -> None:
        super().__init__()
        self._places: list[tuple[int, int, Binding]] = []

    def on_mount(self) -> None:
        """Follow the bindings, which change with the focus and the run."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.renew())

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del height
        modes, others, always = self._entries(paused=view.state == "paused")
        room = width - 1 - len(_BAR) - sum(entry.width for entry in always)
        wanted = sum(entry.width for entry in others[:_NEAR])
        names = sum(entry.width for entry in modes) + min(wanted, _ROOM) <= room
        room -= sum(self._width(entry, names=names) for entry in modes)
        chosen: list[Entry] = []
        for entry in others:
            if entry.width <= room:
                chosen.append(entry)
                room -= entry.width
        return [self._line(modes, [*chosen, *always], names=names)]

    def _is_here(self, entry: Entry) -> bool:
        return entry.binding.id == f"mode.{self.app.current_mode}"

    def _width(self, entry: Entry, *, names: bool) -> int:
        """Return the cells of a mode: where there is little room, only that which is shown has its
        name."""
        return entry.width if names or self._is_here(entry) else cell_len(entry.key) + 1

    def _line(self, modes: Sequence[Entry], others: Sequence[Entry], *, names: bool) -> Content:
        """Return the line, and note where each key stands on it. Without ``names`` only the mode
        that is shown has one."""
        pieces: list[tuple[str, str]] = [(" ", "")]
        self._places = []
        x = 1
        for group in (modes, others):
            if group is others and modes:
                pieces.append((_BAR, "$quiet"))
                x += len(_BAR)
            for entry in group:
                here = group is modes and self._is_here(entry)
                key_style = "bold $footer-key-foreground" if entry.enabled else "$quiet"
                name_style = "bold underline" if here else "" if entry.enabled else "$quiet"
                name = entry.name if names or here or group is others else ""
                pieces += [(entry.key, key_style), (" " if name else "", ""), (name, name_style)]
                pieces.append(("  " if name else " ", ""))
                size = entry.width if name else cell_len(entry.key) + 1
                self._places.append((x, x + size - 1, entry.binding))
                x += size
        return Content.assemble(*pieces)

    def _entries(self, *, paused: bool) -> tuple[list[Entry], list[Entry], list[Entry]]:
        """Return modes, then keys of this screen and of all screens, then keys that are always
        shown."""
        modes: list[Entry] = []
        near: list[Entry] = []
        far: list[Entry] = []
        later: list[Entry] = []
        always: list[Entry] = []
        # What ends a state that would else stay as it is has a place on the smallest screen.
        ends = {"job.pause": "Go on"} if paused else {}
        if isinstance(self.app, RunConsole) and self.app.frozen:
            ends["freeze"] = "Unfreeze"
        for active in self._active():
            binding = active.binding
            identifier = binding.id or ""
            entry = Entry(self._name_of(binding), binding.description, binding, active.enabled)
            if identifier.startswith("mode."):
                modes.append(entry)
            elif identifier in ends:
                always.insert(0, entry._replace(name=ends[identifier]))
            elif identifier in _ALWAYS:
                always.append(entry)
            elif identifier in _LATER:
                later.append(entry)
            else:
                (far if active.node is self.app else near).append(entry)
        return modes, [*near, *far, *later], always

    def _active(self) -> Iterator[ActiveBinding]:
        """Yield each binding to be shown, once, with its first key; none whose key would be
        typed."""
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            name = active.binding.id or active.binding.action
            typed = self._typing and active.binding.key in SIGNS
            if active.binding.show and name not in seen and not typed:
                seen.add(name)
                yield active

    @property
    def _typing(self) -> bool:
        return isinstance(self.screen.focused, Input)

    def _name_of(self, binding: Binding) -> str:
        """Return the label of a key. A key with two names, as ``:`` and ``ctrl+p``, is shown by the
        first of them; while one types, Textual leaves only the other one."""
        if self._typing:
            binding = replace(binding, key_display=None)
        return self.app.get_key_display(binding)

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked, as often as it was."""
        for start, end, binding in self._places:
            if start <= event.x < end:
                event.stop()
                self.app.simulate_key(binding.key)
