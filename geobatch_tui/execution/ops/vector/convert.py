"""``vector.convert``: the same features in another format."""

from __future__ import annotations

from geobatch_tui.execution.ops.vector.vector_operation import VectorOperation


class Convert(VectorOperation):
    """See :class:`VectorOperation`."""

    name = "vector.convert"
    summary = "Rewrite features as GeoParquet, FlatGeobuf, GeoPackage or GeoJSON."
    work = "convert"
    same_shapes = True


CONVERT = Convert()
