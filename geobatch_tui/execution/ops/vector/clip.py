"""``vector.clip``: cuts features at a rectangle, or at the polygons of a file.

What lies inside is not touched, what lies outside is left out, and a feature across is cut; of a
polygon only polygons are kept, of a line only lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.vector.vector_operation import VectorOperation

if TYPE_CHECKING:
    from pydantic import BaseModel

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.vector.operations import Work


class Clip(VectorOperation):
    """See the base class."""

    name = "vector.clip"
    summary = "Cut features at a rectangle or at polygons; those outside are left out."

    @property
    def params(self) -> type[BaseModel]:
        from geobatch_tui.execution.params.vector_params import ClipParams

        return ClipParams

    def divides(self, params: VectorParams) -> bool:
        del params
        return True

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import clip

        return clip


CLIP = Clip()
