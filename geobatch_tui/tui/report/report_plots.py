"""Plots of a report, as SVG without scripts, styles or links: the page has one style for all.

They are drawn by pygal: plain Python, 0.6 MB, 0.13 s to import, and it knows axes; matplotlib would
bring numpy into the console, others need scripts in the page.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from geobatch_tui.observability import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.tui.report.run_facts import Durations
    from geobatch_tui.tui.report.work_timeline import Lane, Period, Timeline

_WIDTH: Final = 960
_ROW: Final = 16  #: pixels of a lane
_AXIS: Final = 44  #: pixels of an axis with its texts
_NAME: Final = 12  #: characters before an axis, so that plots stand below one another
_SMOOTH: Final = 60.0  #: seconds of the mean
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_TICKS: Final = 9
_DAY: Final = 86_400

#: Series of a lane, by the share of a span.
_SHARES: Final = (1, 2, 3, 4, 5)

type Points = list[tuple[float, float] | tuple[None, None]]


def throughput(timeline: Timeline) -> str:
    """Draw chunks a second, and their mean over a minute; where none were done it is zero."""
    step, done = timeline.period.step, timeline.done
    rates = [count / step for count in done]
    outline: Points = []
    for index, rate in enumerate(rates):
        outline += [(index * step, rate), ((index + 1) * step, rate)]
    chart = _chart(timeline.period, 220, max(rates, default=0.0))
    chart.add("chunks/s", outline, fill=True)
    if is_smoothed(timeline):
        chart.add("mean", [*_means(rates, round(_SMOOTH / step / 2), step)])
    return _svg(chart)


def is_smoothed(timeline: Timeline) -> bool:
    """Whether a run is long enough for a mean over minutes to say more than its bins."""
    return 0 < round(_SMOOTH / timeline.period.step / 2) < len(timeline.done) / 4


def _means(rates: Sequence[float], half: int, step: float) -> Iterator[tuple[float, float]]:
    for index in range(len(rates)):
        near = rates[max(0, index - half) : index + half + 1]
        yield (index + 0.5) * step, sum(near) / len(near)


def lanes(timeline: Timeline, rows: Sequence[Lane]) -> str:
    """Draw a row for each lane, the first at the top, with its spans as bars."""
    names = [{"label": _padded(lane.name), "value": -index} for index, lane in enumerate(rows)]
    chart = _chart(
        timeline.period, len(rows) * _ROW + _AXIS, 0.5, least=0.5 - len(rows), names=names
    )
    for share in _SHARES:
        points: Points = []
        for index, lane in enumerate(rows):
            for span in lane.spans:
                if span.share == share:
                    points += [(span.begin, -index), (span.end, -index), (None, None)]
        chart.add(f"{share}", points)
    return _svg(chart)


def histogram_of(durations: Durations) -> str:
    """Draw how many chunks took how long; the last bar holds all that took longer."""
    import pygal

    bars = [(count, begin, end) for count, begin, end in durations.bars]
    starts = [begin for _, begin, _ in durations.bars][::4]
    chart = pygal.Histogram(
        **_options(200),
        x_labels=[
            {"label": figures.duration(value, fine=True) if value else "0", "value": value}
            for value in starts
        ],
        y_labels=_figures(max(count for count, _, _ in bars)),
    )
    chart.add("chunks", bars)
    return _svg(chart)


def _chart(
    period: Period,
    height: int,
    most: float,
    *,
    least: float = 0.0,
    names: Sequence[dict[str, object]] = (),
) -> Any:
    """Return an empty chart over the time of a run."""
    import pygal

    return pygal.XY(
        **_options(height),
        show_dots=False,
        stroke=True,
        allow_interruptions=True,
        xrange=(0, period.seconds),
        range=(least, most or 1.0),
        x_labels=[*_ticks(period)],
        y_labels=list(names) or _figures(most),
    )


def _options(height: int) -> dict[str, object]:
    # What the page does not take from here is left out: titles, legends, scripts.
    return {
        "js": [],
        "width": _WIDTH,
        "height": height,
        "show_legend": False,
        "margin": 4,
        "spacing": 4,
        "disable_xml_declaration": True,
    }


def _ticks(period: Period) -> Iterator[dict[str, object]]:
    """Yield local times of day at whole steps, ``HH:MM`` or with seconds, and days where the run
    is longer than one."""
    t0, seconds = period.t0, period.seconds
    step = next((step for step in _STEPS if seconds / step <= _TICKS), _DAY)
    offset = time.localtime(t0).tm_gmtoff
    form = "%d %b" if step == _DAY else "%d %H:%M" if seconds > _DAY else "%H:%M"
    form = "%H:%M:%S" if step < 60 else form
    t = t0 + (-(t0 + offset)) % step
    while t <= t0 + seconds:
        yield {"label": time.strftime(form, time.localtime(t)), "value": t - t0}
        t += step


def _figures(most: float) -> list[dict[str, object]]:
    """Return round figures from zero to near ``most`` for an axis."""
    power = 10.0 ** len(f"{most:.0f}") / 1000 if most >= 1 else 0.001
    steps = [base * power * scale for scale in (1, 10, 100, 1000) for base in (1, 2, 5)]
    step = next((step for step in steps if most / step <= 5), most or 1.0)
    values = [step * index for index in range(6) if step * index <= (most or step)]
    return [{"label": _padded(figures.amount(value)), "value": value} for value in values]


def _padded(name: str) -> str:
    return name.rjust(_NAME, "\N{NO-BREAK SPACE}")


def _svg(chart: Any) -> str:
    """Return a chart as SVG for a page: without scripts, styles, links, and what only scripts
    would show."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or _is_idle(child):
                parent.remove(child)
    for series in root.iter("g"):
        _join(series)
    root.attrib.pop("id", None)
    root.attrib.pop("xmlns:xlink", None)
    return ET.tostring(root, encoding="unicode")


def _is_idle(node: ET.Element) -> bool:
    kind = node.attrib.get("class", "")
    return (
        node.tag in {"defs", "script", "style", "title", "desc"}
        or kind in {"titles", "background"}
        or kind.endswith("overlay")
    )


def _join(series: ET.Element) -> None:
    """Make one path of all bars of a series."""
    paths = [child for child in series if child.tag == "path" and "line" in child.get("class", "")]
    if "series" not in series.get("class", "") or len(paths) <= 1:
        return
    for first, other in pairwise(paths):
        del first
        series.remove(other)
    paths[0].set("d", " ".join(_short(path.get("d", "")) for path in paths))


def _short(path: str) -> str:
    """Return a path with a tenth of a pixel."""
    return " ".join(
        word if word[:1].isalpha() and len(word) == 1 else _rounded(word) for word in path.split()
    )


def _rounded(word: str) -> str:
    letter = word[:1] if word[:1].isalpha() else ""
    return f"{letter}{float(word.removeprefix(letter)):.1f}"
