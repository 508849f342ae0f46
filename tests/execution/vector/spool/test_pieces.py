"""Row groups are encoded by chunks and copied: the same file however the item is cut."""

from __future__ import annotations

import hashlib
import itertools
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.vector import feature_chunks
from geobatch_tui.execution.vector.geometry import transform
from geobatch_tui.execution.vector.kernels import feature_loops
from geobatch_tui.execution.vector.spool import pieces, segment
from geobatch_tui.execution.vector.write import parquet_file, parquet_footer


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch):
    """Cells of 100 features, so that small layers have several."""
    monkeypatch.setattr(feature_chunks, "row_group", lambda _: 100)


def _rows(path):
    with pq.ParquetFile(path) as file:
        return [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]


def test_cells_shared_by_chunks_or_not_give_the_same_bytes(tmp_path):
    """Chunks that hold whole cells, parts of them, or a bit of each: one file."""
    source = vectordata.write(vectordata.layer(550), tmp_path / "s.gpkg")
    files = [
        vectorjobs.run(
            "vector.reproject",
            source,
            tmp_path / str(features),
            params={"dst_crs": "EPSG:3035"},
            features=features,
            order=order,
        ).path
        for features, order in ((100, 1), (37, -1), (250, 1), (550, 1))
    ]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in files}) == 1
    assert _rows(files[0]) == [100] * 5 + [50]


def test_copied_row_groups_read_as_if_written_at_once(tmp_path):
    """Values, statistics and sizes are those of a file that pyarrow wrote as a whole; but bytes of
    geometries have no least and largest."""
    source = vectordata.write(vectordata.layer(350), tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=100)
    table = pq.read_table(done.path)
    pq.write_table(table, tmp_path / "whole.parquet", row_group_size=100, compression="zstd")
    ours, whole = (pq.ParquetFile(path) for path in (done.path, tmp_path / "whole.parquet"))
    with ours, whole:
        assert whole.read().equals(table)
        for n in range(4):
            groups = ours.metadata.row_group(n), whole.metadata.row_group(n)
            assert groups[0].total_byte_size > 0
            for c in range(ours.metadata.num_columns):
                one, other = (group.column(c) for group in groups)
                assert one.path_in_schema == other.path_in_schema
                assert one.is_stats_set == (one.path_in_schema != "geometry")
                if not one.is_stats_set:
                    continue
                assert one.statistics.null_count == other.statistics.null_count
                assert (one.statistics.min, one.statistics.max) == (
                    other.statistics.min,
                    other.statistics.max,
                )


def test_all_columns_but_the_geometry_have_statistics():
    """Those inside of lists, too."""
    box = pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])
    kinds = {
        "n": pa.int32(), "few": pa.list_(pa.int32(), 2), "many": pa.list_(pa.string()),
        "large": pa.large_list(pa.int8()), "lists": pa.list_(pa.list_(pa.int8())), "a.b": pa.int8(),
        "shape": pa.binary(), "box": box,
    }  # fmt: skip
    schema = pa.schema(list(kinds.items()))
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    written = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    paths = [written.column(n).path for n in range(len(written))]
    assert pieces.columns_with_statistics(schema, is_table=True) == paths
    assert pieces.columns_with_statistics(schema, is_table=False) == [
        path for path in paths if path != "shape"
    ]


@pytest.mark.parametrize("features", [50, 100, 300])
def test_cells_with_few_features_left_share_a_row_group(features, tmp_path):
    """What a rectangle leaves of many cells is gathered, however the item is cut."""
    frame = vectordata.layer(600).sort_values("real", ignore_index=True)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    params = {"bounds": [5.0, 45.0, 8.0, 50.0]}
    done = vectorjobs.run(
        "vector.filter", source, tmp_path / "out", params=params, features=features
    )
    rows = _rows(done.path)
    left = int(frame.cx[5:8, 45:50].shape[0])
    assert sum(rows) == left
    assert len(rows) < 6
    assert all(a + b > 100 for a, b in itertools.pairwise(rows))
    kept = vectordata.read(done.path)
    assert kept["whole"].tolist() == frame.cx[5:8, 45:50]["whole"].tolist()


def test_a_footer_is_written_as_it_was_read(tmp_path):
    """No field of a footer gets lost or changed on its way through the tree."""
    table = pa.table(
        {"a": range(40), "b": [None, "ä"] * 20, "c": [[True], None] * 20, "d": [1.5] * 40}
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=2, write_page_index=True, sorting_columns=None)
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8]
    tree = parquet_footer.read(footer)
    assert len(tree.get(4).values) == 20
    assert parquet_footer.write(tree) == footer


def test_row_groups_with_a_page_index_are_not_copied(tmp_path, monkeypatch):
    """It would lead to other bytes; Arrow might write one unasked some day."""
    written = pq.ParquetWriter

    def indexed(*given, **how):
        assert how.pop("write_page_index") is False
        return written(*given, write_page_index=True, **how)

    monkeypatch.setattr(pq, "ParquetWriter", indexed)
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.fgb")
    with pytest.raises(VerifyError, match="page index"):
        vectorjobs.run("vector.convert", source, tmp_path / "out")


def test_the_crc_of_the_writer_is_that_of_the_file(tmp_path, monkeypatch):
    """A file that reads back otherwise is not published: the writer knows what it wrote."""
    seen = []
    real = parquet_file.write

    def spy(*given):
        seen.append(real(*given))
        return seen[-1]

    monkeypatch.setattr(parquet_file, "write", spy)
    source = vectordata.write(vectordata.layer(250), tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", features=100)
    assert zlib.crc32(done.path.read_bytes()) == seen[0]


@pytest.mark.parametrize("form", ["GPKG", "GeoParquet"])
def test_spools_are_given_up_as_they_are_read_for_the_last_time(form, tmp_path, monkeypatch):
    """All of each, once: what is written next can go where they were."""
    given_up = []
    monkeypatch.setattr(
        segment, "forget", lambda _, offset, length: given_up.append((offset, length))
    )
    monkeypatch.setattr(segment.syncing, "LARGE", 1)
    source = vectordata.write(vectordata.layer(250), tmp_path / "s.gpkg")
    done = vectorjobs.run("vector.convert", source, tmp_path / "out", form=form, features=100)
    segments = [(chunk.segment.offset, chunk.segment.length) for chunk in done.chunks]
    assert given_up == segments


def test_every_coordinate_is_near_one_that_was_sent_there_and_back():
    """Of the coordinates that are checked, none of the others is further than the step."""
    rng = np.random.default_rng(3)
    x, y = (np.cumsum(rng.normal(0, 0.004, 5000)) for _ in range(2))
    first = np.array([0, 1500, 1500, 5000, 5000])
    out = np.empty(5000, np.int64)
    which = np.array([False, True, True, True])
    nowhere = np.zeros((1, 1), np.uint8)
    step = transform._STEP_DEGREES
    count = feature_loops.sparse(x, y, first, which, step, 0.0, 0.0, 1.0, nowhere, out)
    chosen = out[:count]
    assert chosen[0] == 1500
    assert count < 3500
    at = np.searchsorted(chosen, np.arange(1500, 5000), "right") - 1
    for side in (x, y):
        assert np.abs(side[1500:] - side[chosen[at]]).max() < transform._STEP_DEGREES
