"""Reports of runs: what they say, that nothing foreign acts on the page, and that it stays small."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scripted_run import busy_run, log_line

from geobatch_tui.cli.commands.status import report
from geobatch_tui.errors import ConfigError, OutputGoneError, PlanMismatchError
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.report import report_plots, state_picture
from geobatch_tui.tui.report.report_page import report_of, write_report
from geobatch_tui.tui.report.work_timeline import ChunkTimes, Lane, Period, Span, timeline_of

EVIL = [
    "<script>alert(1)</script>.tif",
    "a\"'&amp;.tif",
    "line\nbreak | pipe `tick` *star* [link](x).tif",
    "\u202eright to left \u05d0\u05d1.tif",
    "{{ 7 * 7 }} {% raw %}.tif",
    "</style></title><img src=x onerror=y>.tif",
    "\udcff\x1b[31m.tif",
]


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in {"meta", "br", "img", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def test_a_report_says_what_an_operator_asks(script, utc):
    """A live run: counts, causes and what to do, both maps, time line, slowest chunks."""
    busy_run(script)
    script.done(*range(700, 720), worker=3, ended=script.clock.t, reading=0.1, seconds=9.5)
    page = Page(report_of(script.state.output_dir))
    text = page.text
    for said in (
        *("running", "659 done", "43 given up", "of 2 items published", "geobatch watch"),
        *("CorruptSourceError", "fetch the file again", "and 28 more", "in work"),
        *("ndvi.tif@17,28", "9.5 s", "100 ms", "raster.reproject", "gdal 3.12"),
        *("chunks a second", "work of each worker", "how many chunks took how long"),
    ):
        assert said in text, said
    assert page.tags.count("svg") > 5
    assert page.open == []


def test_an_ended_and_a_crashed_run_are_told_apart(script):
    """What to do next follows from how it ended; the page is about the run, not the directory."""
    script.plan(1, 1, 4, 1)
    script.done(1, 2)
    script.die(3)
    script.release()
    crashed = Page(report_of(script.state.output_dir)).text
    assert "crashed" in crashed
    assert "go on: 1 chunk left: geobatch run" in crashed
    script.done(4)
    script.put(lu.RunEnded("partial", 12, "complete"))
    ended = Page(report_of(script.state.output_dir)).text
    assert "partial" in ended
    assert "geobatch retry" in ended
    assert "go on" not in ended


def test_foreign_text_does_nothing_on_the_page(script):
    """Names, messages and values of any kind are text, in HTML and in Markdown, and the page names
    no other resource and has no script."""
    for number, name in enumerate(EVIL, 1):
        script.plan(number, 2 * number, 1, 1, key=name)
        script.done(2 * number, item=number, ended=script.clock.t)
        place = {"chunk": f"{name}@0,0", "source": name, "suggestion": name}
        script.die(None, f"cannot read {name}", item=number, **place)
    script.state.log.write_text(log_line("error", "item.dead", run_id="run-1", item=EVIL[0]) + "\n")
    text = report_of(script.state.output_dir)
    page = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "a"} & set(page.tags)
    assert not [at for at in page.attributes if at[1].startswith("on") or at[1] in {"href", "src"}]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)
    assert "default-src 'none'" in text
    assert "<script>alert(1)</script>.tif" in page.text
    assert "{{ 7 * 7 }} {% raw %}.tif" in page.text
    assert "\u202e" not in text
    assert "\x1b" not in text
    text.encode()
    markdown = report_of(script.state.output_dir, markdown=True)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.tif" in markdown
    assert r"\| pipe \`tick\` \*star\* \[link\](x).tif" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {7, 6, 8, 4}


def test_a_report_is_written_whole_or_not_at_all(script, tmp_path):
    """Another ending, no run, no room: an error, and no file; an old one is replaced at once."""
    script.plan(1, 1, 2, 1)
    out = script.state.output_dir
    target = tmp_path / "r.html"
    target.write_text("old")
    write_report(out, target)
    assert target.read_text().startswith("<!doctype html>")
    write_report(out, tmp_path / "r.md")
    assert (tmp_path / "r.md").read_text().startswith("# relief: ")
    with pytest.raises(ConfigError, match=r"says no format"):
        write_report(out, tmp_path / "r.pdf")
    with pytest.raises(OutputGoneError, match="cannot write"):
        write_report(out, tmp_path / "none" / "r.html")
    with pytest.raises(PlanMismatchError):
        write_report(tmp_path / "none", target)
    assert {path.name for path in tmp_path.iterdir()} >= {"r.html", "r.md"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_time_is_told_by_chunks_and_by_the_log(tmp_path):
    """A stall is no throughput; work is in its worker's lane; an event of another run is not."""
    period = Period(1000.0, 200.0)
    times = ChunkTimes([1010.0, 1011.0, 1190.0, 900.0], [5.0, 0.5, 2.0, 9.0], [1, 2, 1, 1])
    log = tmp_path / "log.jsonl"
    at = '{"time":"1970-01-01T00:17:%02d.000Z","event":"%s","run_id":"%s"}\n'
    log.write_text(
        at % (20, "run.suspend", "a")
        + at % (25, "chunk.retry", "b")
        + at % (30, "run.unsuspend", "a")
        + at % (40, "chunk.retry", "a")
        + "no line of ours\n"
    )
    line = timeline_of(period, times, log, "a")
    assert sum(line.done) == 3
    assert line.done[10] == line.done[11] == line.done[190] == 1
    assert (line.stall.begin, line.stall.seconds) == (11.0, 179.0)
    assert [lane.name for lane in line.workers] == ["1", "2"]
    first = line.workers[0].spans
    assert first[0].begin == pytest.approx(5.0, abs=0.6)
    assert {lane.name: len(lane.spans) for lane in line.events} == {"tried again": 1, "held up": 1}
    assert line.events[1].spans == (Span(40.0, 50.0),)
    nothing = timeline_of(period, ChunkTimes([], [], []), tmp_path / "none", "a")
    assert nothing.done == nothing.workers == nothing.events == ()


