"""Workers load pyogrio without pandas, and lose nothing by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forked_command
import pytest
import vectordata
import vectorjobs

SCRIPT = """
import sys, types
from pathlib import Path
sys.modules["geobatch_tui.execution.worker.preload"] = types.ModuleType("preload")
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
spared = {"pandas", "geopandas", "shapely"}
assert not spared & set(sys.modules), "pandas was loaded"
import pyogrio._compat as compat
flags = {name: value for name, value in vars(compat).items() if name.isupper()}
print("bare")

sys.path.insert(0, sys.argv[2])
import vectorjobs
source, out = Path(sys.argv[1]), Path(sys.argv[1]).parent / "out"
for form in ("GPKG", "FlatGeobuf", "GeoParquet"):
    done = vectorjobs.run("vector.reproject", source, out, form=form, features=3,
                          params={"dst_crs": "EPSG:3857"})
    assert done.receipt.facts["features_out"] == 7
assert not spared & set(sys.modules), "a table was made"
print("whole")

import geopandas
assert len(geopandas.read_file(source)) == 7
import importlib
assert flags == {n: v for n, v in vars(importlib.reload(compat)).items() if n.isupper()}
print("later")
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A process that is like a worker, and what it said."""
    source = tmp_path_factory.mktemp("import") / "s.gpkg"
    vectordata.write(vectordata.layer(7), source)
    here = str(Path(vectorjobs.__file__).parent)
    words = [sys.executable, "-c", SCRIPT, str(source), here]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_worker_does_without_pandas_until_it_is_asked_for(done):
    """No pandas at first; what pyogrio found out of it is true; geopandas reads by pyogrio later."""
    assert done.stdout.split()[:1] == ["bare"], done.stderr
    assert done.stdout.split()[-1:] == ["later"], done.stderr


def test_whole_outputs_are_made_without_pandas(done):
    """Chunks and assembly: to load it takes longer than many a job, and 60 MB."""
    assert "whole" in done.stdout.split(), done.stderr


def test_runs_say_nothing_of_drivers(tmp_path):
    """The standard error of a run has lines of geobatch only."""
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.gpkg")
    job = tmp_path / "job.toml"
    job.write_text(
        f'[source]\ninputs = ["{source}"]\n[op]\nname = "vector.convert"\n'
        '[output]\ndir = "out"\nformat = "GeoParquet"\n'
    )
    words = ["run", str(job)]
    done = forked_command.run(words, env=dict(os.environ), cwd=str(tmp_path), timeout=110)
    assert done.returncode == 0, done.stderr
    assert "Unable to find driver" not in done.stderr
