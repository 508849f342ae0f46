"""What a worker asks of an operation on rasters or on features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pydantic import BaseModel

    from geobatch_tui.execution.protocol import looking, messages
    from geobatch_tui.execution.protocol.window import Window

    #: Names the stage of work that the block inside it is, for a crash's evidence.
    Stage = Callable[[str], AbstractContextManager[None]]


class Operation(Protocol):
    """An operation. Importing its module must not import GDAL; running it may. Workers run it
    without asking for ``params``: a module that imports pydantic only then loads in half the time.

    ``version`` is raised whenever the same parameters give other bytes. ``params`` is a frozen
    pydantic model whose fields carry help, unit and ``kind`` (semantic or operational).
    """

    name: str
    version: int
    data: Literal["raster", "vector"]
    summary: str

    @property
    def params(self) -> type[BaseModel]: ...

    def libraries(self) -> dict[str, str]:
        """Return versions (major.minor) of libraries that decide output bytes, from metadata."""
        ...

    def probe(self, task: messages.ProbeTask, stage: Stage) -> messages.ItemPlan:
        """Open the source and plan the item. Raises InvalidInputError and its kin."""
        ...

    def run(self, task: messages.ChunkTask, stage: Stage) -> messages.ChunkReceipt:
        """Compute one chunk into the worker's spool (or the whole item, if ``task.whole``)."""
        ...

    def finalise(self, task: messages.FinaliseTask, stage: Stage) -> messages.ItemReceipt:
        """Assemble, check and sync the part file."""
        ...

    def inspect(self, task: looking.InspectTask, stage: Stage) -> looking.InspectReceipt:
        """Read a published output back. Raises VerifyError if a block cannot be read."""
        ...

    def gdal_command(self, item: messages.ItemContext) -> str:
        """Return the nearest command of GDAL's own tools, for comparison; empty: there is none."""
        ...

    def reproduce(self, item: messages.ItemContext, window: Window) -> str:
        """Return a shell line that reads or computes just this window."""
        ...
