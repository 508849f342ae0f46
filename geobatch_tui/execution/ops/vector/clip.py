"""``vector.clip``: cuts features at a rectangle; what lies outside is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.fields import VectorParams

if TYPE_CHECKING:
    from typing import Self

    from pydantic import BaseModel


class ClipParams(VectorParams):
    """Parameters of ``vector.clip``: ``bounds`` is where it cuts."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.bounds is None:
            raise ValueError("vector.clip needs bounds")
        return self


class Clip(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.clip"
    summary = "Cut features at a rectangle; those outside are left out."
    params: type[BaseModel] = ClipParams
    work = "clip"
    divisible = True


CLIP = Clip()
