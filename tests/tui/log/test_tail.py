"""The end of the log, as a panel shows it."""

from __future__ import annotations

import os

from scripted_run import log_line

from geobatch_tui.observability.lines import LineMaker
from geobatch_tui.tui.log.entry import parse
from geobatch_tui.tui.log.tail import LogTail


def said(*words, **fields):
    return parse(log_line(*words, **fields).encode()).text


def test_a_line_says_place_event_and_error_once():
    """Events without a message have words; an error that the message tells is not told again."""
    assert said("info", "chunk.done", chunk="a@0,1", duration_ms=2310) == "a@0,1 done 2.3 s"
    assert said("error", "item.dead", item="a", error_class="E", error_message="m") == (
        "a given up E: m"
    )
    assert said("error", "item.dead", "E: m", item="a", error_class="E", error_message="m") == (
        "a E: m"
    )
    assert said("info", "odd.event") == "odd.event"


def test_what_drives_a_terminal_is_escaped():
    """A line of the log is one harmless line."""
    assert said("info", "x", "a\x1b[31m\nb") == "a\\x1b[31m\\x0ab"


def test_what_the_log_escaped_is_not_escaped_again():
    """The log escapes a name that is no text when it is written; its words are told as they are."""
    name = os.fsdecode(b"caf\xe9.tif")
    text = LineMaker("r").json_line(
        0.0, "info", "geobatch", "x", f"{name} is gone", {"chunk": f"{name}@0,1"}
    )
    assert parse(text.encode()).text == "caf\\xe9.tif@0,1 caf\\xe9.tif is gone"


def test_broken_lines_are_left_out():
    """Half a line, no JSON, no object, no time: none of it is a line."""
    for data in (b"", b"{", b"5", b'{"time": 5}', b'{"time": "x"}'):
        assert parse(data) is None


def test_a_log_is_followed_through_growth_and_rotation(tmp_path):
    """Lines come once, in order, whole; a new file under the name is read from its start."""
    path = tmp_path / "log.jsonl"
    tail = LogTail(path)
    tail.poll()
    assert not tail.lines
    with path.open("w") as file:
        file.write(log_line("info", "x", "one") + "\n" + log_line("info", "x", "two")[:40])
        file.flush()
        tail.poll()
        assert [line.text for line in tail.lines] == ["one"]
        file.write(log_line("info", "x", "two")[40:] + "\n")
    tail.poll()
    assert [line.text for line in tail.lines] == ["one", "two"]
    other = tmp_path / "new"
    other.write_text(log_line("info", "x", "three") + "\n")
    other.replace(path)
    tail.poll()
    assert [line.text for line in tail.lines] == ["one", "two", "three"]


def test_of_a_long_log_the_end_is_read(tmp_path):
    """A log of many megabytes costs no more than its last lines."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(log_line("info", "x", f"line {n}") + "\n" for n in range(20_000)))
    tail = LogTail(path)
    tail.poll()
    assert tail.lines[-1].text == "line 19999"
    assert len(tail.lines) == tail.lines.maxlen
