"""What the console says can be read, is true of one and of none, and names keys that work."""

from __future__ import annotations

from scripted_run import busy_run, shown
from textual.color import Color


async def settle(pilot):
    """Poll, and wait for the picture."""
    pilot.app.poll()
    await pilot.pause()
    await pilot.pause()


async def test_questions_count_one_chunk_and_none(console, script):
    """Whoever stops or leaves a run with one chunk at work, or none, reads no plural of it."""
    script.plan(1, 1, 3)
    script.start(1)
    app = console()
    async with app.run_test() as pilot:
        await settle(pilot)
        await pilot.press("Q")
        await pilot.pause()
        assert "1 running chunk will be abandoned" in shown(app)
        await pilot.press("escape")
        script.done(1)
        await settle(pilot)
        await pilot.press("Q")
        await pilot.pause()
        assert "No chunk is running. Nothing that is finished is lost." in shown(app)


async def test_only_keys_that_are_not_typed_are_offered_while_one_types(console, script):
    """In the field of a filter : and ? are text: their other keys stand there instead."""
    script.plan(1, 1, 3)
    app = console()
    async with app.run_test(size=(230, 30)) as pilot:
        await settle(pilot)
        await pilot.press("3")
        await pilot.pause()
        assert ": Commands" in shown(app).splitlines()[-1]
        await pilot.press("slash")
        await pilot.pause()
        line = shown(app).splitlines()[-1]
        assert "^p Commands" in line
        assert "f1 Help" in line
        assert "/ Filter" not in line


async def test_the_key_that_pauses_goes_on_where_the_run_is_paused(console, script):
    """It says what it does next, on the smallest screen, too."""
    script.plan(1, 1, 3)
    script.progress()
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "P Go on" not in shown(app)
        script.progress(suspended="operator")
        await settle(pilot)
        assert "PAUSED" in shown(app)
        assert "P Go on" in shown(app).splitlines()[-1]


async def test_every_screen_says_that_it_stands_still(console, script):
    """Wherever it was frozen; and that it goes on, wherever that was said."""
    script.plan(1, 1, 3)
    app = console()
    async with app.run_test(size=(80, 12)) as pilot:
        for size in ((80, 12), (160, 12)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            await pilot.press("2", "p")
            for mode in "234561":
                await pilot.press(mode)
                await pilot.pause()
                assert "p Unfreeze" in shown(app).splitlines()[-1], (mode, size)
            assert "FROZEN" in shown(app)
            await pilot.press("2", "p", "1")
            await pilot.pause()
            assert "FROZEN" not in shown(app)
            assert "Unfreeze" not in shown(app)


async def test_titles_can_be_read_without_the_focus(console, script):
    """A border may be dim, the words in it may not."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(160, 48)) as pilot:
        await settle(pilot)
        for mode in "123456":
            await pilot.press(mode)
            await pilot.pause()
            for widget in app.screen.query("*"):
                assert not list(dim_words(widget)), (mode, widget)


async def test_a_theme_of_textual_is_made_legible(console, script):
    """Both for the style sheets and for what is painted by itself."""
    script.plan(1, 1, 3)
    app = console()
    async with app.run_test() as pilot:
        await settle(pilot)
        app.theme = "textual-light"
        await pilot.pause()
        assert app.theme_variables["warning"] != app.current_theme.warning
        assert app.get_css_variables()["warning"] == app.theme_variables["warning"]


def dim_words(widget):
    """The title and subtitle of a widget that have the colour of a border without the focus."""
    dim = Color.parse(widget.app.theme_variables["border-blurred"])
    styles = widget.styles
    for rule in ("border_title", "border_subtitle"):
        words = getattr(widget, rule)
        own = styles.has_rule(f"{rule}_color")
        color = getattr(styles, f"{rule}_color") if own else styles.border_top[1]
        if words and widget.display and not widget.has_focus and color.rgb == dim.rgb:
            yield words
