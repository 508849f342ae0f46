"""What the console says of the sources of dead letters."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from geobatch_tui.orchestration.plan.fingerprints import identify
from geobatch_tui.tui.letters.dossier import changed_sources


@pytest.mark.parametrize("name", ["s.gdb", "s.shp", "s.gpkg"])
def test_a_source_is_judged_as_by_the_plan(name, tmp_path):
    """All files of one that has several are looked at."""
    path = tmp_path / name
    if path.suffix == ".gdb":
        path.mkdir()
    first = path / "a.gdbtable" if path.suffix == ".gdb" else path
    other = path / "b.gdbtable" if path.suffix == ".gdb" else path.with_suffix(".dbf")
    first.write_bytes(b"shapes")
    other.write_bytes(b"values")
    planned = identify(str(path))
    item = SimpleNamespace(
        source=str(path), plan={"a": 1}, src_size=planned.size, src_mtime_ns=planned.mtime_ns
    )
    reader = SimpleNamespace(item={7: item}.get)
    assert changed_sources(reader, [7, 8]) == set()
    changed = first if name == "s.gpkg" else other
    os.utime(changed, ns=(0, planned.mtime_ns + 10**9))
    assert changed_sources(reader, [7, 8]) == {7}
