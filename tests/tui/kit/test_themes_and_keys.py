"""Themes and keys, from files."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from geobatch_tui.tui.console.app import HomeApp
from geobatch_tui.tui.kit import keymap, themes
from geobatch_tui.tui.kit.contrast import GROUNDS, WORDS, legible


def shipped():
    return themes.load_all()[0]


def test_five_themes_ship(monkeypatch, tmp_path):
    """Two light ones, a high-contrast one, one of sixteen colours; none of them is bad."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found, bad = themes.load_all()
    assert bad == []
    assert {theme.name for theme in found} >= {"night", "day", "paper", "contrast", "terminal"}
    assert sum(not theme.dark for theme in found) >= 2
    assert sum(theme.ansi for theme in found) == 1


@pytest.mark.parametrize("name", ["night", "day", "paper", "contrast", "blue-orange"])
def test_states_can_be_told_from_the_background(name):
    """Colours of states that matter have a contrast of 3:1 at least, text 4.5:1, and the theme for
    high contrast 7:1 for text (WCAG 2.2, 1.4.3, 1.4.6, 1.4.11)."""
    theme = next(theme for theme in shipped() if theme.name == name)
    ground = Color.parse(theme.background)
    for state in ("run", "done", "dead", "retry"):
        assert ratio(Color.parse(theme.variables[f"chunk-{state}"]), ground) >= 3, state
    wanted = 7 if name == "contrast" else 4.5
    for text in (theme.foreground, theme.success, theme.warning, theme.error):
        assert ratio(Color.parse(text), ground) >= wanted, text
    assert ratio(Color.parse(theme.variables["quiet"]), ground) >= (7 if wanted == 7 else 4)


def test_done_and_dead_differ_in_lightness_too():
    """In the theme for those who do not tell red from green; its ramp grows lighter step by step."""
    theme = next(theme for theme in shipped() if theme.name == "blue-orange")
    colors = {name: Color.parse(value) for name, value in theme.variables.items()}
    assert ratio(colors["chunk-done"], colors["chunk-dead"]) > 2
    assert ratio(colors["chunk-dead"], colors["chunk-retry"]) > 1.5
    black = Color(0, 0, 0)
    ramp = [ratio(colors[f"ramp-{step}"], black) for step in range(1, 6)]
    assert ramp == sorted(ramp)


def ratio(one, other):
    """Contrast of two colours by WCAG 2.2."""

    def luminance(color):
        parts = [part / 255 for part in color.rgb]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", sorted(BUILTIN_THEMES))
def test_words_can_be_read_in_themes_of_textual(name):
    """Its light themes have yellows that no word can be read in, and greys of ours none."""
    variables = legible({**themes.DEFAULTS, **BUILTIN_THEMES[name].to_color_system().generate()})
    colors = {key: Color.parse(variables[key]) for key in (*WORDS, *GROUNDS)}
    for word in WORDS:
        for ground in GROUNDS:
            if colors[word].ansi is None and colors[ground].ansi is None:
                assert ratio(colors[word], colors[ground]) >= 3, (word, ground)


def test_themes_that_ship_are_left_as_they_are():
    for theme in shipped():
        variables = {**theme.to_color_system().generate(), **theme.variables}
        assert legible(variables) == variables, theme.name


def test_every_theme_names_all_states():
    """A theme that ships leaves no colour of ours to a default."""
    for theme in shipped():
        assert set(themes.DEFAULTS) <= set(theme.variables), theme.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = [", "no TOML"),
        ('[colors]\nsecondary = "red"', "primary is missing"),
        ('[colors]\nprimary = "nocolour"', "is no color"),
        ('[colors]\nprimary = "red"\nprimry = "red"', "unknown colors primry"),
        ('colour = "x"\n[colors]\nprimary = "red"', "unknown key colour"),
        ('dark = "yes"\n[colors]\nprimary = "red"', "dark must be of type bool"),
        ("[colors]\nprimary = 5", "table of texts"),
        ('[colors]\nprimary = "red"\n[variables]\nchunk-dead = "\\u001b[31m"', "is no color"),
        ('[colors]\nprimary = "red"\n[variables]\nborder = "5x;"', "border is no color"),
        ('[colors]\nprimary = "red"\n[variables]\nlink-style = "red"', "no text style"),
        ('[colors]\nprimary = "red"\n[variables]\n"a b" = "red"', "is no name"),
    ],
)
def test_bad_themes_say_why(tmp_path, text, said):
    """A file that cannot be used is named with its reason; nothing is raised."""
    path = tmp_path / "x.toml"
    path.write_text(text)
    found = themes.load(path)
    assert isinstance(found, themes.BadTheme)
    assert said in found.reason
    assert "\x1b" not in found.reason


def test_a_theme_without_a_name_has_its_files_name(tmp_path):
    """``mine.toml`` is the theme ``mine``."""
    path = tmp_path / "mine.toml"
    path.write_text('[colors]\nprimary = "#102030"\n')
    found = themes.load(path)
    assert isinstance(found, Theme)
    assert found.name == "mine"


def test_one_key_means_one_thing():
    """Among the keys that ship there is no conflict."""
    assert keymap.conflicts({}) == []


def test_what_a_key_does_fits_its_line_of_the_help():
    """Where two lists stand side by side, 43 cells are left beside the key."""
    assert [key.help for key in keymap.KEYS.values() if len(key.help) > 43] == []


def test_uppercase_changes_the_job():
    """Capital letters are for what changes the job, N and G of vim excepted; lowercase never is."""
    changing = {"job.pause", "job.stop", "retry", "retry.with", "split", "dismiss"}
    assert changing <= set(keymap.KEYS)
    for identifier, key in keymap.KEYS.items():
        if key.key in {"N", "G"}:
            continue
        assert (len(key.key) == 1 and key.key.isupper()) == (identifier in changing), identifier


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = 5", "one table"),
        ("[keys", "Expected"),
        ('[keys]\nnonsense = "x"', "no key nonsense"),
        ("[keys]\nfreeze = 5", "must be a text"),
        ('[keys]\nfreeze = "P"', "means freeze and job.pause"),
        ('[keys]\nunits = ":"', "means palette and units"),
        ('[keys]\nunits = "j"', "means a move of the cursor and units"),
    ],
)
def test_problems_of_a_keymap_are_told(tmp_path, text, said):
    """Unknown ids, wrong types and conflicts are sentences; the rest of the file counts."""
    path = tmp_path / "keys.toml"
    path.write_text(text)
    assert any(said in problem for problem in keymap.load_keymap(path).problems)


def test_no_keymap_is_no_problem(tmp_path):
    """Without a file the keys are those that ship."""
    assert keymap.load_keymap(tmp_path / "none.toml") == keymap.Keymap({})


@pytest.mark.asyncio
async def test_a_theme_that_was_chosen_is_that_of_the_next_console(monkeypatch, tmp_path):
    """Unless TEXTUAL_THEME names one; a file that names none is no error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    seen = []
    for wanted in ("paper", "", ""):
        app = HomeApp()
        async with app.run_test() as pilot:
            await pilot.pause()
            seen.append(app.theme)
            if wanted:
                app.theme = wanted
                await pilot.pause()
        kept = tmp_path / "state" / "geobatch" / "theme"
        if len(seen) == 2:
            kept.write_bytes(b"\xff no theme")
    assert seen == ["night", "paper", "night"]
    themes.keep(kept, "day")
    assert themes.first({"day", "contrast"}, themes.kept(kept)) == "day"
    monkeypatch.setenv("TEXTUAL_THEME", "contrast")
    assert themes.first({"day", "contrast"}, themes.kept(kept)) == "contrast"
