"""Lines that are painted once: as wide as the list is now."""

from __future__ import annotations

from scripted_run import shown
from textual.app import App
from textual.content import Content

from geobatch_tui.tui.kit import themes
from geobatch_tui.tui.parts.scroll_lines import ScrollLines


class Numbers(ScrollLines):
    """Lines whose last cell is a bar."""

    def line(self, number, width, *, at_cursor):
        return Content(f"{number:<{width - 1}}|")


class OneList(App[None]):
    """An app of a list."""

    def get_theme_variable_defaults(self):
        return dict(themes.DEFAULTS)

    def compose(self):
        yield Numbers()


async def test_a_scrollbar_that_comes_leaves_no_line_cut():
    """What was painted without it is painted anew."""
    app = OneList()
    async with app.run_test(size=(20, 6)) as pilot:
        numbers = app.query_one(Numbers)
        widths = []
        for count in (3, 60):
            numbers._rows = range(count)
            numbers.renew()
            await pilot.pause()
            widths.append(numbers.scrollable_content_region.width)
            lines = shown(app).splitlines()[1:4]
            assert [line.index("|") for line in lines] == [widths[-1]] * 3  # behind the border
        assert widths[1] == widths[0] - 1
