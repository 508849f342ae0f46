"""The Arrow schema of an item's features: as they are read, and as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from geobatch_tui.execution.vector.plan import VectorPlan


def schema_of(plan: VectorPlan) -> pa.Schema:
    """The attributes of the plan, as they are read."""
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(plan.schema)))


def full_schema(plan: VectorPlan) -> pa.Schema:
    """The schema of batches as they are read: the attributes, ``FID`` and ``WKB``."""
    return _with_id_and_shape(schema_of(plan))


def _with_id_and_shape(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field(FID, pa.int64())).append(pa.field(WKB, pa.binary()))


def written_schema(plan: VectorPlan) -> pa.Schema:
    """The attributes of the plan, as they are written."""
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(plan.written or plan.schema)))
