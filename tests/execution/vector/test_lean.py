"""Workers load pyogrio without pandas, and lose nothing by it."""

from __future__ import annotations

import subprocess
import sys

import vectordata

SCRIPT = """
import sys, types
sys.modules["geobatch_tui.execution.preload"] = types.ModuleType("preload")
from geobatch_tui.execution.vector.lean import pyogrio
assert not {"pandas", "geopandas"} & set(sys.modules), "pandas was loaded"
import pyogrio._compat as compat
flags = {name: value for name, value in vars(compat).items() if name.isupper()}
import geopandas
assert len(geopandas.read_file(sys.argv[1])) == 5
import importlib
assert flags == {n: v for n, v in vars(importlib.reload(compat)).items() if n.isupper()}
print("fine")
"""


def test_a_worker_does_without_pandas_until_it_is_asked_for(tmp_path):
    """No pandas at first; what pyogrio found out of it is true; geopandas reads by pyogrio later."""
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.gpkg")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "fine\n", done.stderr
