"""Two items in one worker, in either order, give the bytes that each gives alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fresh_gdal
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

#: In degrees, over and beside the antimeridian; and in metres, over it and a pole.
CRS = {
    "EPSG:4326": st.tuples(st.sampled_from([-200, -184, -171.5, 10, 176, 300]), st.just(62)),
    "EPSG:4269": st.tuples(st.sampled_from([-190, -170, 178]), st.just(60)),
    "EPSG:4301": st.tuples(st.sampled_from([140, 175, -185]), st.just(40)),
    "EPSG:32601": st.just((200_000, 6_900_000)),
    "EPSG:3976": st.just((-3_950_000, 4_350_000)),
}
DESTINATIONS = ("+proj=laea +lat_0=0 +lon_0=-150 +datum=WGS84", "EPSG:3832", "EPSG:4326")


@st.composite
def places(draw):
    crs = draw(st.sampled_from(sorted(CRS)))
    left, top = draw(CRS[crs])
    step = {"EPSG:32601": 10_000, "EPSG:3976": 265_000}.get(crs, draw(st.sampled_from([0.1, 0.5])))
    return {
        "crs": crs,
        "at": (left, top, step),
        "params": {
            "dst_crs": draw(st.sampled_from(DESTINATIONS)),
            "resampling": draw(st.sampled_from(["nearest", "cubic", "mode"])),
            "error_threshold": draw(st.sampled_from([0, 0.001])),
        },
    }


class Fresh:
    """Asks :mod:`fresh_gdal`; what one item gives alone is asked once."""

    def __init__(self, process):
        self.process = process
        self.known = {}

    def of(self, *places):
        self.process.stdin.write(json.dumps(places) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def alone(self, place):
        key = json.dumps(place)
        if key not in self.known:
            self.known[key] = self.of(place)[0]
        return self.known[key]


@pytest.fixture(scope="module")
def fresh():
    folder = Path(fresh_gdal.__file__).parent
    with subprocess.Popen(
        [sys.executable, fresh_gdal.__file__],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
    ) as process:  # fmt: skip
        yield Fresh(process)
        process.stdin.close()


def _check(fresh, one, other):
    expected = [fresh.alone(one), fresh.alone(other)]
    assert fresh.of(one, other) == expected
    assert fresh.of(other, one) == expected[::-1]


def test_two_rasters_beyond_180_degrees_do_not_share_longitudes(fresh):
    """GDAL's cache of transformations does not tell them apart by itself."""
    params = {"dst_crs": DESTINATIONS[0], "error_threshold": 0}
    fiji, alaska = (
        {"crs": "EPSG:4326", "at": at, "params": params}
        for at in ((176, -10, 0.4), (-184, 60, 0.4))
    )
    _check(fresh, fiji, alaska)
    assert int(fresh.alone(alaska).split()[1][:-1]) > 50


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(places(), places())
def test_any_two_items_in_one_worker_give_what_each_gives_alone(fresh, one, other):
    _check(fresh, one, other)
