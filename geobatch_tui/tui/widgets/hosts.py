"""The stores of a run: requests and bytes a second, what was tried again, and which are away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content
from textual.css.scalar import Scalar

from geobatch_tui.observability.figures import plural
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.observability.host_report import HostReport
    from geobatch_tui.tui.run.model import Delta, View

#: Lines at most, and cells of a name beside which figures have room.
MOST: Final = 4
_NAME: Final = 16
_FIGURES: Final = 22


class Hosts(Lines):
    """A line for each store, those that are away first. It takes no room where a run has none."""

    BORDER_TITLE = "Stores"

    def take(self, delta: Delta) -> None:
        lines = min(len(delta.view.hosts), MOST)
        if self.has_class("-some") != (lines > 0):
            self.set_class(lines > 0, "-some")
        if lines and self.styles.height != Scalar.from_number(lines + 2):
            self.styles.height = lines + 2  # with the border
        super().take(delta)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        shown = view.hosts[:height]
        left = len(view.hosts) - len(shown)
        room = max(_NAME, width - _FIGURES - 2)
        names = min(room, max((cell_len(host.host) for host in shown), default=0))
        lines = [_line(host, view, width, names) for host in shown]
        if left and lines:
            lines[-1] = Content.assemble(
                (fmt.fit(f"{plural(left + 1, 'store')} more: geobatch status", width), "$quiet")
            )
        return lines


def _line(host: HostReport, view: View, width: int, names: int) -> Content:
    if host.is_away and view.live:
        said, style = host.outage(view.now), "bold $warning"
    else:
        said, style = (host.rates() if view.live else ""), "$quiet"
    totals = host.totals()
    # Since when a store is away is worth more than all of its name.
    names = max(_NAME, min(names, width - len(said) - 2))
    line = f"{fmt.fit_middle(host.host, names)}  {fmt.fit(said, max(len(said), _FIGURES))}"
    if len(line) + 2 + len(totals) <= width:
        line = f"{line}  {totals}"
    return Content.assemble((fmt.fit(line, width), style))
