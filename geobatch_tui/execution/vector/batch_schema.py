"""The Arrow schema of an item's features: as they are read, and as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.execution.vector.plan import FID, UNREAD, WKB

if TYPE_CHECKING:
    from geobatch_tui.execution.vector.plan import VectorPlan


def schema_of(plan: VectorPlan) -> pa.Schema:
    """Return the attributes of the plan, as they are read.

    Batches are cast to it: what OGR or Arrow reads otherwise in a later chunk is refused.
    """
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(plan.schema)))


def with_id_and_shape(attributes: pa.Schema) -> pa.Schema:
    """Return the schema of batches as they are read: the attributes, ``FID`` and ``WKB``."""
    return attributes.append(pa.field(FID, pa.int64())).append(pa.field(WKB, pa.binary()))


def full_schema(plan: VectorPlan) -> pa.Schema:
    """Return the schema of batches of the plan, as they are read."""
    return with_id_and_shape(schema_of(plan))


def checked_schema(plan: VectorPlan) -> pa.Schema:
    """Return the schema of batches that say of each feature whether it can be read."""
    return full_schema(plan).append(pa.field(UNREAD, pa.string()))


def written_schema(plan: VectorPlan) -> pa.Schema:
    """Return the attributes of the plan, as they are written."""
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(plan.written or plan.schema)))


def unread_features(plan: VectorPlan, start: int | None, count: int) -> pa.RecordBatch:
    """Make ``count`` features without attributes or geometry, with ids from ``start`` if given.

    They stand for features outside of ``bounds``, which need not be read to be left out.
    """
    schema = full_schema(plan)
    columns = [pa.nulls(count, each.type) for each in schema]
    if start is not None:
        columns[-2] = pa.array(range(start, start + count), pa.int64())
    return pa.RecordBatch.from_arrays(columns, schema=schema)
