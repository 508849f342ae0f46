"""What to do now that a run has ended, a line for each thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.keymap import KEYS
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.tui.run.model import View

_CAUSES: Final = 4


class Advice(NamedTuple):
    """A sentence, and the id of the key that follows it; "" for none."""

    text: str
    key: str = ""
    style: str = ""


def advice(view: View, *, read_only: bool = False) -> list[Advice]:
    """Say what came of a run that has ended, and what can be done now."""
    run = view.run
    if view.live or run is None:
        return []
    items = view.items
    published, total = figures.count(items["published"]), figures.plural(items["total"], "output")
    whole = items["published"] == items["total"] > 0
    rows = [Advice(f"{published} of {total} published", style="$success" if whole else "")]
    if view.state == "crashed":
        rows.append(Advice("its process is gone; nothing that was done is lost", style="$error"))
    for group in view.groups[:_CAUSES]:
        name = group.error_class.removesuffix("Error")
        text = f"{figures.count(group.count)} dead: {name}, {group.where}"
        rows.append(
            Advice(f"{text}: {group.suggestion}" if group.suggestion else text, "mode.dead")
        )
    if len(view.groups) > _CAUSES:
        rows.append(Advice(f"{len(view.groups) - _CAUSES} more causes", "mode.dead"))
    if view.groups and not read_only:
        rows.append(Advice("try them again", "retry"))
    left = view.counts["total"] - view.settled
    if left:
        key = "" if read_only else "run.start"
        rows.append(Advice(f"{figures.plural(left, 'chunk')} left: go on from here", key))
    rows.append(Advice("write a report of the run", "export"))
    rows.append(Advice("watch it again", "replay"))
    rows.append(Advice("what was slow", "mode.units"))
    return rows


class WhatNow(Lines):
    """The advice, each with its key, which a click on the line presses.

    Attributes:
        read_only: whether the console changes nothing.
        keys: keys of the user, by id.
    """

    BORDER_TITLE = "What now"

    read_only = False
    keys: Mapping[str, str] = {}

    def wanted(self, view: View) -> int:
        return len(advice(view, read_only=self.read_only))

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        return [self._line(row, width) for row in advice(view, read_only=self.read_only)[:height]]

    def pick(self, x: int, y: int) -> None:
        del x
        rows = advice(self.view, read_only=self.read_only)
        if y < len(rows) and rows[y].key:
            changed = self.keys.get(rows[y].key, "")
            self.app.simulate_key((changed or KEYS[rows[y].key].key).split(",")[0])

    def _line(self, row: Advice, width: int) -> Content:
        key = ""
        if row.key:
            entry = KEYS[row.key]
            changed = self.keys.get(row.key, "").split(",")[0]
            key = changed or entry.display or entry.key
        return Content.assemble(
            (f" {fmt.fit(key, 3)} ", "bold $accent"),
            (fmt.fit(row.text, max(0, width - 5)), row.style),
        )
