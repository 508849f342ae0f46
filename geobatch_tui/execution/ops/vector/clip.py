"""``vector.clip``: cuts features at a rectangle, or at the polygons of a file.

What lies inside is not touched, what lies outside is left out, and a feature across is cut; of a
polygon only polygons are kept, of a line only lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.compared import compared, with_digest
from geobatch_tui.execution.ops.vector.fields import VectorParams, semantic

if TYPE_CHECKING:
    from typing import Self

    from pydantic import BaseModel


class ClipParams(VectorParams):
    """Parameters of ``vector.clip``: ``bounds`` or ``like`` is where it cuts."""

    like: str = compared(
        "File of one layer of polygons, in the CRS of the sources: features are cut at the area "
        "that all of them cover, in place of bounds."
    )
    like_layer: str = semantic("", "Layer of that file, where it has several.")
    like_digest: str = semantic(
        "", "BLAKE2b-128 of that file, in hex; found by itself when the job is read."
    )

    @model_validator(mode="before")
    @classmethod
    def _know_the_polygons(cls, values: Any) -> Any:
        return with_digest(values, "like")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.bounds is None) == (not self.like):
            raise ValueError("vector.clip needs bounds or like, one of them")
        return self


class Clip(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.clip"
    summary = "Cut features at a rectangle or at polygons; those outside are left out."
    params: type[BaseModel] = ClipParams
    work = "clip"

    def divides(self, params: VectorParams) -> bool:
        del params
        return True


CLIP = Clip()
