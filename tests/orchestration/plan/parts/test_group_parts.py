"""Large groups, at whose files workers look in parts that are kept in the ledger."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geobatch_tui.execution.protocol.looking import MembersReceipt
from geobatch_tui.execution.protocol.messages import Failure
from geobatch_tui.execution.sources import source_list
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import PartKept, RunEnded
from geobatch_tui.ledger.write import batch
from geobatch_tui.ledger.write.writer import Ledger
from geobatch_tui.orchestration.plan.fingerprints import identify
from geobatch_tui.orchestration.plan.parts import group_parts
from geobatch_tui.orchestration.plan.parts.group_parts import GroupParts, Kept

JOB = (
    '[source]\ninputs = ["in"]\n[[step]]\nname = "mosaic"\n[output]\ndir = "{}"\n'
    "creation = {{blocksize = 16}}\n"
)


@pytest.fixture
def tiles(tmp_path):
    """Seven files side by side, one of another size, and a mask beside one."""
    (tmp_path / "in").mkdir()
    paths, left = [], 0
    for number in range(7):
        width = 24 if number == 4 else 16
        profile = {
            "driver": "GTiff", "width": width, "height": 16, "count": 1, "dtype": "uint8",
            "crs": "EPSG:32633", "transform": from_origin(500_000 + 10 * left, 5_000_000, 10, 10),
        }  # fmt: skip
        paths.append(tmp_path / "in" / f"{number}.tif")
        with rasterio.open(paths[-1], "w", **profile) as out:
            out.write(np.full((1, 16, width), number + 1, "uint8"))
            if number == 5:
                out.write_mask(np.eye(16, dtype=bool))
        left += width
    return paths


@pytest.fixture
def asked(monkeypatch):
    """Parts of two files; the numbers of the first files that workers were asked for."""
    monkeypatch.setattr(source_list, "PART", 2)
    monkeypatch.setattr(group_parts, "PART", 2)
    told, before = [], GroupParts.__init__

    def spied(self, ask, *others):
        def spy(task):
            told.append(task.first)
            return ask(task)

        before(self, spy, *others)

    monkeypatch.setattr(GroupParts, "__init__", spied)
    return told


def run(here, folder, name):
    """Run the job into ``name``; return the output's bytes and what the ledger has of its item."""
    path = folder / "job.toml"
    path.write_text(JOB.format(name))
    here("run", path, "--headless", check=0)
    with LedgerReader(folder / name / ".geobatch" / "ledger.db") as reader:
        (row,) = reader.items()
    facts = (row.src_size, row.src_mtime_ns, row.src_digest, row.fingerprint, row.plan)
    return (folder / name / "job.tif").read_bytes(), facts


def test_parts_give_the_plan_of_the_whole(tmp_path, here, tiles, monkeypatch, request):
    """The same identity, plan and output as if one worker had looked at all files."""
    whole = run(here, tmp_path, "whole")
    asked = request.getfixturevalue("asked")
    parts = run(here, tmp_path, "parts")
    for one, other in zip(whole[1], parts[1], strict=True):
        assert one == other
    assert parts[0] == whole[0]
    assert sorted(set(asked)) == [0, 2, 4, 6]


def test_only_parts_of_changed_files_are_looked_at_again(tmp_path, here, tiles, asked):
    """The others come from the ledger; a plan beside the run takes them too."""
    run(here, tmp_path, "out")
    asked.clear()
    with rasterio.open(tiles[2], "r+") as out:
        out.write(np.full((1, 16, 16), 77, "uint8"))
    told = json.loads(here("plan", tmp_path / "job.toml", "--json", check=0).stdout)
    assert told["reasons"] == {"source_changed": told["chunks"]}
    assert set(asked) == {2}
    run(here, tmp_path, "out")
    with rasterio.open(tmp_path / "out" / "job.tif") as out:
        assert out.read(1)[0, 32] == 77


def test_the_first_file_that_cannot_be_read_is_named(tmp_path, here, tiles, asked):
    """One that is damaged refuses the item, one that is gone too; parts that were seen are kept."""
    tiles[3].write_bytes(b"II*\0" + b"\xff" * 40)
    path = tmp_path / "job.toml"
    path.write_text(JOB.format("out"))
    report = json.loads(here("plan", path, "--json").stdout)
    assert "3.tif" in json.dumps(report["refused"])
    tiles[3].unlink()
    tiles[3].symlink_to(tmp_path / "nowhere.tif")
    report = json.loads(here("plan", path, "--json").stdout)
    (refused,) = report["refused"]
    assert (refused["error_class"], "3.tif" in json.dumps(refused)) == ("SourceNotFoundError", True)


class Memory(Kept):
    def __init__(self):
        super().__init__()
        self.bodies = {}

    def recall(self, name):
        return self.bodies.get(name)

    def keep(self, name, body):
        if body is not None:
            self.bodies[name] = body


async def test_what_was_seen_before_an_end_is_not_looked_at_again(tmp_path, tiles, asked):
    """Parts are kept as they come, whatever becomes of the others."""
    source = source_list.write_source_list([str(path) for path in tiles], tmp_path / "lists")
    failing, kept = {4}, Memory()

    async def ask(task):
        if task.first in failing:
            return Failure("CorruptSourceError", "permanent", "damaged")
        statuses = [path.stat() for path in tiles[task.first : task.beyond]]
        told = tuple((one.st_size, one.st_mtime_ns) for one in statuses)
        return type("Outcome", (), {"receipt": MembersReceipt(told, ("d",), {"at": task.first})})()

    def parts(code="code"):
        return GroupParts(ask, kept, "raster.pipeline", {}, code)

    assert (await parts().identify(source)).message == "damaged"
    failing.clear()
    asked.clear()
    again = parts()
    assert (await again.identify(source)).size == sum(path.stat().st_size for path in tiles)
    assert asked == [4]
    assert [look["at"] for look in await again.take(source)] == [0, 2, 4, 6]
    asked.clear()
    await parts("other code").identify(source)
    assert asked == [0, 2, 4, 6]
    assert await again.take(str(tiles[0])) == ()


def test_an_identity_is_that_of_all_files(tmp_path, tiles):
    """Those beside the sources are part of it."""
    source = source_list.write_source_list([str(path) for path in tiles], tmp_path / "lists")
    before = identify(source)
    beside = tiles[0].with_suffix(".tfw")
    beside.write_text("10\n0\n0\n-10\n0\n0\n")
    after = identify(source)
    assert after.digest != before.digest
    assert after.size == before.size + beside.stat().st_size


def test_parts_that_are_of_no_use_are_forgotten(tmp_path, here, tiles, asked):
    """After some runs; those that were of use stay."""
    run(here, tmp_path, "out")
    path = tmp_path / "out" / ".geobatch" / "ledger.db"
    with Ledger.open(path) as ledger:
        ledger.begin_run("r", {}, {})
        ledger.apply([PartKept("new", b"x")])
        for _ in range(batch.KEPT_RUNS):
            ledger.begin_run("r", {}, {})
            ledger.apply([PartKept("new", None), RunEnded("success", 0, "complete")])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, body FROM part").fetchall() == [("new", b"x")]
