"""The keys of a job as a form: a line each, below the name of its section."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.scroll_lines import ScrollLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.jobs.draft import Field

_NAME: Final = 22
_LAYER: Final = 12
_STYLES: Final = {"default": "$quiet", "edited": "bold $accent"}


class FieldList(ScrollLines):
    """The form."""

    BORDER_TITLE = "Job"

    _rows: Sequence[Field | str]

    def show(self, fields: Sequence[Field]) -> None:
        """Show a job; the cursor stays on its key."""
        before = self.current
        keys = [field.leaf.key for field in fields]
        sections = groupby(fields, key=lambda field: field.leaf.key.partition(".")[0])
        self._rows = [row for name, members in sections for row in (name, *members)]
        if before is not None and before.leaf.key in keys:
            self.go(before.leaf.key)
        elif keys:
            self.go(keys[0])
        self.renew()

    def go(self, key: str) -> bool:
        """Put the cursor on a key; return whether it is in the list."""
        for number, row in enumerate(self._rows):
            if not isinstance(row, str) and row.leaf.key == key:
                self.set_reactive(ScrollLines.cursor, number)
                self.keep_in_view(number)
                return True
        return False

    @property
    def current(self) -> Field | None:
        """The key under the cursor; None on a section."""
        row = self._rows[self.cursor] if self.cursor < len(self._rows) else None
        return None if isinstance(row, str) else row

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        row = self._rows[number]
        if isinstance(row, str):
            return Content.assemble((f"[{row}]", "bold $primary"))
        mark = "!" if row.problem else ">" if at_cursor else " "
        name = row.leaf.key.partition(".")[2]
        # Of a value that has letters the unit is in it, or it has none: 30m, auto.
        unit = f" {row.leaf.unit}" if row.leaf.unit and not row.text.strip("-.0123456789") else ""
        unit = unit if row.text else ""
        value = row.text or ("needed" if row.leaf.required else "-")
        style = "bold $error" if row.problem else _STYLES.get(row.layer, "")
        room = max(0, width - 2 - _NAME - 1 - _LAYER)
        return Content.assemble(
            (f"{mark} ", "bold $error" if row.problem else "bold"),
            f"{fmt.fit(name, _NAME)} ",
            (fmt.fit(f"{value}{unit}", room), style),
            (fmt.right(row.layer, _LAYER), "$quiet"),
        )
