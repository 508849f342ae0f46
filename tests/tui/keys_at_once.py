"""Keys that arrive in one read, as pasted ones do and those of a slow line, and buttons."""

from __future__ import annotations

from textual import events

CHARACTERS = {
    "slash": "/",
    "space": " ",
    "colon": ":",
    "enter": "\r",
    "tab": "\t",
    "plus": "+",
    "minus": "-",
}


def button(kind, x, y):
    """Return an event of the mouse, as the terminal sends it: ``MouseDown`` or ``MouseUp``."""
    return kind(None, x, y, 0, 0, 1, False, False, False, x, y)


def type_at_once(app, *keys):
    """Put keys into the console's queue without waiting for what they do."""
    for key in keys:
        character = key if len(key) == 1 else CHARACTERS.get(key)
        event = events.Key(key, character)
        event.set_sender(app)
        app.post_message(event)
