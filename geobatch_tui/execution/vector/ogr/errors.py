"""Errors of OGR, Arrow and SQLite as ours, by cause."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import (
    CorruptSourceError,
    GeobatchError,
    ProcessLimitError,
    SchemaError,
    TransientError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.vector.ogr.exact_names import WHOLE
from geobatch_tui.execution.vector.ogr.pyogrio_import import DataLayerError, DataSourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What Arrow says of a file that is no whole Parquet file.
_CUT = ("Parquet magic bytes", "Parquet file size")
#: What SQLite says of a file that is not as it wrote it.
_DAMAGED = "database disk image is malformed"
#: What pyogrio, Arrow and SQLite raise about a source; pyogrio's own errors are RuntimeErrors.
_FOREIGN = (RuntimeError, ValueError, KeyError, pa.ArrowException, OSError, sqlite3.Error)


@contextmanager
def ogr_errors(path: str, layer: str = "") -> Iterator[None]:
    """Turn what pyogrio and Arrow raise about a source into our errors. What the disk says, with a
    number, is left as it is: it says nothing of the source."""
    try:
        yield
    except _FOREIGN as error:
        if isinstance(error, OSError) and error.errno:
            raise
        if classify.no_thread(error):
            raise ProcessLimitError(f"{path} cannot be read: {error}") from error
        if isinstance(error, UnicodeError) and not path.isprintable():
            raise UnsupportedFormatError(
                f"{path}: its layer has the name of the file, which is not UTF-8",
                hint="give the file another name",
            ) from error
        raise _ours(error, path, layer) from error


def _ours(error: Exception, path: str, layer: str) -> GeobatchError:
    what = f"layer {layer!r} of {path}" if layer else path
    said = str(error).replace(WHOLE, "")
    passing = is_locked(error) or classify.is_passing(said)
    if passing or isinstance(error, sqlite3.OperationalError):
        return TransientError(f"{what}: {said}")
    cut = said.startswith(_CUT)
    damaged = cut or _DAMAGED in said
    if isinstance(error, DataLayerError | ValueError | KeyError) and not damaged:
        return SchemaError(f"{what}: {said}", hint="check layer, columns and where")
    if "no such column" in said or "no such function" in said:
        return SchemaError(f"{what}: {said}", hint="check where")
    if not isinstance(error, DataSourceError) and not cut:
        return CorruptSourceError(f"{what} cannot be read to its end: {said}")
    if "not recognized" in said:
        return UnsupportedFormatError(f"{path}: {said}")
    return CorruptSourceError(f"{path} cannot be opened: {said}")


def is_locked(error: Exception) -> bool:
    """Whether SQLite says that another process writes to the file at the moment."""
    return "database is locked" in str(error)
