"""Identities decide what is redone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from object_server import served

from geobatch_tui.errors import SourceNotFoundError
from geobatch_tui.execution.protocol.messages import Failure, SourceIdentity
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.file_identity import EDGE, identify_each
from geobatch_tui.execution.sources.object_sources import content_of
from geobatch_tui.orchestration.plan.fingerprints import (
    changed_code,
    changed_keys,
    digest,
    has_digest,
    identify,
    identify_all,
    item_fingerprint,
)


def test_order_of_keys_is_no_difference() -> None:
    """Two spellings of one parameter set have one digest."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})


def test_values_are_a_difference() -> None:
    """1 and 1.5, or another order in a list, are other parameters."""
    assert len({digest([1, 2]), digest([2, 1]), digest([1, 2.5])}) == 3


@pytest.mark.parametrize("place", [0, EDGE - 1, -EDGE, -1])
def test_a_changed_edge_changes_the_identity(tmp_path: Path, place: int) -> None:
    """Head and tail, 64 KiB each, are part of a source's identity."""
    path = tmp_path / "a"
    body = bytearray(4 * EDGE)
    path.write_bytes(body)
    before = identify(str(path))
    body[place] = 1
    path.write_bytes(body)
    assert identify(str(path)).digest != before.digest


def test_a_small_file_is_hashed_whole(tmp_path: Path) -> None:
    """Up to twice the edge no byte escapes."""
    path = tmp_path / "a"
    seen = set()
    for place in range(0, 2 * EDGE, 997):
        body = bytearray(2 * EDGE)
        body[place] = 1
        path.write_bytes(body)
        seen.add(identify(str(path)).digest)
    assert len(seen) == len(range(0, 2 * EDGE, 997))


@pytest.mark.parametrize("size", [0, 1, EDGE, EDGE + 1, 2 * EDGE, 2 * EDGE + 1, 3 * EDGE])
def test_a_copy_of_an_object_has_its_content(tmp_path: Path, size: int) -> None:
    """Wherever its edges meet; small ones take one request."""
    path = tmp_path / "a"
    path.write_bytes(os.urandom(size))
    with served(a=path.read_bytes()) as objects:
        found = identify(objects.url("a"))
        requests = len(objects.seen)
    assert found.size == size
    if size:
        assert content_of(found) == identify(str(path)).digest
        assert requests == (1 if size <= 2 * EDGE else 2)


def test_objects_are_identified_beside_each_other(tmp_path: Path) -> None:
    """Those of a plan, and those of a group; the first that fails is named."""
    names = [str(number) for number in range(24)]
    with served(**{name: name.encode() for name in names}) as objects:
        objects.latency = 0.05
        urls = [objects.url(name) for name in names]
        found = identify_all([*urls, objects.url("gone")], [None] * 25)
        assert [one.size for one in found[:24] if isinstance(one, SourceIdentity)] == [
            len(name) for name in names
        ]
        assert isinstance(found[24], Failure)
        assert objects.most > 2
        objects.most = 0
        path = tmp_path / "local"
        path.write_bytes(b"local")
        statuses, digests = identify_each([urls[0], str(path), *urls[1:]])
        assert [size for size, _ in statuses] == [1, 5, *(len(name) for name in names[1:])]
        assert digests[1] == identify(str(path)).digest
        assert objects.most > 2
        with pytest.raises(SourceNotFoundError, match="gone"):
            identify_each([*urls, objects.url("gone")])


def test_a_directory_that_is_one_dataset(tmp_path: Path) -> None:
    """Any file of it counts, and its name; locks of other programs do not."""
    path = tmp_path / "x.gdb"
    path.mkdir()
    (path / "a").write_bytes(b"abc")
    (path / "b").write_bytes(b"de")
    before = identify(str(path))
    assert (before.size, before.mtime_ns) == (
        5,
        max(one.stat().st_mtime_ns for one in path.iterdir()),
    )
    (path / "x.sr.lock").write_bytes(b"")
    assert identify(str(path)) == before
    (path / "b").write_bytes(b"df")
    changed = identify(str(path))
    (path / "b").rename(path / "c")
    assert len({before.digest, changed.digest, identify(str(path)).digest}) == 3


