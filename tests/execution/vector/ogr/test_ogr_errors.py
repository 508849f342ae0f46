"""What goes wrong while a source is read is told apart by its cause."""

from __future__ import annotations

import contextlib
import errno
import sqlite3

import pyarrow as pa
import pyogrio
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError, ProcessLimitError, TransientError
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.vector.ogr.errors import ogr_errors


@pytest.mark.parametrize("keep", [5, 20_000, -200])
def test_a_parquet_file_that_is_cut_off(keep, tmp_path):
    """It is a damaged file, not one whose columns are to be looked at."""
    source = vectordata.write(vectordata.layer(300), tmp_path / "s.parquet")
    source.write_bytes(source.read_bytes()[:keep])
    with pytest.raises(CorruptSourceError, match="cannot be opened: Parquet"):
        vectorjobs.probe("vector.convert", source)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("where", ["", "whole > 0"])
@pytest.mark.parametrize("driver", ["GPKG", "SQLite"])
def test_a_database_that_is_damaged(driver, where, indexed, tmp_path):
    """OGR ends there as if no rows followed: under a condition nobody would know."""
    source = tmp_path / f"s.{driver.lower()}"
    pyogrio.write_dataframe(vectordata.layer(600), source, driver=driver)
    if indexed:  # by which rows may be counted
        with contextlib.closing(sqlite3.connect(source)) as database:
            database.execute("CREATE INDEX i ON s (whole)")
    raw = bytearray(source.read_bytes())
    page = raw.index("näme 301".encode()) // 4096 * 4096
    raw[page : page + 4096] = bytes(4096)
    source.write_bytes(raw)
    with pytest.raises(CorruptSourceError):
        vectorjobs.run("vector.convert", source, tmp_path / "out", params={"where": where})
    layer = vectordata.write(vectordata.layer(5), tmp_path / "l.gpkg")
    params = {"mask": str(source), "predicate": "intersects"}
    with pytest.raises(CorruptSourceError):
        vectorjobs.run("vector.filter", layer, tmp_path / "filtered", params=params)


@pytest.mark.parametrize("kind", [OSError, RuntimeError, pa.ArrowException])
def test_a_refused_thread_says_nothing_of_the_source(kind):
    """Arrow reads with threads of its own, and words it so that the system refuses one."""
    error = kind("Cannot start worker thread: Resource temporarily unavailable")
    with pytest.raises(ProcessLimitError, match=r"^s cannot"), ogr_errors("s", "layer"):
        raise error


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, "RemoteIOError"),
        (errno.ESTALE, "RemoteIOError"),
        (errno.EMFILE, "OpenFilesError"),
        (errno.ENOMEM, "MemoryBudgetError"),
    ],
)
def test_the_disk_is_not_the_source(number, kind):
    """Nothing that may pass is taken for damage, which is for good."""
    with pytest.raises(OSError, match="no") as caught, ogr_errors("/s.parquet"):
        raise OSError(number, "no")
    assert classify.failure(caught.value, source="/s.parquet").error_class == kind


@pytest.mark.parametrize("rows", [100, 70])
def test_pages_with_a_wrong_checksum(rows, tmp_path):
    """Damage that decodes is found where the file tells of it, read by row groups or in turn."""
    source = tmp_path / "s.parquet"
    vectordata.layer(300).to_parquet(
        source, row_group_size=rows, write_page_checksum=True, compression="NONE",
        use_dictionary=False,
    )  # fmt: skip
    assert vectorjobs.run("vector.convert", source, tmp_path / "o").receipt.facts["features_out"]
    data = source.read_bytes()
    assert data.count("näme 17".encode()) >= 1
    source.write_bytes(data.replace("näme 17".encode(), "nåme 17".encode(), 1))
    params = {"where": "whole > 0"} if rows == 70 else {}
    with pytest.raises(CorruptSourceError, match="CRC checksum"):
        vectorjobs.run("vector.convert", source, tmp_path / "out", params=params)


def test_a_disk_that_fails_is_no_damage():
    """What OGR says of EIO at the opening may go away by itself."""
    with pytest.raises(TransientError), ogr_errors("/a.gpkg"):
        raise pyogrio.errors.DataSourceError("/a.gpkg: Input/output error")
