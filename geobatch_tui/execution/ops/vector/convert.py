"""``vector.convert``: the same features in another format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.ops.vector.vector_operation import VectorOperation

if TYPE_CHECKING:
    from geobatch_tui.execution.vector.operations import Work


class Convert(VectorOperation):
    """See the base class."""

    name = "vector.convert"
    summary = "Rewrite features as GeoParquet, FlatGeobuf, GeoPackage or GeoJSON."
    same_shapes = True

    def work(self) -> Work:
        from geobatch_tui.execution.vector.operations import convert

        return convert


CONVERT = Convert()
