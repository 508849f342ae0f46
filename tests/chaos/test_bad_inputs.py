"""Bad input ends as the catalogue says: a clear error, the rest finished, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import corpus
import harness
import pytest
import rasterio


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """All cases of the corpus in one job: the end of the run, its output, its dead letters."""
    root = tmp_path_factory.mktemp("mixed")
    (root / "in").mkdir()
    inputs = [case.make(root / "in") for case in corpus.CASES.values()]
    job = root / "job.toml"
    job.write_text(corpus.job_text(inputs, root / "out", engine={"max_workers": 2}))
    ended = harness.call("run", str(job), "--headless", "--json")
    letters = harness.dead_letters(root / "out")
    return root, ended, {letter["item"]: letter for letter in letters}


def item_of(path: Path) -> str:
    """Key of an input: its name, with the suffix of the output."""
    return path.with_suffix(".tif").name


@pytest.mark.parametrize("name", corpus.CASES)
def test_each_case_ends_as_the_catalogue_says(mixed, tmp_path, name):
    """Published where it is sound, else in the dead letters under the class of its cause."""
    root, ended, letters = mixed
    case = corpus.CASES[name]
    (tmp_path / "in").mkdir()
    item = item_of(case.make(tmp_path / "in"))
    assert ended.code == 12, ended.stderr[-2000:]
    if case.errors:
        assert item in letters
        letter = letters[item]
        assert letter["error_class"] in case.errors, letter["error_message"]
        assert letter["reproduce"] or letter["error_class"] == "UnsafeInputError"
        assert letter["error_message"]
        assert not (root / "out" / item).exists()
    else:
        assert item not in letters, letters[item]
        with rasterio.open(root / "out" / item) as src:
            assert src.crs.to_epsg() == 3857
            assert src.dataset_mask().any()


def test_where_a_crs_comes_from_is_on_record(mixed):
    """In the log, in letters and in what the ledger knows of an output; nowhere without a CRS."""
    root, _, letters = mixed
    assert letters["no_crs.tif"]["crs_source"] is None
    assert letters["corrupt.tif"]["crs_source"] == "file"
    lines = harness.events(root / "out")
    told = [line for line in lines if line["event"] in {"chunk.done", "chunk.dead"}]
    published = [line for line in lines if line["event"] == "item.published"]
    assert published
    assert {line["crs_source"] for line in told + published} == {"file"}
    with closing(sqlite3.connect(root / "out" / ".geobatch" / "ledger.db")) as ledger, ledger:
        query = "SELECT DISTINCT facts ->> 'crs_source' FROM item WHERE out_digest <> ''"
        assert ledger.execute(query).fetchall() == [("file",)]


def test_nothing_half_written_is_left(mixed):
    """No part file; every file under a final name can be read to its last block."""
    root, _, _ = mixed
    left = [name for name in harness.tree_hash(root / "out") if harness.is_part(name)]
    assert left == []
    for path in harness.files(root / "out"):
        with rasterio.open(path) as src:
            src.read()


def test_text_of_libraries_does_not_reach_stderr(mixed):
    """Without a terminal every line on stderr is JSON: none of GDAL's or libtiff's."""
    _, ended, _ = mixed
    assert ended.stderr
    for line in ended.stderr.splitlines():
        json.loads(line)


def test_the_canary_is_unread(mixed):
    """No byte of the files that the disguised VRTs point at is in any artefact."""
    root, _, _ = mixed
    made = [path for path in (root / "out").rglob("*") if path.is_file()]
    assert root / "out" / ".geobatch" / "ledger.db" in made
    for path in made:
        assert corpus.CANARY not in path.read_bytes(), path


def test_a_corrupt_tile_costs_only_the_chunks_round_it(tmp_path):
    """One corrupt tile of sixteen: dead are the chunk on it and at most those in its row and in
    the rows that touch it: GDAL warps blocks of 512x128 pixels, wider than these chunks, and
    source windows have a margin. Each says where in degrees and which block."""
    (tmp_path / "in").mkdir()
    path = corpus.corrupt_tile(tmp_path / "in")
    params = {"dst_crs": "EPSG:4326", "resampling": "nearest"}
    tables = {
        "engine": {"max_workers": 2, "chunk_cols": 128, "chunk_rows": 128},
        "output": {"creation": {"blocksize": 128}},
    }
    job = tmp_path / "job.toml"
    job.write_text(corpus.job_text([path], tmp_path / "out", params=params, **tables))
    ended = harness.call("run", str(job), "--headless", "--json")
    assert ended.code == 12, ended.stderr[-2000:]
    letters = {letter["chunk"]: letter for letter in harness.dead_letters(tmp_path / "out")}
    touching = {f"corrupt.tif@{row},{col}" for row in (1, 2, 3) for col in range(4)}
    assert "corrupt.tif@2,0" in letters
    assert set(letters) <= touching
    assert ended.json["counts"]["done"] == 16 - len(letters)
    letter = letters["corrupt.tif@2,0"]
    assert letter["window"] == [0, 256, 128, 128]
    assert letter["bounds_lonlat"] == pytest.approx([8.0, 32.8, 14.4, 39.2])


@pytest.mark.parametrize("name", ["missing", "zero_byte", "html_as_tif", "no_crs", "vrt_as_tif"])
def test_a_bad_input_alone_has_its_own_exit_code(tmp_path, here, name):
    """10 where all failed for their CRS, 11 for their format, 1 for other reasons."""
    case = corpus.CASES[name]
    (tmp_path / "in").mkdir()
    job = tmp_path / "job.toml"
    job.write_text(corpus.job_text([case.make(tmp_path / "in")], tmp_path / "out"))
    here("run", job, "--headless", check=case.alone)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """One run over a directory of all names of the corpus."""
    root = tmp_path_factory.mktemp("names")
    (root / "in").mkdir()
    for raw in corpus.NAMES.values():
        corpus.named(root / "in", raw)
    job = root / "job.toml"
    job.write_text(corpus.job_text([root / "in"], root / "out"))
    return root, harness.call("run", str(job), "--headless")


def test_names_give_outputs_of_the_same_name(names):
    """A file of any legal name gives an output of that very name, byte for byte."""
    root, ended = names
    assert ended.code == 0, ended.stderr[-2000:]
    outputs = sorted(os.fsencode(found.name) for found in harness.files(root / "out"))
    assert outputs == sorted(corpus.NAMES.values())


def test_names_do_not_drive_the_terminal(names):
    """No control byte and no bidi mark of a name is on stdout or stderr, nor in a table of the
    run."""
    root, ended = names
    status = harness.call("status", str(root / "out"))
    for text in (ended.stdout, ended.stderr, status.stdout, status.stderr):
        assert not [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
        assert "\u202e" not in text


def test_an_unknown_epsg_code_is_refused_before_any_work(tmp_path, here):
    """Exit 2; the message names the file, the key and the code; no output directory."""
    job = corpus.unknown_epsg_job(tmp_path)
    ended = here("run", job, "--headless", check=2)
    assert "unknown_epsg.toml" in ended.stderr
    assert "dst_crs" in ended.stderr
    assert "999999" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_typo_in_the_job_is_refused_with_the_nearest_key(tmp_path, here):
    """Exit 2; file, line, and the key that was meant."""
    job = tmp_path / "typo.toml"
    text = corpus.job_text([corpus.good(tmp_path)], tmp_path / "out")
    job.write_text(text.replace("resampling", "resmapling"))
    line = next(n for n, t in enumerate(job.read_text().splitlines(), 1) if "resmapling" in t)
    ended = here("run", job, "--headless", check=2)
    assert f"typo.toml:{line}" in ended.stderr
    assert "resampling" in ended.stderr


def test_an_output_that_is_a_file_is_refused(tmp_path, here):
    """Exit 2 where the output directory cannot be made."""
    (tmp_path / "out").write_text("a file")
    job = tmp_path / "job.toml"
    job.write_text(corpus.job_text([corpus.good(tmp_path)], tmp_path / "out"))
    here("run", job, "--headless", check=2)


def test_an_output_that_vanishes_ends_the_run(tmp_path):
    """The output directory is removed in the midst of a run: exit 17, no hang."""
    import chaos_jobs

    fixture = chaos_jobs.raster(tmp_path, columns=12, rows=10, side=600)
    engine = fixture.start()
    while engine.alive() and not harness.count(harness.events(fixture.out), "chunk.done"):
        time.sleep(0.01)
    engine.signal(signal.SIGSTOP)  # else it may be done before this goes on
    assert not list(fixture.out.glob("*.tif"))
    gone = fixture.out.rename(tmp_path / "gone")
    engine.signal(signal.SIGCONT)
    ended = engine.wait(timeout=240)
    shutil.rmtree(gone)
    assert ended.code == 17, ended.stderr[-2000:]
