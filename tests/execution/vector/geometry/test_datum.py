"""Grids of datum shifts: coordinates go through them, and outputs know of them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys

import datum_grid
import forked_command
import geopandas as gpd
import numpy as np
import pytest
import shapely
import vectordata

from geobatch_tui.execution.ops.registry import get_operation

POINTS = """
import json, sys
from pyproj import Transformer
x, y = json.load(sys.stdin)
print(json.dumps(Transformer.from_crs(4326, 27700, always_xy=True).transform(x, y)))
"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """A grid where PROJ finds it, in this process and those that it starts."""
    monkeypatch.setenv("PROJ_USER_WRITABLE_DIRECTORY", str(tmp_path))
    path = tmp_path / datum_grid.OSTN15
    datum_grid.write(path)
    return path


@pytest.mark.disk
def test_coordinates_go_through_the_grid(grid, tmp_path):
    """Each vertex is where PROJ sends it by the grid, far from where it is without one."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-6, 1, 100), rng.uniform(50, 58, 100)
    shapes = shapely.segmentize(shapely.box(x, y, x + 0.1, y + 0.1), 0.01)
    source = vectordata.write(gpd.GeoDataFrame(geometry=shapes, crs=4326), tmp_path / "s.gpkg")
    out = tmp_path / "out"
    job = tmp_path / "job.toml"
    job.write_text(
        f'[source]\ninputs = ["{source}"]\n[op]\nname = "vector.reproject"\n'
        f'dst_crs = "EPSG:27700"\n[output]\ndir = "{out}"\n[engine]\nmax_workers = 1\n'
    )
    ran = forked_command.run(["run", str(job), "--json"], env=dict(os.environ), timeout=110)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["warnings"] == []
    made = shapely.get_coordinates(gpd.read_parquet(out / "s.parquet").geometry.to_numpy())
    given = shapely.get_coordinates(shapes)
    expected, without = (_proj(given, env) for env in (None, str(tmp_path / "absent")))
    assert np.abs(made - expected).max() < 1e-6
    assert np.abs(made - without).max() > 1


def _proj(points, folder):
    env = {**os.environ, **({"PROJ_USER_WRITABLE_DIRECTORY": folder} if folder else {})}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", POINTS],
        input=json.dumps(points.T.tolist()),
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    return np.array(json.loads(ran.stdout)).T


@pytest.mark.parametrize("name", ["vector.reproject", "raster.reproject"])
def test_a_grid_that_comes_or_goes_makes_outputs_stale(name, grid):
    """And nothing else: the same grid in another folder is the same."""
    operation = get_operation(name)
    with_one = operation.libraries()
    grid.rename(grid.with_suffix(".bak"))
    assert operation.libraries() != with_one
    grid.with_suffix(".bak").rename(grid)
    assert operation.libraries() == with_one
    grid.write_bytes(grid.read_bytes() + b"\0")
    assert operation.libraries() != with_one
    assert "grids" not in get_operation(name.replace("reproject", "convert")).libraries()


#: As in a worker, pandas is not loaded: that takes longer than the plans.
PLAN = """
import asyncio, json, sys, types
sys.modules["geobatch_tui.execution.worker.preload"] = types.ModuleType("preload")
import geobatch_tui
from geobatch_tui.config.layers import load_job
for path in sys.argv[1:]:
    job = load_job(path, overrides=["engine.executor=thread"])
    print(json.dumps(asyncio.run(geobatch_tui.plan(job)).to_json()["warnings"]))
"""


def test_a_missing_grid_is_told(tmp_path):
    """Case 30: PROJ falls back to a worse transformation in silence; the plan does not, there or back.
    Where no grid would be better, nothing is told."""
    frame = gpd.GeoDataFrame(geometry=[shapely.Point(-2, 52)], crs=4326)
    codes = ("EPSG:4326", "EPSG:27700")
    jobs = []
    for code, target in itertools.product(codes, codes):
        source = tmp_path / f"{code[5:]}.gpkg"
        vectordata.write(frame.to_crs(code), source)
        jobs.append(tmp_path / f"{code[5:]}-{target[5:]}.toml")
        jobs[-1].write_text(
            f'[source]\ninputs = ["{source}"]\n[op]\nname = "vector.reproject"\n'
            f'dst_crs = "{target}"\n[output]\ndir = "{tmp_path / "out"}"\n'
        )
    # A process of its own, since PROJ looks for its folders once.
    env = {**os.environ, "PROJ_USER_WRITABLE_DIRECTORY": str(tmp_path / "absent")}
    command = [sys.executable, "-c", PLAN, *map(str, jobs)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    told = [[one for one in json.loads(line) if "PROJ" in one] for line in ran.stdout.splitlines()]
    assert [len(texts) for texts in told] == [0, 1, 1, 0]
    for text in (*told[1], *told[2]):
        assert re.search(
            r"best transformation .* needs \S*OSTN15\S*, which PROJ does not find", text
        )
