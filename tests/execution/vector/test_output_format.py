"""What output formats hold is said once, and as the rest of the package has it."""

from __future__ import annotations

import pytest

from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.spool.records import FORMATS
from geobatch_tui.orchestration.plan.inputs import SUFFIXES


@pytest.mark.parametrize("name", OUTPUT_FORMATS)
def test_gdal_knows_a_file_by_the_suffix_that_it_is_published_with(name):
    """What is checked before it is published is opened by the same driver as later."""
    assert OUTPUT_FORMATS[name].suffix == SUFFIXES[name]


def test_each_vector_format_of_a_job_has_a_row():
    """A format that a job may name can be written."""
    rasters = {name for name, suffix in SUFFIXES.items() if suffix == ".tif"}
    assert set(OUTPUT_FORMATS) == set(SUFFIXES) - rasters
    assert set(FORMATS) < set(OUTPUT_FORMATS)


def test_m_of_one_type_is_m_that_is_held():
    """A format without M says so before the run, and counts nothing after it."""
    for each in OUTPUT_FORMATS.values():
        assert each.holds_m or not each.m_of_one_type
