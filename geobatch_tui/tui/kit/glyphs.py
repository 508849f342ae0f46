"""States as a glyph and levels as a name, each with a colour, never as a colour alone."""

from __future__ import annotations

from typing import Final, NamedTuple

from geobatch_tui.ledger.schema.updates import ChunkState


class Look(NamedTuple):
    """The look of a state of chunks.

    Attributes:
        glyph: one cell wide.
        style: in the theme's variables.
        name: short, for legends.
        field: the state's key in the counts of a view.
    """

    glyph: str
    style: str
    name: str
    field: str


#: States in the order in which a bar stacks them.
LOOKS: Final[dict[int, Look]] = {
    ChunkState.DONE: Look("█", "$chunk-done", "done", "done"),
    ChunkState.DEAD: Look("✗", "$chunk-dead", "dead", "dead"),
    ChunkState.RETRY_WAIT: Look("▚", "$chunk-retry", "retry", "retry"),
    ChunkState.RUNNING: Look("▒", "$chunk-run", "run", "running"),
    ChunkState.PENDING: Look("·", "$chunk-wait", "wait", "pending"),
}

#: States of a whole run.
RUN_STYLES: Final = {
    "running": "bold $success",
    "planning": "bold $primary",
    "success": "bold $success",
    "partial": "bold $warning",
    "paused": "bold reverse $warning",
    "draining": "bold $warning",
    "waiting": "bold $quiet",
    "reading": "bold $quiet",
}
RUN_OTHER: Final = "bold $error"

#: Levels of a log, each with its name in five cells at most, and its style.
LEVELS: Final = {
    "debug": ("DEBUG", "$quiet"),
    "info": ("INFO", "$quiet"),
    "warning": ("WARN", "bold $warning"),
    "error": ("ERROR", "bold $error"),
}
