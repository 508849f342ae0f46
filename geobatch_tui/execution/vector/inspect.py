"""Reads a published vector file back: its fingerprint, and every feature of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import GeobatchError, VerifyError
from geobatch_tui.execution.io.digest import digest_of
from geobatch_tui.execution.protocol.messages import InspectReceipt
from geobatch_tui.execution.vector.formats.by_driver import format_of
from geobatch_tui.execution.vector.ogr import ogr_drivers
from geobatch_tui.execution.vector.ogr.pyogrio_import import DataLayerError, DataSourceError
from geobatch_tui.execution.vector.write import ogr_file, parquet_file

if TYPE_CHECKING:
    from geobatch_tui.execution.ops.registry import Stage


def inspect(path: str, stage: Stage) -> InspectReceipt:
    """Embedded fingerprint (empty: not ours), size in bytes and SHA-256 of a vector file.

    Raises:
        VerifyError: the file is not there, is no vector file, or cannot be read to its end.
    """
    try:
        with stage("digest"):
            digest, size = digest_of(path)
        with stage("read"):
            parquet = format_of(ogr_drivers.drivers_of(path)[0]).is_arrow
            fingerprint, facts = parquet_file.inspect(path) if parquet else ogr_file.inspect(path)
    except (
        OSError,
        RuntimeError,
        GeobatchError,
        DataSourceError,
        DataLayerError,
        pa.ArrowException,
    ) as error:
        raise VerifyError(f"{path!r} cannot be read back: {error}") from error
    return InspectReceipt(fingerprint, size, digest, facts)
