"""Vector jobs through the command line: killed and resumed, hanging and crashing features."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import forked_command
import geopandas as gpd
import pytest
import shapely
import vectordata

pytestmark = pytest.mark.disk

HERE = Path(__file__).parent


def _words(out, source, *sets, op="vector.reproject", form="GeoParquet"):
    """The command line of a run over ``source`` into ``out``."""
    job = out.with_suffix(".toml")
    crs = 'dst_crs = "EPSG:3035"' if op == "vector.reproject" else ""
    job.write_text(
        f'[source]\ninputs = ["{source}"]\n[op]\nname = "{op}"\n{crs}\n'
        f'[output]\ndir = "{out}"\nformat = "{form}"\n[engine]\nmax_workers = 2\n'
    )
    words = [word for pair in sets for word in ("--set", pair)]
    return ["run", str(job), "--json", *words]


def _environment(**more):
    keep = {key: value for key, value in os.environ.items() if not key.startswith("GEOBATCH_")}
    return {**keep, **more}


#: Runs commands in turn: to load what they and their workers load takes longer than most of them.
_IN_TURN = """
import contextlib, io, json, sys
from geobatch_tui.cli.boundary import run_command
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = run_command(words)
    print(json.dumps([code, json.loads(said.getvalue())]))
"""


def _run(*commands, **more):
    """Run commands one after the other in a process of their own, as workers may crash; return the
    exit code and the answer of each, and what all of them said on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_TURN],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=110,
        env=_environment(**more),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def _recorded(out):
    """Chunks that the ledger calls done; a line in the log comes before that."""
    ledger = out / ".geobatch" / "ledger.db"
    if not ledger.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        try:
            query = "SELECT count(*) FROM chunk WHERE spool_length > 0"
            return database.execute(query).fetchone()[0]
        except sqlite3.OperationalError:
            return 0