def test_a_shapefile_is_more_than_its_shapes(tmp_path: Path) -> None:
    """Other attributes, or another CRS beside the same shapes, are another source."""
    path = tmp_path / "x.shp"
    path.write_bytes(b"shapes")
    seen = [identify(str(path))]
    for suffix in (".dbf", ".prj", ".cpg", ".DBF"):
        path.with_suffix(suffix).write_bytes(b"more")
        seen.append(identify(str(path)))
    (tmp_path / "y.dbf").write_bytes(b"not of it")
    path.with_suffix(".qix").write_bytes(b"nor this: programs make it to search")
    assert identify(str(path)) == seen[-1]
    path.with_suffix(".dbf").write_bytes(b"less")
    seen.append(identify(str(path)))
    assert len({one.digest for one in seen}) == len(seen)
    assert seen[-1].size == len(b"shapes") + 4 * len(b"more")


@pytest.mark.parametrize(
    ("name", "other"),
    [("a.tif", "a.tfw"), ("a.TIF", "a.TIF.msk"), ("a.png", "a.pgw"), ("a.jpeg", "a.wld")],
)
def test_where_a_picture_lies_is_part_of_it(tmp_path: Path, name: str, other: str) -> None:
    """As its mask is. What programs write as they look at it, such as statistics, is not."""
    path = tmp_path / name
    path.write_bytes(b"pixels")
    seen = [identify(str(path)).digest]
    for text in ("10", "20"):
        (tmp_path / other).write_text(text)
        seen.append(identify(str(path)).digest)
    (tmp_path / f"{name}.aux.xml").write_text("<PAMDataset/>")
    assert identify(str(path)).digest == seen[-1]
    assert len(set(seen)) == 3


def _vrt(path: Path, *names: str) -> Path:
    bands = "".join(f'<SourceFilename relativeToVRT="1">{name}</SourceFilename>' for name in names)
    path.write_text(f"<VRTDataset>{bands}</VRTDataset>")
    return path


def test_what_a_vrt_names_is_part_of_it(tmp_path: Path) -> None:
    """Also where it is another VRT that does; by size and time, so that no file is read for it."""
    (tmp_path / "below").mkdir()
    pixels, others = tmp_path / "below" / "a.tif", tmp_path / "a.tif"
    pixels.write_bytes(b"pixels")
    others.write_bytes(b"others")
    _vrt(tmp_path / "inner.vrt", "below/a.tif", "a.tif")
    path = _vrt(tmp_path / "outer.vrt", "inner.vrt")
    seen = [identify(str(path))]
    for one in (pixels, others):
        os.utime(one, ns=(1, seen[-1].mtime_ns + 10**9))
        seen.append(identify(str(path)))
        assert source_files.status(str(path)) == (seen[-1].size, seen[-1].mtime_ns)
    pixels.write_bytes(b"more pixels")
    seen.append(identify(str(path)))
    pixels.unlink()
    seen.append(identify(str(path)))
    assert len({one.digest for one in seen}) == len(seen)
    assert len({(one.size, one.mtime_ns) for one in seen}) == len(seen)


@pytest.mark.parametrize("name", ["/vsicurl/x", "pipe", "self.vrt", "none.tif", "<!DOCTYPE a>"])
def test_what_a_vrt_may_not_name_is_left_alone(tmp_path: Path, name: str) -> None:
    """Who opens it says what is wrong with it; nothing waits, or goes round for ever."""
    os.mkfifo(tmp_path / "pipe")
    path = _vrt(tmp_path / "self.vrt", name)
    assert identify(str(path)).size >= path.stat().st_size


_ELSEWHERE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for step in ("CREATE TABLE t (n)", "PRAGMA journal_mode = WAL", "INSERT INTO t VALUES (1)"):
    db.execute(step)
    print(step, flush=True)
    sys.stdin.readline()
