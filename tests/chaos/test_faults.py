"""Every call of the system below the output may fail, and every process or thread be refused."""

from __future__ import annotations

import os

import chaos_jobs
import faults
import pytest

pytestmark = pytest.mark.slow
#: Every so many calls one fails: all of them with GEOBATCH_FAULT_STEP=1, which takes hours.
STEP = int(os.environ.get("GEOBATCH_FAULT_STEP", "17"))
FORMS = ["COG", "GeoParquet", "GPKG", "GeoJSONSeq"]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    built = faults.build(tmp_path_factory.mktemp("faults"))
    if built is None:
        pytest.skip("no C compiler")
    return built


@pytest.fixture
def made(tmp_path, form, library):
    """A job of a few chunks that ran once."""
    if form == "COG":
        fixture = chaos_jobs.raster(tmp_path, columns=2, rows=2, side=300)
    else:
        fixture = chaos_jobs.vector(tmp_path, form, chunks=3, features=20)
    return faults.Faults(fixture, library)


@pytest.mark.parametrize("form", FORMS)
def test_each_call_may_fail_once(made):
    """The run ends in a documented code without a traceback; the next one gives the same bytes as
    one that nothing disturbed, and leaves nothing over."""
    assert made.calls > 100
    for number in range(1, made.calls + 1, STEP):
        made.fail(number)
    assert made.said == []


@pytest.mark.parametrize("form", ["COG", "GeoParquet"])
def test_processes_and_threads_may_be_refused(made):
    """From any of them on: fewer workers, or an end by that name; no chunk is dead."""
    assert made.starts > 5
    for most in range(1, made.starts + 1):
        made.refuse(most)
    assert made.said == []
