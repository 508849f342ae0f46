"""No record of a GeoJSON text sequence gets lost in silence."""

from __future__ import annotations

import pytest
import vectordata
import vectorjobs

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.sequence import records


@pytest.fixture
def lines(tmp_path):
    source = vectordata.write(vectordata.layer(10), tmp_path / "s.geojsonl")
    return source.read_text().splitlines()


def test_a_broken_record_is_named(lines, tmp_path):
    """OGR would leave it out; the source is refused, with the number of the record."""
    lines[4] = lines[4][:60]
    broken = tmp_path / "broken.geojsonl"
    broken.write_text("\n".join(lines) + "\n")
    with pytest.raises(
        CorruptSourceError, match=r"10 records, of which OGR reads 9 as features; broken: 5$"
    ) as e:
        vectorjobs.probe("vector.convert", broken)
    assert e.value.evidence == {"records": [5], "records_total": 1}


def test_blank_lines_and_separators_are_no_records(lines, tmp_path):
    """Lines may be blank; with record separators, a record may span lines."""
    spaced = tmp_path / "spaced.geojsonl"
    spaced.write_text("\n\n".join(lines) + "\n\n")
    assert vectorjobs.probe("vector.convert", spaced).grid.width == 10
    separated = tmp_path / "separated.geojsonl"
    separated.write_text("".join(f"\x1e{line.replace(', ', ',' + chr(10))}\n" for line in lines))
    assert len(list(records(str(separated)))) == 10
    assert vectorjobs.probe("vector.convert", separated).grid.width == 10