db.close()
"""


def test_what_a_geopackage_holds_back_counts(tmp_path: Path) -> None:
    """Of one that is open elsewhere, as in QGIS, edits lie in a file beside it, and are read."""
    path = tmp_path / "x.gpkg"
    # In a process of its own: who closes a file drops all locks that this process has on it.
    with subprocess.Popen(
        [sys.executable, "-c", _ELSEWHERE, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        seen = []
        for _ in range(3):
            other.stdout.readline()
            seen.append(identify(str(path)))
            other.stdin.write(b"\n")
    # To get ready for it writes to the file itself, as does the end.
    seen.append(identify(str(path)))
    assert len({one.digest for one in seen}) == 4
    path.with_name("x.gpkg-wal").touch()
    assert identify(str(path)) == seen[-1]


def test_touching_keeps_the_digest(tmp_path: Path) -> None:
    """The time of a file is kept beside the digest, not in it."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    before = identify(str(path))
    os.utime(path, ns=(1, 1))
    after = identify(str(path))
    assert (after.digest, after.mtime_ns) == (before.digest, 1)


def test_a_missing_source_is_typed(tmp_path: Path) -> None:
    """It ends as a dead letter of its own class."""
    with pytest.raises(SourceNotFoundError, match="No such file"):
        identify(str(tmp_path / "gone"))


def test_fingerprint_follows_each_part() -> None:
    """Parameters, code, source and name each change an item's fingerprint; the mtime does not."""
    source = SourceIdentity(1, 2, "d")
    base = item_fingerprint("p", "c", source, "k")
    assert base == item_fingerprint("p", "c", SourceIdentity(1, 99, "d"), "k")
    others = {
        item_fingerprint("P", "c", source, "k"),
        item_fingerprint("p", "C", source, "k"),
        item_fingerprint("p", "c", SourceIdentity(2, 2, "d"), "k"),
        item_fingerprint("p", "c", SourceIdentity(1, 2, "D"), "k"),
        item_fingerprint("p", "c", source, "K"),
    }
    assert len(others | {base}) == 6


def test_changed_keys_are_named_by_their_path() -> None:
    """``--explain`` names the parameter that made a chunk stale."""
    old = {"op": {"resampling": "nearest", "dst_crs": "EPSG:3857"}, "output": {"format": "COG"}}
    new = {"op": {"resampling": "cubic", "dst_crs": "EPSG:3857"}, "output": {"format": "GTiff"}}
    assert changed_keys(old, new) == ["op.resampling", "output.format"]


async def test_outputs_are_known_by_their_sha256(tmp_path: Path) -> None:
    """``verify`` computes it across several reads; and BLAKE2b-128 for ledgers of before."""
    import hashlib

    path = tmp_path / "a"
    body = os.urandom(9 * 1024 * 1024)
    other = body[:-1] + bytes([body[-1] ^ 1])
    path.write_bytes(body)
    known = [hashlib.sha256(body).hexdigest(), hashlib.blake2b(body, digest_size=16).hexdigest()]
    for one in known:
        assert await has_digest(path, one)
    path.write_bytes(other)
    for one in known:
        assert not await has_digest(path, one)


def test_changed_code_of_steps_is_named() -> None:
    """Functions of the user by where they are; and nothing if a parameter changed as well."""
    function = {"use": "steps.py:f", "function": {"line": 14}}
    params = {"steps": [{"name": "slope"}, function]}
    assert changed_code(["step[1].version"], params) == "step[1]"
    assert changed_code(["step[2].function.code"], params) == "steps.py:f (line 14)"
    names = ["step[2].function.libraries.numpy", "step[2].function.files.a.csv"]
    assert changed_code(names, params) == "steps.py:f (libraries numpy), steps.py:f (files a.csv)"
    assert changed_code(["step[2].function.code", "step[2].size"], params) == ""
    assert changed_code([], params) == ""
