"""What a report says of a run: counts, causes, figures of chunks and items, and parameters.

All texts are foreign: they are made safe for a terminal here, and escaped where the page is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.layers import flat
from geobatch_tui.ledger.schema.updates import ChunkState, ItemState
from geobatch_tui.observability import figures
from geobatch_tui.observability.rates import named, overall
from geobatch_tui.observability.text import harmless, safe
from geobatch_tui.tui.report.work_timeline import ChunkTimes, Period, timeline_of

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.tui.report.work_timeline import Timeline
    from geobatch_tui.tui.run.model import DeadGroup, ItemView, View
    from geobatch_tui.tui.run.store import RunStore

SLOWEST: Final = 20
CAUSES: Final = 50
PLACES: Final = 3  #: of a cause
ITEMS: Final = 40
_BARS: Final = 24
_VALUE: Final = 400  #: characters of a parameter
_PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class SlowChunk:
    """A chunk that took long."""

    name: str
    seconds: float
    reading: float
    writing: float
    attempts: int
    memory: str
    bytes_out: str


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An item: chunks that are done and dead, of how many, and the seconds of work in them."""

    name: str
    state: str
    done: int
    dead: int
    total: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CauseLine:
    """Dead letters of one cause, with the places of the first ones."""

    group: DeadGroup
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter, and the layer that set it. ``where``: in which file and line."""

    key: str
    value: str
    layer: str
    where: str


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of chunks: percentiles by name, and bars of counts, each from ``begin`` to
    ``end``."""

    marks: tuple[tuple[str, float], ...]
    bars: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All that a report says. ``more`` of a list: how many there are beyond what is in it."""

    directory: str
    view: View
    state: str
    facts: tuple[tuple[str, str], ...]
    causes: tuple[CauseLine, ...]
    more_causes: int
    durations: Durations | None
    slowest: tuple[SlowChunk, ...]
    items: tuple[ItemLine, ...]
    more_items: int
    settings: tuple[Setting, ...]
    defaults: tuple[Setting, ...]
    versions: tuple[tuple[str, str], ...]
    undefined: int
    timeline: Timeline


def read_facts(store: RunStore, seconds: array[float]) -> RunFacts:
    """Read what there is to say of the newest run, once the store was polled; ``seconds`` that each
    chunk took. Raises StateError where the ledger cannot be read."""
    view = store.view
    run = view.run
    # Nobody saw a run crash: the last that it wrote is the nearest to it.
    length = view.elapsed_s
    if run is not None and run.t1 is None and not view.live:
        length = max(0.0, store.reading(_last_sign) - run.t0)
    period = Period(run.t0 if run else 0.0, max(length, 1.0))
    times = ChunkTimes(store.figures("ended"), seconds, store.figures("worker"))
    timeline = timeline_of(period, times, store.log_path, run.run_id if run else "")
    causes = [_cause(group, store) for group in view.groups[:CAUSES]]
    settings = _settings(run.job if run else {})
    items = _items(store, seconds)
    versions = run.versions if run else {}
    return RunFacts(
        directory=safe(str(store.directory.absolute())),
        view=view,
        state=safe(view.state),
        facts=tuple(_facts(view, length)),
        causes=tuple(causes),
        more_causes=len(view.groups) - len(causes),
        durations=_durations(seconds),
        slowest=tuple(_slowest(store, seconds)),
        items=tuple(items),
        more_items=len(store.items) - len(items),
        settings=tuple(one for one in settings if one.layer != "default"),
        defaults=tuple(one for one in settings if one.layer == "default"),
        versions=tuple((safe(str(key)), safe(str(value))) for key, value in versions.items()),
        undefined=store.reading(_undefined),
        timeline=timeline,
    )


def _last_sign(reader: LedgerReader) -> float:
    return reader.last_sign()


def _undefined(reader: LedgerReader) -> int:
    return reader.undefined_pixels()


def _facts(view: View, length: float) -> list[tuple[str, str]]:
    """Return the figures of the run, each with its name."""
    run = view.run
    if run is None:
        return []
    rates = overall(run.totals, length)
    named_rates = {**rates, **named(rates.get("units_per_s") or 0.0, view.unit_name)}
    found = {
        "took": figures.duration(length),
        "work in workers": figures.duration(run.seconds),
        "done in this run": figures.plural(run.n_done, "chunk"),
        "needed no work": figures.plural(view.current, "chunk") if view.current else "",
        "failed attempts": figures.count(run.n_retry) if run.n_retry else "",
        "rate": figures.rates(named_rates),
        "read": figures.size(run.bytes_in),
        "written": figures.size(run.bytes_out),
        "exit code": "" if run.exit_code is None else str(run.exit_code),
        "reason": "" if run.reason in {"complete", view.state} else safe(run.reason),
        "host": view.host,
        "run": safe(run.run_id),
    }
    return [(name, text) for name, text in found.items() if text]


def _cause(group: DeadGroup, store: RunStore) -> CauseLine:
    letters = (store.letters.get(number) for number in group.letters[:PLACES])
    return CauseLine(group, tuple(letter.where for letter in letters if letter is not None))


def _durations(seconds: Sequence[float]) -> Durations | None:
    """Return percentiles and bars of equal width up to the 99th; the last one holds the rest."""
    known = sorted(value for value in seconds if value > 0)
    if not known:
        return None
    last = len(known) - 1
    marks = [(f"p{part}", known[round(last * part / 100)]) for part in _PERCENTILES]
    width = (known[round(last * 0.99)] or known[-1]) / _BARS
    counts = [0] * (_BARS + 1)
    for value in known:
        counts[min(_BARS, int(value / width))] += 1
    bars = tuple((count, n * width, (n + 1) * width) for n, count in enumerate(counts))
    return Durations((*((name, value) for name, value in marks), ("longest", known[-1])), bars)


def _slowest(store: RunStore, seconds: Sequence[float]) -> list[SlowChunk]:
    places = nlargest(SLOWEST, range(len(seconds)), key=seconds.__getitem__)
    places = [place for place in places if seconds[place] > 0]
    names = ("reading", "writing", "attempts", "rss_bytes", "bytes_out")
    reading, writing, attempts, memory, written = (store.figures_at(places, name) for name in names)
    return [
        SlowChunk(
            store.label(place),
            seconds[place],
            reading[place],
            writing[place],
            int(attempts[place]),
            figures.size(memory[place]),
            figures.size(written[place]),
        )
        for place in places
    ]


def _items(store: RunStore, seconds: array[float]) -> list[ItemLine]:
    """Return the items that a reader looks for: first those that went wrong, then those that took
    longest."""
    states = store.states
    lines = (_item(item, states, seconds) for item in store.items)
    return nlargest(ITEMS, lines, key=lambda line: (line.dead > 0, line.seconds))


def _item(item: ItemView, states: bytearray, seconds: array[float]) -> ItemLine:
    end = item.first + item.n
    dead = item.n if item.state is ItemState.DEAD else 0
    return ItemLine(
        item.key,
        item.state.name.lower(),
        states.count(ChunkState.DONE, item.first, end),
        states.count(ChunkState.DEAD, item.first, end) or dead,
        item.n,
        sum(seconds[item.first : end]),
    )


def _settings(job: Json) -> list[Setting]:
    """Return the parameters of a kept job, in its order; secrets were masked when it was kept."""
    values: Mapping[str, object] = flat(job.get("job") or {})
    origins = job.get("origins") or {}
    found = []
    for key, value in values.items():
        layer, where = (*origins.get(key, ()), "", "")[:2]
        text = harmless(_words(value))
        text = text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…"
        found.append(Setting(safe(key), text, safe(str(layer)), safe(str(where))))
    return found


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return "-" if value in (None, "") else str(value)
