"""Dead letters as rows to walk, mark and fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.letters.listing import Listing
from geobatch_tui.tui.parts.scroll_lines import ColumnName, ScrollLines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from textual.binding import BindingType

    from geobatch_tui.tui.letters.listing import Group
    from geobatch_tui.tui.run.model import LetterView

FOLDED_FROM: Final = 12
"""A group of so many letters starts folded."""

_MARK_AT, _FOLD_AT = 1, 2  #: cells of a line

_WIDE: Final = 110
_ROOMY: Final = 90
_NOTE: Final = 10  #: cells; with fewer the note of a group says nothing


class ListRow(NamedTuple):
    """A row: a group's head (``letter`` is None) or a letter."""

    group: Group
    letter: int | None

    @property
    def letters(self) -> tuple[int, ...]:
        """The letter, or all of the group."""
        return self.group.letters if self.letter is None else (self.letter,)


class LetterList(ScrollLines):
    """The list.

    Attributes:
        marks: ids of the letters that are marked; those that are gone are dropped.
    """

    _rows: Sequence[ListRow]

    BORDER_TITLE = "Dead letters"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("mark", "mark"),
        bind("mark.range", "range", show=False),
        bind("mark.all", "all", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.marks: set[int] = set()
        self._listing = Listing()
        self._letters: Mapping[int, LetterView] = {}
        self._toggled: set[str] = set()
        self._anchor: int | None = None
        self._awaited: int | None = None

    # --- rows -----------------------------------------------------------------------------------

    def show(self, listing: Listing, letters: Mapping[int, LetterView]) -> None:
        """Show a list; the cursor stays on its letter or group while it is there."""
        before = self.current
        self._listing, self._letters = listing, letters
        self.marks &= letters.keys()
        self._build(before)
        if self._awaited is not None:
            self.go(self._awaited)
            self._awaited = None

    def go(self, dead_id: int) -> None:
        """Put the cursor on a letter, and unfold its group. Before the list is there, it goes
        there when it is shown."""
        group = next((group for group in self._listing.groups if dead_id in group.letters), None)
        if group is None:
            self._awaited = dead_id
            return
        if group.title and len(group.letters) > 1 and self.is_folded(group):
            self._toggled ^= {group.key}
            self._build(None)
        self.cursor = [row.letter for row in self._rows].index(dead_id)

    def _build(self, before: ListRow | None) -> None:
        self._rows = [row for group in self._listing.groups for row in self._of(group)]
        if before is not None:
            self._find(before)
        self.renew()
        self.keep_in_view(self.cursor)

    def _of(self, group: Group) -> Iterable[ListRow]:
        # A letter alone says it all.
        head = [ListRow(group, None)] if group.title and len(group.letters) > 1 else []
        if head and self.is_folded(group):
            return head
        return [*head, *(ListRow(group, dead_id) for dead_id in group.letters)]

    def is_folded(self, group: Group) -> bool:
        """Whether only the head of a group is shown."""
        return (len(group.letters) >= FOLDED_FROM) is not (group.key in self._toggled)

    def _find(self, wanted: ListRow) -> None:
        """Put the cursor on the same letter, or on its group, or leave it where it is."""
        for letter in dict.fromkeys((wanted.letter, None)):
            for number, row in enumerate(self._rows):
                same = row.letter == letter
                if same and (letter is not None or row.group.key == wanted.group.key):
                    self.set_reactive(ScrollLines.cursor, number)
                    return

    @property
    def current(self) -> ListRow | None:
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    @property
    def chosen(self) -> tuple[int, ...]:
        """Letters that an action is for: those that are marked, else those of the row under
        the cursor."""
        if self.marks:
            return tuple(sorted(self.marks))
        row = self.current
        return () if row is None else row.letters

    @property
    def letter(self) -> int | None:
        """The letter under the cursor; on the head of a group, its first."""
        row = self.current
        return None if row is None else row.letters[0]

    def fold(self) -> None:
        """Fold or unfold the group under the cursor."""
        row = self.current
        if row is None or not row.group.title or len(row.group.letters) == 1:
            return
        self._toggled ^= {row.group.key}
        self._build(ListRow(row.group, None))

    # --- marks ----------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Mark or unmark the letter under the cursor, or all of its group."""
        row = self.current
        if row is None:
            return
        members = set(row.letters)
        marking = not members <= self.marks
        self._anchor = self.cursor if marking else None
        self._mark(members, on=marking)
        if row.letter is not None:
            self.cursor += 1

    def action_range(self) -> None:
        """Mark from the last mark to here; without one, from here on."""
        if self._anchor is None or self._anchor >= len(self._rows):
            self._anchor = self.cursor
            return
        first, last = sorted((self._anchor, self.cursor))
        members: set[int] = set()
        for row in self._rows[first : last + 1]:
            if row.letter is not None or self.is_folded(row.group):
                members.update(row.letters)
        self._anchor = None
        self._mark(members, on=True)

    def action_all(self) -> None:
        """Mark all that are shown, or none if they are."""
        members = {dead_id for group in self._listing.groups for dead_id in group.letters}
        self._mark(members, on=not members <= self.marks)

    def pick(self, x: int) -> None:
        """Mark, or fold, where the signs for that stand."""
        row = self.current
        if x == _MARK_AT:
            self.action_mark()
        elif x == _FOLD_AT and row is not None and row.letter is None:
            self.fold()

    def unmark(self) -> bool:
        """Mark nothing; return whether anything was marked."""
        marked = bool(self.marks)
        self._mark(self.marks, on=False)
        return marked

    def _mark(self, members: set[int], *, on: bool) -> None:
        self.marks = self.marks | members if on else self.marks - members
        self.renew()
        self.post_message(self.Moved())

    # --- painting -------------------------------------------------------------------------------

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        row = self._rows[number]
        pointer = ">" if at_cursor else " "
        if row.letter is None:
            return self._head(row.group, pointer, width)
        letter = self._letters.get(row.letter)
        if letter is None:
            return Content("")
        mark = "*" if row.letter in self.marks else " "
        indent = " " if len(row.group.letters) > 1 and row.group.title else ""
        return _letter(letter, f"{pointer}{mark}{indent}", width)

    def _head(self, group: Group, pointer: str, width: int) -> Content:
        marked = len(self.marks.intersection(group.letters))
        mark = "*" if marked == len(group.letters) else "+" if marked else " "
        fold = "▸" if self.is_folded(group) else "▾"
        count = f"{fmt.right(figures.count(len(group.letters)), 5)} "
        room = min(width // 3, max(0, width - 50))
        note = min(room, len(group.note) + 1) if room >= _NOTE else 0
        title = width - 4 - len(count) - note
        return Content.assemble(
            f"{pointer}{mark}{fold} ",
            (count, "bold $error"),
            (fmt.fit(group.title.replace("  <path>: ", "  ", 1), title), "bold"),
            (fmt.right(fmt.fit(group.note, note).rstrip(), note), "$quiet"),
        )


def _widths(width: int) -> tuple[int, int, int]:
    """Return the cells of a letter's place, class and stage."""
    where = 30 if width >= _WIDE else min(24, max(14, width // 4))
    return where, 19 if width >= _ROOMY else 14, 8 if width >= _WIDE else 0


def heading(width: int) -> list[ColumnName]:
    """Return the names of the columns that there is room for."""
    where, name, stage = _widths(width)
    return [
        ColumnName("", 3),
        ColumnName("chunk", where, "chunk"),
        ColumnName("cause", name, "cause"),
        ColumnName("n", 2, "attempts"),
        ColumnName("died", 8, "death"),
        *([ColumnName("stage", stage)] if stage else []),
        ColumnName("message", 7),
    ]


def _letter(letter: LetterView, lead: str, width: int) -> Content:
    where, name, stage = _widths(width)
    known = letter.dismissed is not None
    used = len(lead) + where + 1 + name + 1 + 3 + 9 + (stage + 1 if stage else 0)
    return Content.assemble(
        lead,
        fmt.fit_middle(letter.where, where) + " ",
        (
            fmt.fit(letter.error_class.removesuffix("Error"), name) + " ",
            "$quiet" if known else "bold",
        ),
        f"{letter.attempts:>2} ",
        (f"{fmt.clock(letter.t)} ", "$quiet"),
        (f"{fmt.fit(letter.stage, stage)} " if stage else "", "$quiet"),
        (fmt.fit(_said(letter), max(0, width - used)), "$quiet italic" if known else ""),
    )


def _said(letter: LetterView) -> str:
    """Return the note with which the letter was dismissed, else its message."""
    if letter.dismissed is None:
        return _without_source(letter)
    return f"dismissed: {letter.dismissed or _without_source(letter)}"


def _without_source(letter: LetterView) -> str:
    """Return the message without the path that it begins with; the item stands beside it."""
    text = letter.message.removeprefix(letter.source) if letter.source else letter.message
    return text.lstrip(": ") or letter.message
