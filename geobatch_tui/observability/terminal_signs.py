"""Signs that a terminal gives: the bell, a notification of the desktop, a title.

Which terminal shows notifications, and how, is known by the variables that it sets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.observability.text import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping

BELL: Final = "\a"
#: Keep the title that is there, and bring it back.
KEEP_TITLE, OLD_TITLE = "\x1b[22;2t", "\x1b[23;2t"
_LONGEST: Final = 240


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs that a user wants: see the section ``[notify]`` of a job."""

    bell: bool = False
    osc: str = "auto"
    title: bool = True

    @classmethod
    def of(cls, section: Mapping[str, object]) -> Signs:
        """Read them from a section as a run keeps it; what an older run lacks is the default."""
        return cls(
            bell=section.get("bell") is True,
            osc=str(section.get("osc", "auto")),
            title=section.get("title", True) is True,
        )

    def told(self, head: str, text: str, environ: Mapping[str, str]) -> str:
        """Return the sequences for an alert; "" for none."""
        shown = notification(form_of(self.osc, environ), head, text, environ)
        return shown + BELL * self.bell


_PROGRAMS: Final = {
    "iTerm.app": "9",
    "WezTerm": "9",
    "ghostty": "9",
    "mintty": "9",
    "rio": "9",
}
#: Variables that say which terminal it is, and beginnings of TERM.
_VARIABLES: Final = {"KITTY_WINDOW_ID": "9", "WT_SESSION": "9", "ConEmuANSI": "9"}
_TERMS: Final = {"foot": "777", "rxvt": "777", "xterm-kitty": "9", "xterm-ghostty": "9"}
#: Since when terminals that use libvte show notifications, as its version is told.
_VTE: Final = 6600


def form_of(wanted: str, environ: Mapping[str, str]) -> str:
    """Return the form of notifications, ``9`` or ``777``, or "" for none.

    Args:
        wanted: ``auto``, ``9``, ``777`` or ``off``.
        environ: of the process on the terminal.
    """
    if wanted != "auto":
        return wanted if wanted in {"9", "777"} else ""
    if program := _PROGRAMS.get(environ.get("TERM_PROGRAM", "")):
        return program
    for name, form in _VARIABLES.items():
        if environ.get(name):
            return form
    for beginning, form in _TERMS.items():
        if environ.get("TERM", "").startswith(beginning):
            return form
    version = environ.get("VTE_VERSION", "")
    return "777" if version.isdecimal() and int(version) >= _VTE else ""


def notification(form: str, title: str, text: str, environ: Mapping[str, str]) -> str:
    """Return the sequence of a notification in this form, passed on by tmux; "" for none."""
    if not form:
        return ""
    head, body = _plain(title), _plain(text)
    # The fields of OSC 777 are apart by semicolons; OSC 9 has but one.
    inner = f"9;{head}: {body}" if form == "9" else f"777;notify;{head};{body}"
    return _passed(f"\x1b]{inner}\a", environ)


def title(text: str) -> str:
    """Return the sequence that sets the title of the window."""
    return f"\x1b]2;{_plain(text, ';')}\a"


def _plain(text: str, allowed: str = "") -> str:
    """Return a text that ends no sequence: without control characters, or separators."""
    shown = harmless(text)[:_LONGEST]
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", shown if allowed else shown.replace(";", ","))


def _passed(sequence: str, environ: Mapping[str, str]) -> str:
    """Wrap a sequence so that tmux passes it on to the terminal outside, where it is allowed to."""
    if not environ.get("TMUX"):
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
