"""GeoParquet in the order of a curve of Hilbert."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import shapely
import vectordata
import vectorjobs

from geobatch_tui.errors import PreflightError


def convert(source, out, features, **creation):
    return vectorjobs.run("vector.convert", source, out, features=features, creation=creation)


def test_row_groups_have_small_boxes(tmp_path, monkeypatch):
    """The same features, in row groups of a fifth of the area or less; the same bytes for any
    chunks; those without a box come last."""
    monkeypatch.setattr("geobatch_tui.execution.vector.spool.writer_options.FEWEST_ROWS", 200)
    monkeypatch.setattr("geobatch_tui.execution.vector.spool.writer_options.SOURCE_BYTES", 1)
    monkeypatch.setattr("geobatch_tui.execution.vector.write.hilbert_sort.HELD_BYTES", 50_000)
    frame = vectordata.layer(2000)
    frame.loc[[3, 900], "geometry"] = [None, shapely.Polygon()]
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    plain = convert(source, tmp_path / "plain", 300)
    one = convert(source, tmp_path / "one", 300, sort_by_bbox=True)
    other = convert(source, tmp_path / "other", 170, sort_by_bbox="yes")
    assert one.path.read_bytes() == other.path.read_bytes()
    made = vectordata.read(one.path)
    assert sorted(made.whole) == sorted(frame.whole)
    assert set(made.whole[-2:]) == set(frame.whole[[3, 900]])
    kept = made.set_index("whole").geometry.loc[frame.whole]
    assert kept.geom_equals(frame.set_index("whole").geometry).sum() >= 1999

    def area(path):
        total = 0.0
        with pq.ParquetFile(path) as file:
            assert file.metadata.num_row_groups == 10
            for group in range(10):
                box = file.read_row_group(group, columns=["bbox"])["bbox"].combine_chunks()
                low_x, low_y, high_x, high_y = (
                    [value for value in box.field(n).to_pylist() if value] for n in range(4)
                )
                total += (max(high_x) - min(low_x)) * (max(high_y) - min(low_y))
        return total

    assert area(one.path) < area(plain.path) / 4


def test_no_such_value(tmp_path):
    """Neither yes nor no."""
    source = vectordata.write(vectordata.layer(20), tmp_path / "s.gpkg")
    with pytest.raises(PreflightError, match="sort_by_bbox"):
        convert(source, tmp_path / "out", 0, sort_by_bbox="hilbert")
