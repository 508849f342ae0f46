"""States as a glyph and a colour, never as a colour alone."""

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


LOOKS: Final[dict[int, Look]] = {
    ChunkState.DONE: Look("█", "$chunk-done", "done", "done"),
    ChunkState.RUNNING: Look("▒", "$chunk-run", "run", "running"),
    ChunkState.PENDING: Look("·", "$chunk-wait", "wait", "pending"),
    ChunkState.RETRY_WAIT: Look("▚", "$chunk-retry", "retry", "retry"),
    ChunkState.DEAD: Look("✗", "$chunk-dead", "dead", "dead"),
}

#: The order in which a bar stacks them.
STACK: Final = (
    ChunkState.DONE,
    ChunkState.DEAD,
    ChunkState.RETRY_WAIT,
    ChunkState.RUNNING,
    ChunkState.PENDING,
)

#: States of a whole run.
RUN_STYLES: Final = {
    "running": "bold $success",
    "planning": "bold $primary",
    "success": "bold $success",
    "partial": "bold $warning",
    "paused": "bold reverse $warning",
    "draining": "bold $warning",
    "waiting": "bold $quiet",
}
RUN_OTHER: Final = "bold $error"
