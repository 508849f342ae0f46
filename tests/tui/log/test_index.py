from __future__ import annotations

import json
import random
import tracemalloc

import pytest

from geobatch_tui.tui.kit.filters import parse
from geobatch_tui.tui.log import index as log_index
from geobatch_tui.tui.log.entry import FIELDS, entry_of, lines_about
from geobatch_tui.tui.log.index import ERROR, LogIndex
from geobatch_tui.tui.log.selection import LogSelection


def line(number, level="info", **fields):
    entry = {
        "time": f"2026-11-24T12:53:{number % 60:02d}.{number % 1000:03d}Z",
        "level": level,
        "logger": "geobatch",
        "message": f"line {number}",
        "event": "chunk.done",
        **fields,
    }
    return json.dumps(entry, separators=(",", ":")) + "\n"


def whole(path, **options):
    index = LogIndex(path, **options)
    while index.advance():
        pass
    return index


def shown(index, text="", rank=0):
    selection = LogSelection(index, parse(text, FIELDS), rank)
    while selection.advance():
        pass
    return selection


def numbers(selection, first=0, count=10**6):
    return [int(entry_of(raw)["message"].split()[1]) for raw in selection.read(first, count)]


@pytest.fixture
def log(tmp_path):
    """A thousand lines; each tenth a warning, each hundredth an error."""
    path = tmp_path / "log.jsonl"
    levels = {0: "error", 50: "warning"}
    path.write_text(
        "".join(
            line(n, levels.get(n % 100) or ("warning" if n % 10 == 0 else "info"), worker=n % 7)
            for n in range(1000)
        )
    )
    return path


@pytest.mark.parametrize("block", [97, 1000, 1 << 22])
def test_every_line_is_found_wherever_it_is_read_from(log, block):
    """Any stretch of lines is read as it is in the file, however the file was taken in."""
    index = whole(log, block=block)
    lines = log.read_bytes().splitlines()
    assert index.count == len(lines)
    rng = random.Random(7)
    for _ in range(200):
        first, count = rng.randrange(1000), rng.randrange(1, 100)
        assert index.read(first, count) == lines[first : first + count]
    assert index.read(1000, 5) == []


def test_levels_are_known_without_parsing(log):
    """The level of a line is that of its field."""
    index = whole(log)
    for number, raw in enumerate(log.read_bytes().splitlines()):
        assert log_index.LEVELS[index.level(number)] == json.loads(raw)["level"]


def test_a_line_counts_once_it_is_whole(log):
    """A line that is still being written is not shown before its end."""
    index = whole(log)
    with log.open("a") as file:
        file.write(line(1000)[:40])
        file.flush()
        index.advance()
        assert index.count == 1000
        file.write(line(1000)[40:])
        file.flush()
        index.advance()
    assert index.count == 1001
    assert index.read(1000, 1) == [line(1000).rstrip().encode()]


def test_rotation_and_cutting_start_anew(log):
    """A file that was replaced or cut is another log: its lines are counted from 0."""
    index = whole(log)
    version = index.version
    log.write_text(line(1))
    index.advance()
    assert (index.count, index.version) == (1, version + 1)
    other = log.with_name("other")
    other.write_text(line(5) * 3)
    other.rename(log)
    index.advance()
    assert (index.count, index.version) == (3, version + 2)


def test_missing_log_is_an_empty_one(tmp_path):
    """A log that is not there yet has no lines, and is followed once it is."""
    index = LogIndex(tmp_path / "log.jsonl")
    assert not index.advance()
    assert index.count == 0
    (tmp_path / "log.jsonl").write_text(line(3))
    index.advance()
    assert index.count == 1


def test_level_and_filter_choose_lines(log):
    """Lines of a level and up, those that match, and both."""
    index = whole(log)
    assert numbers(shown(index, rank=ERROR)) == list(range(0, 1000, 100))
    assert numbers(shown(index, "worker:3")) == list(range(3, 1000, 7))
    assert numbers(shown(index, "level:error worker:3")) == [
        n for n in range(0, 1000, 100) if n % 7 == 3
    ]
    assert numbers(shown(index, "!level:info", rank=2)) == [n for n in range(1000) if n % 10 == 0]
    assert shown(index, "nowhere").count == 0


def test_words_are_found_as_text_not_as_json(tmp_path):
    """A word with quotes or letters beyond ASCII is found, though JSON writes it otherwise."""
    path = tmp_path / "log.jsonl"
    path.write_text(line(1, item="Grüße.tif") + line(2, item='a"b.tif') + line(3))
    index = whole(path)
    assert numbers(shown(index, "grüße")) == [1]
    assert numbers(shown(index, 'item:a"b')) == [2]
    assert numbers(shown(index, "LINE")) == [1, 2, 3]


def test_selection_grows_with_the_log(log):
    """What is appended is looked at, and nothing twice."""
    index = whole(log)
    selection = shown(index, rank=ERROR)
    with log.open("a") as file:
        file.write(line(1001, "error") + line(1002))
    index.advance()
    while selection.advance():
        pass
    assert numbers(selection)[-1] == 1001
    assert selection.count == 11


def test_jump_goes_to_errors_that_are_shown(log):
    """The next error behind a line, the one before it, and none beyond the ends."""
    index = whole(log)
    everything = shown(index)
    assert everything.jump(5, ERROR, 1) == 100
    assert everything.jump(100, ERROR, 1) == 200
    assert everything.jump(100, ERROR, -1) == 0
    assert everything.jump(0, ERROR, -1) is None
    assert everything.jump(950, ERROR, 1) is None
    some = shown(index, "worker:3")
    expected = [n for n in range(0, 1000, 100) if n % 7 == 3]
    assert numbers(some, some.jump(0, ERROR, 1), 1) == [expected[0]]


def test_entries_that_are_no_json_are_messages():
    """Whatever a line holds, it can be shown."""
    assert entry_of(b"\xff[1,2]") == {"message": "\udcff[1,2]"}
    assert entry_of(b"[1,2]") == {"message": "[1,2]"}
    assert entry_of(b"[" * 100_000)["message"].startswith("[")


def test_lines_about_a_chunk(tmp_path):
    """Lines that name the chunk or its item, the newest ones, oldest first; no others that only
    mention it."""
    path = tmp_path / "log.jsonl"
    names = ["a.tif@0,1", "a.tif@0,10", "b.tif@0,1"]
    path.write_text(
        "".join(line(n, chunk=names[n % 3]) for n in range(60))
        + line(60, message='line "a.tif@0,1"')
        + line(61, item="a.tif")
        + line(62, item="a.tif", chunk="a.tif@5,5")
    )
    found = lines_about(path, ["a.tif@0,1", "a.tif"], limit=5, block=300)
    assert [entry["message"] for entry in found] == [
        "line 48", "line 51", "line 54", "line 57", "line 61",
    ]  # fmt: skip
    assert lines_about(path, [""]) == []
    assert lines_about(tmp_path / "none", ["a"]) == []


def test_many_lines_take_little_memory(tmp_path):
    """An index takes about a byte and a half a line, and reads any line without the others."""
    path = tmp_path / "log.jsonl"
    part = "".join(line(n) for n in range(1000))
    path.write_text(part * 200)
    tracemalloc.start()
    try:
        index = whole(path)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert index.count == 200_000
    assert taken < 2 * index.count
    assert entry_of(index.read(123_456, 1)[0])["message"] == "line 456"
