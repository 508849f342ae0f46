from __future__ import annotations

import subprocess
import sys

from geobatch_tui.observability.snapshot import CHUNK_STATES, ITEM_STATES, Snapshot
from geobatch_tui.observability.versions import versions


def test_versions_are_told_without_loading_what_they_are_of():
    """Metadata is enough: asking for versions loads neither GDAL nor numpy."""
    code = (
        "import sys; from geobatch_tui.observability.versions import versions; versions();"
        "sys.exit(','.join({'rasterio', 'numpy', 'pyproj', 'pyogrio'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_versions_name_what_makes_the_bytes():
    """The libraries, Python and the platform are there, and the mapping is the caller's own."""
    found = versions()
    assert {"geobatch-tui", "rasterio", "numpy", "imagecodecs", "python", "platform"} <= set(found)
    assert found["rasterio"][0].isdigit()
    found.clear()
    assert versions()


def test_a_new_snapshot_counts_nothing():
    """Renderers find every count in a snapshot of a run that has not planned yet."""
    snapshot = Snapshot(run_id="r", job="j", state="planning")
    assert dict(snapshot.counts) == dict.fromkeys(CHUNK_STATES, 0)
    assert dict(snapshot.items) == dict.fromkeys(ITEM_STATES, 0)
    assert snapshot.eta_s is None
