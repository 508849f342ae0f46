"""An item whose chunks lie in more spools than a process may open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import vectordata
import vectorjobs

SCRIPT = """
import os, resource, sys
from dataclasses import replace
from pathlib import Path
source, form = Path(sys.argv[1]), sys.argv[3]
sys.path.insert(0, sys.argv[2])
import vectorjobs
from geobatch_tui.execution.protocol.messages import ChunkTask, FinaliseTask
from geobatch_tui.execution.ops.registry import get_operation

out = source.parent / "out"
plan = vectorjobs.probe("vector.convert", source, form=form, features=2)
item = vectorjobs.context("vector.convert", source, out, plan, None, form)
operation, count = get_operation("vector.convert"), len(plan.grid)
segments = [
    operation.run(ChunkTask(n, item, n, 1, 1), vectorjobs.stage).segment for n in range(count)
]

def made(segments, epoch):
    task = FinaliseTask(0, item, epoch, tuple(segments))
    return Path(operation.finalise(task, vectorjobs.stage).part_path).read_bytes()

one = made(segments, 1)
many = []
for n, segment in enumerate(segments):
    # As if each had been computed by a worker of its own.
    name = f"2-{n}-1.spool"
    os.link(Path(item.work_dir) / segment.spool, Path(item.work_dir) / name)
    many.append(replace(segment, spool=name))
allowed = len(os.listdir("/proc/self/fd")) + 90
assert allowed < count, count
resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
assert made(many, 2) == one
assert made(many[::-1], 3) == made(segments[::-1], 4)
print("fine")
"""


@pytest.mark.parametrize(
    "form",
    [
        "FlatGeobuf",
        "GeoParquet",
        pytest.param("GPKG", marks=pytest.mark.slow),
        pytest.param("GeoJSON", marks=pytest.mark.slow),
    ],
)
def test_spools_are_not_all_open_at_once(form, tmp_path):
    """As many as a run of many workers, killed often, leaves; the bytes are the same."""
    source = vectordata.write(vectordata.layer(300).to_crs(4326), tmp_path / "s.gpkg")
    words = [sys.executable, "-c", SCRIPT, str(source), str(Path(vectorjobs.__file__).parent), form]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr
