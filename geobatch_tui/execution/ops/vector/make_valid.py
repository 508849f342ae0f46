"""``vector.make-valid``: repairs invalid geometries; a polygon stays a polygon.

A feature that takes GEOS longer than ``engine.chunk_timeout``, or that crashes it, is set aside
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from geobatch_tui.execution.ops.vector.base import VectorOperation
from geobatch_tui.execution.ops.vector.fields import VectorParams, semantic

if TYPE_CHECKING:
    from pydantic import BaseModel


class MakeValidParams(VectorParams):
    """Parameters of ``vector.make-valid``."""

    method: Literal["linework", "structure"] = semantic(
        "linework",
        "How GEOS repairs: linework keeps every line and makes areas of what they enclose; "
        "structure first makes rings valid, then joins shells and takes away holes.",
    )
    keep_collapsed: bool = semantic(
        False,
        "Publish a feature that has no part of its dimension left as the line or point that it "
        "collapsed to, in place of setting it aside.",
    )


class MakeValid(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.make-valid"
    summary = "Repair invalid geometries; valid ones are not touched."
    params: type[BaseModel] = MakeValidParams
    work = "make_valid"

    def divides(self, params: VectorParams) -> bool:
        del params
        return True


MAKE_VALID = MakeValid()
