"""When somebody is told of a run."""

from __future__ import annotations

from dataclasses import replace

from geobatch_tui.config.notify.conditions import Condition, Matter
from geobatch_tui.observability.snapshot import Snapshot
from geobatch_tui.orchestration.side_tasks.alerts import Alerts

RUN = Snapshot(run_id="r1", job="relief", state="running", elapsed_s=100.0)


def alerts(*texts):
    return Alerts([Condition.parse(text) for text in texts])


def test_each_matter_is_told_once_and_again_when_it_comes_back():
    """A stall of 47 s with a limit of 30 s: told in the second in which it is reached."""
    watch, told = alerts("stall>30s"), []
    working = ((1, "relief.tif@0,24", 40.0, "chunk"),)
    for second in range(120):
        still = float(second if second < 47 else second - 47 if second < 100 else 0)
        told += [
            (second, alert) for alert in watch.look(replace(RUN, still_s=still, working=working))
        ]
    assert [second for second, _ in told] == [30, 77]
    assert told[0][1].title == "relief: no chunk for 30 s"
    assert told[0][1].text == "relief.tif@0,24 runs for 40 s"


def test_dead_letters_and_the_disk():
    """More than the limit, by all classes; space has to rise before it is told again."""
    watch = alerts("dead>2", "disk<5GB")
    assert watch.has(Matter.DISK)
    assert not watch.look(replace(RUN, dead_by_class={"A": 2}), free=6_000_000_000)
    dead = replace(RUN, dead_by_class={"A": 2, "B": 1})
    assert [alert.event for alert in watch.look(dead, free=4_999_999_999)] == ["dead", "disk"]
    assert not watch.look(dead, free=5_100_000_000)
    assert not watch.look(dead, free=4_000_000_000)
    assert not watch.look(dead, free=6_000_000_000)
    assert [alert.event for alert in watch.look(dead, free=4_000_000_000)] == ["disk"]
    assert not watch.look(dead, free=None)


def test_the_end_says_what_became_of_it():
    """Once, with counts, causes and code; secrets and control characters are gone."""
    watch = alerts("end")
    assert not watch.watches
    over = replace(
        RUN,
        job="https://me:hunter2@host\x1b[2J",
        state="partial",
        items={"total": 882, "published": 880, "held": 0, "dead": 2},
        dead_by_class={"CorruptSourceError": 2},
    )
    (alert,) = watch.end(over, 12)
    assert not list(watch.end(over, 12))
    assert "partial (exit code 12)" in alert.title
    assert alert.text.startswith("880 of 882 published, 2 dead letters (2 CorruptSourceError)")
    told = str(alert.to_json())
    assert "hunter2" not in told
    assert "\x1b" not in told
    assert alert.to_json()["dead_letters"] == 2
