"""A dead letter in tabs: what happened, its trace, its log, its parameters, its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.reactive import reactive

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless, harmless_lines
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LEVELS, LOOKS
from geobatch_tui.tui.letters import blamed_step
from geobatch_tui.tui.parts.page import TextBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import AttemptRow
    from geobatch_tui.tui.letters.dossier import Dossier

_SHOWN_BLOCKS: Final = 12


class Inspector(TextBox):
    """The dossier of a letter, a tab at a time."""

    DEFAULT_CSS = "Inspector { border-title-style: none; }"

    tab: reactive[int] = reactive(0, init=False)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.dossier: Dossier | None = None
        self._of = ""

    def on_mount(self) -> None:
        self._name_tabs()

    def show(self, dossier: Dossier | None, of: str = "") -> None:
        """Show a letter; ``of`` says of how many it is one. None: there is none."""
        before, self.dossier, self._of = self.dossier, dossier, of
        self._fill()
        if dossier is None or before is None or dossier.letter.dead_id != before.letter.dead_id:
            self.scroll_home(animate=False)

    def action_tab(self, step: int) -> None:
        self.tab = (self.tab + step) % len(TABS)

    def action_open(self, number: int) -> None:
        """Show a tab whose name was clicked."""
        self.tab = number

    def watch_tab(self) -> None:
        """Show the tab from its top."""
        self._name_tabs()
        self._fill()
        self.scroll_home(animate=False)

    def _name_tabs(self) -> None:
        # Constants only: what is foreign must not get into a title, which is markup.
        names = [
            f"[@click=open({number})][{'b reverse' if number == self.tab else '$quiet'}]"
            f"{f' {name} ' if number == self.tab else name}[/][/]"
            for number, name in enumerate(TABS)
        ]
        self.border_title = " ".join(names)
        self.border_subtitle = "< > tab"

    def _fill(self) -> None:
        found = self.dossier
        text = Content("") if found is None else list(TABS.values())[self.tab](found)
        if self._of and found is not None and self.tab == 0:
            text = Content("\n").join([Content.styled(self._of, "$quiet"), text])
        self.write(text)


# --- tabs ----------------------------------------------------------------------------------------


def what(found: Dossier) -> Content:
    """Return error, place, attempts and suggestion of a letter."""
    letter = found.letter
    lines = [
        Content.assemble(
            (harmless(letter.error_class), "bold $error"),
            (f"  stage {found.text('stage') or '-'}", "$quiet"),
        ),
        Content(found.text("error_message")),
    ]
    if (step := blamed_step.blamed(found)) is not None:
        hint = ("  r shows what it got", "$quiet") if step.number else ""
        lines.append(Content.assemble(("blamed on ", "$quiet"), step.label, hint))
    if found.text("suggestion"):
        lines.append(Content.assemble(("try: ", "bold $accent"), found.text("suggestion")))
    lines += _known(found)
    lines.append(Content(""))
    lines += _place(found)
    lines.append(_pair("attempts", _tries(found)))
    if found.command:
        lines.append(Content.assemble(("$ ", "bold $accent"), found.command))
    lines += [
        Content.styled(
            f"  {attempt.attempts:>3}  {fmt.clock(attempt.t)}  {_host(attempt)}"
            f"{harmless(attempt.error_class)}: {harmless(attempt.message)}",
            "$quiet",
        )
        for attempt in (found.attempts if len(found.attempts) > 1 else ())
    ]
    lines += _around(found)
    return Content("\n").join(lines)


def _host(attempt: AttemptRow) -> str:
    """Return the host of an attempt on a cluster, with the space behind it."""
    return f"{harmless(attempt.host)}  " if attempt.host else ""


def _known(found: Dossier) -> list[Content]:
    """Return who dismissed the letter, when, and why."""
    mark = found.record.get("dismissed")
    if not isinstance(mark, dict):
        return []
    when = fmt.clock(float(mark.get("t") or 0))
    by = harmless(str(mark.get("by") or "?"))
    note = harmless(str(mark.get("note") or "without a note"))
    return [Content.assemble(("dismissed: ", "bold $accent"), note, (f"  {by}, {when}", "$quiet"))]


def _tries(found: Dossier) -> str:
    letter = found.letter
    said = f"{letter.attempts}, the last at {fmt.clock(letter.t)}"
    return f"{said}; {figures.plural(letter.crashes, 'worker')} died" if letter.crashes else said


def _place(found: Dossier) -> list[Content]:
    lines = [_pair("chunk" if found.record.get("chunk") else "item", harmless(found.key))]
    if found.record.get("feature") is not None:
        lines.append(_pair("feature", found.text("feature")))
    elif found.record.get("window"):
        col, row, width, height = found.record["window"]
        lines.append(_pair("window", f"{width} x {height} at column {col}, row {row}"))
    if found.record.get("bounds_lonlat"):
        west, south, east, north = found.record["bounds_lonlat"]
        lines.append(_pair("lon, lat", f"{west:.4f} to {east:.4f}, {south:.4f} to {north:.4f}"))
    return [*lines, _pair("source", found.text("source"))]


def _around(found: Dossier) -> list[Content]:
    if not found.neighbours:
        return []
    lines = [_pair("around", "the 5 x 5 chunks about it")]
    for row, states in enumerate(found.neighbours):
        cells: list[Content | tuple[str, str]] = [("           ", "")]
        for col, state in enumerate(states):
            here = (row, col) == (2, 2)
            look = None if state is None else LOOKS.get(state)
            glyph, style = (" ", "") if look is None else (look.glyph, look.style)
            cells += [
                ("[" if here else " ", "bold"),
                (glyph, style),
                ("]" if here else " ", "bold"),
            ]
        lines.append(Content.assemble(*cells))
    return lines


def trace(found: Dossier) -> Content:
    """Return the traceback, and the output of GDAL and of the worker's fd 2."""
    lines = [Content(found.traceback() or "no traceback was recorded")]
    evidence: Json = found.record.get("evidence") or {}
    for name, value in evidence.items():
        lines += [Content(""), Content.styled(harmless(str(name)), "bold $primary")]
        lines.append(Content(_evidence(name, value)))
    return Content("\n").join(lines)