@pytest.mark.parametrize("suffix", ["gpkg", pytest.param("geojson", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_bytes(suffix, tmp_path, here):
    """Killed by -9 in mid run: the second run computes only what is missing, and gives the same file."""
    source = vectordata.write(vectordata.layer(1000), tmp_path / f"s.{suffix}")
    chunks = "engine.chunk_features=10"
    here(*_words(tmp_path / "golden", source), check=0)
    golden = (tmp_path / "golden" / "s.parquet").read_bytes()
    out = tmp_path / "out"
    with (tmp_path / "said").open("wb") as said:
        process = forked_command.begin(
            _words(out, source, chunks), env=_environment(), stdout=said, stderr=said, session=True
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _recorded(out) < 3:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "s.parquet").exists()
    counts = json.loads(here(*_words(out, source, chunks), check=0).stdout)["counts"]
    assert counts["current"] >= 1
    assert counts["done"] + counts["current"] == 100
    assert hashlib.sha256((out / "s.parquet").read_bytes()).digest() == (
        hashlib.sha256(golden).digest()
    )
    again = json.loads(here(*_words(out, source, chunks), check=0).stdout)
    assert again["counts"]["done"] == 0


@pytest.mark.parametrize("hang", [2000, pytest.param(1000, marks=pytest.mark.slow)])
def test_features_that_hang_or_crash_are_left_out_alone(hang, tmp_path):
    """Four features of two chunks end their workers; all others are published. One of the four does so
    only while all are tested at once: the next try tests them one by one."""
    shapes = [shapely.Point(n % 50, 45) for n in range(200)]
    for n, x in ((10, 2000), (20, hang), (150, 2000), (160, 4000)):
        shapes[n] = shapely.Point(x, 45)
    frame = gpd.GeoDataFrame({"n": range(200)}, geometry=shapes, crs=3857)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    out = tmp_path / "out"
    with_op = {"GEOBATCH_OPS": "hanging_operation:HANG", "PYTHONPATH": str(HERE)}
    # Where none hangs, whatever is slow under load is left its time.
    timeout = "10s" if hang == 1000 else "5m"
    limits = ("engine.chunk_features=100", f"engine.chunk_timeout={timeout}")
    words = [_words(out, source, *more, op="test.hang") for more in (limits, ())]
    ((code, _), (later, result)), said = _run(*words, **with_op)
    made = gpd.read_parquet(out / "s.parquet")
    assert sorted(set(range(200)) - set(made["n"])) == [10, 20, 150, 160], said
    kept = gpd.read_file(out / ".geobatch" / "dead" / "s.parquet.gpkg")
    assert sorted(kept["n"]) == [10, 20, 150, 160]
    assert set(kept["geobatch_error"]) == {"PoisonError"}
    assert code == 12
    assert '"event":"features.quarantined"' in said
    assert (later, result["counts"]["done"]) == (12, 0)


def test_each_feature_has_a_letter_and_can_be_tried_again(tmp_path, here):
    """dead-letters names fid, cause and a command for just that feature; retry tries it again."""
    shapes = [shapely.Point(10 + n % 5, 50) for n in range(60)]
    shapes[7] = shapely.Point(200, 95)
    shapes[44] = shapely.Point(float("nan"), 50)
    frame = gpd.GeoDataFrame({"n": range(60)}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    out = tmp_path / "out"
    done = here(*_words(out, source, "engine.chunk_features=20"), check=12)
    counts = json.loads(done.stdout)["counts"]
    assert counts == {**counts, "done": 3, "dead": 0}
    letters = json.loads(here("dead-letters", out, "--json").stdout)
    letters.sort(key=lambda one: one["feature"])  # they come in the order in which chunks ended
    assert [(one["feature"], one["chunk"]) for one in letters] == [
        (8, "s.parquet@0,0"),
        (45, "s.parquet@0,2"),
    ]
    assert {one["error_class"] for one in letters} == {"GeometryError"}
    assert "LIMIT 1 OFFSET 4" in letters[1]["reproduce"]
    assert bytes.fromhex(letters[0]["evidence"]["wkb"])[:5] == b"\x01\x01\0\0\0"
    shown = here("dead-letters", out).stdout
    assert "feature 44 with fid 45" in " ".join(shown.split())
    before = (out / "s.parquet").read_bytes()
    again = here("retry", out, "--chunk", "s.parquet@0,2", "--json", check=12)
    assert json.loads(again.stdout)["counts"]["done"] == 3
    assert (out / "s.parquet").read_bytes() == before
    assert len(json.loads(here("dead-letters", out, "--json").stdout)) == 2


def test_what_no_source_could_do_is_refused(tmp_path, here):
    """Case 51: what the probe of the first source refuses ends plan and run with 2, and its reason."""
    source = vectordata.write(vectordata.layer(5), tmp_path / "s.gpkg")
    out = tmp_path / "out"
    for words in (_words(out, source, form="Shapefile"), ("plan", out.with_suffix(".toml"))):
        assert "would lose" in here(*words, check=2).stderr
    assert not list(out.glob("*.zip"))


def test_repaired_features_are_put_back(tmp_path, here):
    """From the quarantine file, mended as in QGIS; it holds for later runs, too, until --fresh."""
    shapes = [shapely.Point(10 + n % 5, 50) for n in range(60)]
    shapes[7] = shapely.Point(200, 95)
    shapes[44] = shapely.Point(float("inf"), 50)
    frame = gpd.GeoDataFrame({"n": range(60)}, geometry=shapes, crs=4326)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    out = tmp_path / "out"
    run = _words(out, source, "engine.chunk_features=20", form="GPKG")
    here(*run, check=12)
    kept = gpd.read_file(out / ".geobatch" / "dead" / "s.gpkg.gpkg")
    kept.loc[kept.n == 44, "geometry"] = shapely.Point(11, 51)
    mended = tmp_path / "mended.geojson"
    kept[kept.n == 44].to_file(mended)
    words = ("retry", out, "--chunk", "s.gpkg@0,2", "--json", "--replace")
    assert "there is no file" in here(*words, tmp_path / "absent.gpkg", check=2).stderr
    here(*words, mended, check=12)
    assert [one["feature"] for one in json.loads(here("dead-letters", out, "--json").stdout)] == [8]
    made = gpd.read_file(out / "s.gpkg")
    assert sorted(made.n) == [n for n in range(60) if n != 7]
    assert made[made.n == 44].to_crs(4326).geometry.iloc[0].distance(shapely.Point(11, 51)) < 1e-9
    assert json.loads(here(*run, check=12).stdout)["counts"]["done"] == 0
    here(*run, "--fresh", check=12)
    assert 44 not in set(gpd.read_file(out / "s.gpkg").n)


def test_a_chunk_that_crashes_at_no_feature_is_a_dead_letter(tmp_path):
    """Where no feature can be named, the chunk is given up after two crashes, not after hundreds."""
    frame = gpd.GeoDataFrame({"n": [0]}, geometry=[shapely.Point(3000, 45)], crs=3857)
    source = vectordata.write(frame, tmp_path / "s.gpkg")
    ((code, result),), _ = _run(
        _words(tmp_path / "out", source, op="test.hang"),
        GEOBATCH_OPS="hanging_operation:HANG",
        PYTHONPATH=str(HERE),
    )
    assert code == 1
    (letter,) = result["dead_letters"]
    assert letter["error_class"] == "GeometryError"
    assert "no feature that could be named" in letter["error_message"]
    assert letter["attempts"] == 3
