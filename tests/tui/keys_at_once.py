"""Keys that arrive in one read, as pasted ones do and those of a slow line."""

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


def type_at_once(app, *keys):
    """Put keys into the console's queue without waiting for what they do."""
    for key in keys:
        character = key if len(key) == 1 else CHARACTERS.get(key)
        event = events.Key(key, character)
        event.set_sender(app)
        app.post_message(event)