def _evidence(name: str, value: object) -> str:
    if isinstance(value, str):
        return harmless_lines(value).rstrip()
    if name == "blocks" and isinstance(value, list):
        listed = ", ".join(" ".join(map(str, block)) for block in value[:_SHOWN_BLOCKS])
        return harmless(listed + (" ..." if len(value) > _SHOWN_BLOCKS else ""))
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return "\n".join(harmless(entry) for entry in value)
    return harmless_lines(json.dumps(value, indent=1, ensure_ascii=False))


def log(found: Dossier) -> Content:
    """Return lines of the log that name the chunk or its item."""
    if not found.log:
        return Content.styled("the log names neither the chunk nor its item", "$quiet")
    lines = []
    for entry in found.log:
        name, style = LEVELS.get(entry.level, (entry.level[:5], "$quiet"))
        time = (f"{entry.time} ", "$quiet")
        lines.append(Content.assemble(time, (f"{name:<5} ", style), entry.text))
    return Content("\n").join(lines)


def params(found: Dossier) -> Content:
    """Return the operation's parameters and the item's plan."""
    lines = [_pair("operation", harmless(found.op))]
    item = found.item
    if item is None:
        return Content("\n").join(lines)
    lines += [_pair(harmless(name), _value(value)) for name, value in item.params.items()]
    if not item.plan:
        lines += [Content(""), Content.styled("the item was never planned", "$quiet")]
        return Content("\n").join(lines)
    lines += [Content(""), Content.styled("planned", "bold $primary")]
    grid = item.plan.get("grid") or {}
    lines.append(_pair("grid", _value(grid)))
    for name, value in (item.plan.get("notes") or {}).items():
        if name != "lonlat":
            lines.append(_pair(harmless(str(name)), _value(value)))
    return Content("\n").join([*lines, _pair("fingerprint", harmless(item.fingerprint))])


def files(found: Dossier) -> Content:
    """Return source and output, as they are now."""
    lines: list[Content] = []
    for fact in found.files:
        lines += [
            Content.assemble((f"{fact.role:<8}", "bold $primary"), fact.path),
            Content.styled(f"        {fact.state}", "$warning" if fact.alarm else "$quiet"),
        ]
    lines.append(_pair("digest", found.text("source_digest") or "-"))
    return Content("\n").join(lines)


def whole(found: Dossier) -> str:
    """Return all tabs one below the other, as plain text."""
    parts = [f"--- {name} ---\n{tab(found).plain}\n" for name, tab in TABS.items()]
    return "\n".join(parts)


def _value(value: object) -> str:
    return harmless(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _pair(name: str, value: str) -> Content:
    return Content.assemble((f"{name:<11}", "$quiet"), value)


TABS: Final[dict[str, Callable[[Dossier], Content]]] = {
    "What": what,
    "Trace": trace,
    "Log": log,
    "Params": params,
    "Files": files,
}
