"""The outputs are the same bytes whatever happens to terminals and consoles. The long versions
are ``benchmarks/console_hardships.py``."""

from __future__ import annotations

import pytest
from hardships import Job, comes_in_crowds, hangs_up, noise, stops_reading

pytestmark = pytest.mark.disk


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A raster in some 300 chunks, run once undisturbed."""
    place = tmp_path_factory.mktemp("hardships")
    return Job(place / "job", [noise(place / "noise.tif", 2000)], 128)


def test_a_terminal_that_stops_reading(job):
    """Nobody reads until the terminal is full: the run goes on, and so does the console after."""
    assert stops_reading(job, 0.0) == []


def test_a_terminal_that_hangs_up(job):
    """The run goes on without it."""
    assert hangs_up(job) == []


def test_many_consoles(job):
    """Three consoles come at once; one is killed and two leave: a run in the background does not
    notice."""
    assert comes_in_crowds(job, 3, 3, killed=1) == []