def test_plots_and_maps_do_not_grow_with_the_run():
    """The worst pictures that any number of chunks can make stay below 2 MB together."""
    chance = random.Random(1)
    picture = [bytes(chance.choice((4, 5, 6, 9)) for _ in range(240)) for _ in range(160)]
    shapes = state_picture._shapes(picture)
    area = 0
    for parts in shapes.values():
        for width, height in re.findall(r"h(\d+)v(\d+)", "".join(parts)):
            area += int(width) * int(height)
    assert area == 240 * 160
    maps = 2 * sum(len(part) for parts in shapes.values() for part in parts)
    count = 60_000
    times = ChunkTimes(
        [1000.0 + chance.random() * 36_000 for _ in range(count)],
        [chance.random() * 25 for _ in range(count)],
        [chance.randrange(60) for _ in range(count)],
    )
    line = timeline_of(Period(1000.0, 36_000.0), times, state_picture.__file__, "x")
    assert len(line.workers) == 48
    assert line.hidden == 12
    plots = report_plots.throughput(line) + report_plots.lanes(line, line.workers)
    assert maps + len(plots) < 1_900_000
    assert "<script" not in plots
    assert "<style" not in plots


def test_lanes_stand_in_their_rows():
    """The first lane is at the top, and a name from outside is escaped."""
    line = timeline_of(Period(0.0, 100.0), ChunkTimes([], [], []), state_picture.__file__, "x")
    svg = report_plots.lanes(line, (Lane("a<b", (Span(0, 50),)), Lane("c", (Span(50, 100),))))
    assert "a&lt;b" in svg
    first, second = re.search(r'class="line[^"]*" ?', svg), re.findall(r"M([\d.]+) ([\d.]+)", svg)
    assert first
    bars = [(float(x), float(y)) for x, y in second][-2:]
    assert bars[0][0] < bars[1][0]
    assert bars[0][1] < bars[1][1]


def test_the_command_names_what_it_wrote(script, tmp_path, monkeypatch, capsys):
    """Without -o the file is named after the run; - is stdout."""
    script.plan(1, 1, 2, 1)
    monkeypatch.chdir(tmp_path)
    assert report(script.state.output_dir) == 0
    assert capsys.readouterr().out == "report-run-1.html\n"
    assert (tmp_path / "report-run-1.html").stat().st_size > 5000
    assert report(script.state.output_dir, tmp_path / "out") == 0
    assert capsys.readouterr().out.strip().endswith("out/report-run-1.html")
    assert report(script.state.output_dir, Path("-")) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
