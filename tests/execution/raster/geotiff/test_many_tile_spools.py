"""An item whose chunks lie in more spools than a process may open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import planning

SCRIPT = """
import os, resource, sys
from dataclasses import replace
from pathlib import Path
folder = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
import numpy as np
from assembling import make_item, make_plan, no_stage, write_segments
import planning
from geobatch_tui.execution.raster.geotiff import assembly as assemble

plan = make_plan(384, 384, block=32)
pixels = np.arange(384 * 384, dtype="uint32").astype("uint8").reshape(1, 384, 384)
item = make_item(plan, folder, chunk=(32, 32))
segments = write_segments(item, plan, pixels, None)
one = assemble.assemble(item, plan, segments, 1, no_stage)
many = []
for n, segment in enumerate(segments):
    # As if each had been computed by a worker of its own.
    work = Path(item.work_dir)
    os.link(work / segment.spool, work / f"2-{n}-1.spool")
    many.append(replace(segment, spool=f"2-{n}-1.spool"))
allowed = len(os.listdir("/proc/self/fd")) + 90
assert allowed < len(many)
resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
assert assemble.assemble(item, plan, many, 2, no_stage).digest == one.digest
print("fine")
"""


def test_spools_of_tiles_are_not_all_open_at_once(tmp_path):
    """As many as a run of many workers, killed often, leaves; the bytes are the same."""
    words = [sys.executable, "-c", SCRIPT, str(tmp_path), str(Path(planning.__file__).parent)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr
