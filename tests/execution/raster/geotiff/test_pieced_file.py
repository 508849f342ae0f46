"""Outputs that stay in their spools: the bytes of the file that would be put together."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from assembling import make_item, make_plan, no_stage, noise, with_encoding, write_segments

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io import pieced_file
from geobatch_tui.execution.io.pieced_file import PiecedFile
from geobatch_tui.execution.raster.geotiff import assembly

LARGE = make_plan(300, 200, block=32)
PLANS = {
    "cog": LARGE,
    "tiled": with_encoding(LARGE, format="GTiff", overviews=()),
    "bands": with_encoding(make_plan(130, 90, count=3, block=32), interleave="band"),
    "holes": make_plan(256, 256, block=32, nodata=0, validity="nodata"),
    "jpeg": with_encoding(make_plan(256, 192, count=3, block=32), compress="JPEG", level=75),
}


def both(folder, plan, *, skip=()):
    """Assemble an item whole, and in pieces; return item, receipts, and how to open the latter."""
    item = make_item(plan, folder, chunk=(64, 64))
    valid = np.arange(plan.width * plan.height).reshape(plan.height, plan.width) % 7 > 0
    valid = valid if plan.validity == "mask" else None
    segments = write_segments(item, plan, noise(plan), valid, skip=skip)
    segments += write_segments(item, plan, noise(plan), valid, epoch=2, skip=())[: len(skip)]
    whole = assembly.assemble(item, plan, segments, 1, no_stage)
    pieces = assembly.assemble(item, plan, segments, 2, no_stage, pieced=True)
    paths = [Path(item.work_dir) / name for name in pieces.spools]
    return item, whole, pieces, lambda: PiecedFile(Path(pieces.part_path), paths)


@pytest.mark.parametrize("name", PLANS)
def test_pieces_are_the_bytes_of_the_file(tmp_path, monkeypatch, name):
    """In every layout, from two spools, whatever is read of them; the part file holds the rest."""
    monkeypatch.setattr(pieced_file, "OPEN", 1)
    _, whole, pieces, opener = both(tmp_path, PLANS[name], skip=(0,) if name == "cog" else ())
    data = Path(whole.part_path).read_bytes()
    assert (pieces.size, pieces.digest, pieces.facts) == (len(data), whole.digest, whole.facts)
    with opener() as file:
        assert file.read() == data
        assert file.read(5) == b""
        for start in range(0, len(data), max(1, len(data) // 50)):
            assert file.read_at(start, min(77, len(data) - start)) == data[start : start + 77]
        with pytest.raises(VerifyError):
            file.read_at(len(data) - 1, 2)
    assert whole.spools is None
    assert Path(pieces.part_path).stat().st_size < len(data)


def test_holes_lie_in_the_part_file(tmp_path):
    """An item of which a chunk is missing, and one without any."""
    plan = PLANS["holes"]
    item = make_item(plan, tmp_path, chunk=(64, 64))
    segments = write_segments(item, plan, noise(plan), skip=(3, 5))
    for some in (segments, []):
        receipt = assembly.assemble(item, plan, some, 1, no_stage, pieced=True)
        paths = [Path(item.work_dir) / spool for spool in receipt.spools]
        with PiecedFile(Path(receipt.part_path), paths) as file:
            assert hashlib.sha256(file.read()).hexdigest() == receipt.digest


def test_damage_is_found(tmp_path):
    """In a spool by the assembly, which names the chunks; in the table, or by a spool that is cut
    short or gone, by whoever reads."""
    item, whole, pieces, opener = both(tmp_path, LARGE)
    part, spool = Path(pieces.part_path), Path(item.work_dir) / pieces.spools[0]
    table, tiles = part.read_bytes(), spool.read_bytes()
    for place in (1, 30, 45):
        broken = bytearray(table)
        broken[-place] ^= 1
        part.write_bytes(broken)
        with pytest.raises(VerifyError, match="table"):
            opener()
    part.write_bytes(table[:10])
    with pytest.raises(VerifyError, match="table"):
        opener()
    part.write_bytes(table)
    spool.write_bytes(tiles[: len(tiles) // 2])
    with opener() as file, pytest.raises(VerifyError, match="ends at"):
        file.read()
    spool.unlink()
    with opener() as file, pytest.raises(FileNotFoundError):
        file.read()
    assert Path(whole.part_path).exists()
