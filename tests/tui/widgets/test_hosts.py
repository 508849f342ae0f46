"""The panel of stores: there where a run has some, and never wider than it is."""

from __future__ import annotations

from dataclasses import replace

from scripted_run import busy_run, shown

from geobatch_tui.observability.host_report import HostReport
from geobatch_tui.tui.run.model import View
from geobatch_tui.tui.widgets.hosts import Hosts

HOST = {"host": "s3://scenes", "requests": 1204, "bytes_in": 3 << 30, "requests_per_s": 12.0,
        "bytes_per_s": float(3 << 20)}  # fmt: skip


def lines(view, width, height):
    return [line.plain for line in Hosts().build(view, width, height)]


def test_a_line_for_each_store():
    """With the rates while the run is live; what is left out is told of."""
    hosts = tuple(HostReport.of({**HOST, "host": f"https://{n}.example.org"}) for n in range(6))
    view = View(live=True, now=10.0, hosts=hosts)
    for width in (20, 38, 60, 118):
        assert all(len(line) == width for line in lines(view, width, 4))
    first, *_, last = lines(view, 78, 4)
    assert first.split() == [
        "https://0.example.org", "12", "req/s", "3.0", "MiB/s", "1,204", "requests,", "3.0", "GiB",
        "in",
    ]  # fmt: skip
    assert last.startswith("3 stores more")
    assert "req/s" not in lines(replace(view, live=False), 78, 4)[0]
    away = HostReport.of({**HOST, "away_since": 4.0, "next_probe": 12.0})
    assert "asked in 2.0 s" in lines(replace(view, hosts=(away,)), 78, 1)[0]


def test_people_read_it(utc):
    """Each figure with its unit; a note of anybody's making is read too."""
    report = HostReport.of({"host": "s3://a\x1b", "requests": 1204, "bytes_in": 3 << 30,
                            "retries": 2, "requests_per_s": 12.0, "bytes_per_s": 3 << 20})  # fmt: skip
    assert "\x1b" not in report.host
    assert report.rates() == "12 req/s  3.0 MiB/s"
    assert report.totals() == "1,204 requests, 3.0 GiB in, 2 tried again"
    assert (report.is_away, report.outage(0.0)) == (False, "")
    away = HostReport.of({"host": "s3://a", "away_since": 3723, "next_probe": 3735.5})
    assert away.outage(3730.0) == "away since 01:02:03, asked in 5.5 s"
    assert away.outage(3740.0) == "away since 01:02:03, being asked"
    assert HostReport.of({"away_since": "x"}) == HostReport("")


async def test_the_panel_comes_and_goes(console, script):
    """A run without a store has no such panel; one with some shows them, as they are noted."""
    busy_run(script)
    app = console()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        assert "Stores" not in shown(app)
        script.progress(
            hosts=[HOST, {**HOST, "host": "https://b.org", "away_since": script.clock.t}]
        )
        app.poll()
        await pilot.pause()
        await pilot.pause()
        text = shown(app)
        assert "Stores" in text
        assert "s3://scenes" in text
        assert "https://b.org" in text
        assert "away since" in text
