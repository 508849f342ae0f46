"""Builds log lines: one JSON object, or one line of text for a terminal; redacted, and safe."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from geobatch_tui.observability.redact import redact_value, suspicious
from geobatch_tui.observability.text import safe, safe_lines

#: Fields of a line in their order; a line has those that apply. Others follow behind.
FIELDS = (
    "time",
    "level",
    "logger",
    "message",
    "event",
    "run_id",
    "batch_id",
    "item",
    "chunk",
    "chunk_offset",
    "attempt",
    "stage",
    "duration_ms",
    "crs_source",
    "error_class",
    "error_message",
    "traceback",
    "worker",
)
_AFTER_RUN = FIELDS[FIELDS.index("batch_id") + 1 :]
_PLACES = frozenset(_AFTER_RUN)
_ORDERS = 256  # lines of one event have the same fields
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_UNFIT = re.compile("[\x7f\ud800-\udfff]")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class LineMaker:
    """Makes the lines of one run; ``run_id`` is also the ``batch_id`` of every line."""

    def __init__(self, run_id: str) -> None:
        self._run = f'"run_id":{_encode(safe(run_id))},"batch_id":{_encode(safe(run_id))}'
        self._second = -1
        self._stamp = ""
        #: Names of the fields of an event, in their order, by those that are given.
        self._orders: dict[tuple[str, ...], list[str]] = {}

    def json_line(
        self,
        now: float,
        level: str,
        logger: str,
        event: str,
        message: str,
        fields: Mapping[str, object],
    ) -> str:
        """Make a line: a JSON object in ASCII, without its break; ``now`` since the epoch.

        Fields that are None are left out. Non-finite numbers and foreign objects become text.
        """
        whole = {"level": level, "logger": logger, "message": message, "event": event}
        extra = self._ordered(fields)
        try:
            line = self._object(now, whole, extra)
        except (TypeError, ValueError):
            whole, extra = _plain(whole), _plain(extra)
            line = self._object(now, whole, extra)
        if "\\ud" in line or "\x7f" in line or suspicious(line):
            line = self._object(now, _clean(whole), _clean(extra))
        return line

    def _ordered(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return the fields that apply, in their order."""
        given = tuple(fields)
        order = self._orders.get(given)
        if order is None:
            order = [name for name in _AFTER_RUN if name in fields]
            order += [name for name in given if name not in _PLACES]
            if len(self._orders) < _ORDERS:
                self._orders[given] = order
        return {name: value for name in order if (value := fields[name]) is not None}

    def _object(self, now: float, whole: Mapping[str, object], extra: Mapping[str, object]) -> str:
        start, tail = _encode(whole)[1:-1], _encode(extra)[1:]
        comma = "," if extra else ""
        return f'{{"time":"{self.stamp(now)}",{start},{self._run}{comma}{tail}'

    def stamp(self, now: float) -> str:
        """Write ``now`` as UTC with milliseconds: ``2026-11-24T12:53:01.123Z``."""
        second = math.floor(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"


def text_line(
    now: float, level: str, message: str, event: str, fields: Mapping[str, object]
) -> str:
    """Make a line for a terminal, in local time, without anything that could drive it."""
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    words = [message or event]
    place = fields.get("chunk") or fields.get("item")
    if place:
        words.append(f"[{place}]")
    if fields.get("error_message"):
        words.append(f"{fields.get('error_class') or 'error'}: {fields['error_message']}")
    if fields.get("stage") and fields.get("error_class"):
        words.append(f"(while: {fields['stage']})")
    return f"{clock} {level:<7} {safe(str(redact_value(' '.join(words))))}"


def early_line(event: str, message: str, *, as_text: bool) -> str:
    """Make a line of what happens before there is a run."""
    now, level = time.time(), "info"
    if as_text:
        return text_line(now, level, message, event, {})
    return LineMaker("").json_line(now, level, "geobatch", event, message, {})


def _clean(value: object) -> Any:
    """Take credentials, and characters that no JSON reader should meet, out of ``value``."""
    return _visible(redact_value(value))


def _visible(value: object) -> object:
    if isinstance(value, str):
        return safe_lines(value) if _UNFIT.search(value) else value
    if isinstance(value, Mapping):
        return {_visible(key): _visible(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_visible(entry) for entry in value]
    return value


def _plain(value: object) -> Any:
    """Turn ``value`` into types that JSON has; any other becomes text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    return str(value)
