"""The keys that work here, from the live bindings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.kit.keymap import KEYS, bind, keymap_path
from geobatch_tui.tui.kit.modal import Modal
from geobatch_tui.tui.parts.user_commands import commands_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import App, ComposeResult
    from textual.binding import ActiveBinding, BindingType

    from geobatch_tui.tui.parts.user_commands import UserCommand


_MOVING: Final = (
    ("arrows, h j k l", "the cursor"),
    ("PgUp PgDn", "a page"),
    ("Home, End or G", "the first and the last line"),
    ("Tab", "the next panel"),
    ("enter, click", "open; the second click on a line opens it, too"),
)
_GRAMMAR: Final = (
    ('word "two words"', "occur anywhere, in any case; all terms must hold"),
    ("class:Corrupt", "the field has the text in it; = is the text"),
    ("attempts>2", "the number is larger; also < >= <= ="),
    ("!term", "the term does not hold"),
)
_SECTIONS: Final = (("Moving", _MOVING), ("Filter (/)", _GRAMMAR))


def short(path: Path) -> str:
    """Return a path for people, from their home on."""
    home = Path.home()
    return safe(f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path))


class Entry(NamedTuple):
    """A key: its name, its effect, whether it can be used now, and its action."""

    identifier: str
    key: str
    name: str
    help: str
    enabled: bool
    everywhere: bool
    action: str


def entries[Result](app: App[Result], active: Iterable[ActiveBinding]) -> list[Entry]:
    """Return the keys of the registry among ``active``, each once, in the registry's order."""
    found: dict[str, Entry] = {}
    for entry in active:
        identifier = entry.binding.id or ""
        if identifier not in KEYS:
            continue
        key = app.get_key_display(entry.binding)
        before = found.get(identifier)
        found[identifier] = Entry(
            identifier,
            f"{before.key} {key}" if before and key not in before.key else key,
            entry.binding.description,
            entry.binding.tooltip or KEYS[identifier].help,
            entry.enabled,
            entry.node is app,
            entry.binding.action,
        )
    return sorted(found.values(), key=lambda entry: list(KEYS).index(entry.identifier))


class HelpScreen(Modal[None]):
    """Two lists of keys: of this screen, and of all screens."""

    HORIZONTAL_BREAKPOINTS = [(0, "-stacked"), (112, "-beside")]  # noqa: RUF012 - Textual's form
    BINDING_GROUP_TITLE = "Help"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "dismiss"), bind("help", "dismiss")]

    def __init__(
        self,
        title: str,
        keys: Sequence[Entry],
        problems: Sequence[str],
        fields: Iterable[str] = (),
        own: Sequence[UserCommand] = (),
    ) -> None:
        super().__init__()
        self._own = own
        self._fields = [*fields]
        self._title = title
        self._keys = keys
        self._problems = problems

    def compose(self) -> ComposeResult:
        """Two lists, and the user's file of keys; what is wrong with it stands first."""
        note = Static(self._note(), id="help-note", markup=False)
        with Vertical(id="help") as box:
            box.border_title = f"Help  {self._title}"
            box.border_subtitle = "esc close"
            with VerticalScroll(can_focus=True):
                if self._problems:
                    yield note
                with Horizontal(id="help-lists"):
                    yield self._column("This screen", everywhere=False)
                    yield self._column("Everywhere", everywhere=True)
                yield Static(self._more(), classes="help-list", markup=False)
                if not self._problems:
                    yield note

    def _column(self, title: str, *, everywhere: bool) -> Static:
        lines = [
            Content.assemble(
                (f"{entry.key:<8}", "bold $accent" if entry.enabled else "$quiet"),
                (entry.help, "" if entry.enabled else "$quiet"),
            )
            for entry in self._keys
            if entry.everywhere is everywhere
        ] or [Content.styled("no keys of its own", "$quiet")]
        lines.insert(0, Content.styled(title, "bold $primary"))
        return Static(Content("\n").join(lines), classes="help-list", markup=False)

    def _more(self) -> Content:
        """Return how to move, how to filter the list of the screen, and what the glyphs are."""
        lines: list[Content] = [Content("")]
        for title, rows in _SECTIONS if self._fields else _SECTIONS[:1]:
            lines.append(Content.styled(title, "bold $primary"))
            lines += [Content.assemble((f"{key:<18}", "bold"), said) for key, said in rows]
            lines.append(Content(""))
        if self._fields:
            lines[-1] = Content.styled(f"fields: {', '.join(self._fields)}", "$quiet")
            lines.append(Content(""))
        if self._own:
            lines.append(Content.styled(f"Yours ({short(commands_path())})", "bold $primary"))
            lines += [
                Content.assemble((f"{safe(one.key, limit=17):<18}", "bold"), safe(one.title))
                for one in self._own
            ]
            lines.append(Content(""))
        lines.append(Content.styled("Chunks", "bold $primary"))
        looks = [((look.glyph, look.style), f" {look.name}  ") for look in LOOKS.values()]
        lines.append(Content.assemble(*(part for pair in looks for part in pair)))
        return Content("\n").join(lines)

    def _note(self) -> Content:
        count = len(self._problems)
        wrong = figures.plural(count, "problem") if count else "no conflicts"
        return Content("\n").join(
            [
                Content(f"{wrong} in {short(keymap_path())}"),
                *(Content.styled(problem, "$warning") for problem in self._problems),
            ]
        )
