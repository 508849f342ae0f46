"""Numbers as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """Bytes with a binary unit: 1536 is ``1.5 KiB``."""
    for unit in _BINARY[:-1]:
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_BINARY[-1]}"


def duration(seconds: float) -> str:
    """Seconds as ``0.4 s``, ``12 s``, ``3:07`` or ``2:05:09``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(value: float) -> str:
    """A rate with three figures: 0.42, 7.31, 85.2, 1,204."""
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def rates(values: Json) -> str:
    """Chunks, megapixels or features a second, of the ``rates`` of a result; "" without any."""
    names = {"chunks_per_s": "chunks/s", "mpx_per_s": "Mpx/s", "features_per_s": "features/s"}
    return ", ".join(
        f"{rate(values[key])} {unit}" for key, unit in names.items() if values.get(key)
    )


def plural(count: int, noun: str) -> str:
    """``1 chunk``, ``2 chunks``, ``12,000 chunks``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def words(command: str, *arguments: object) -> str:
    """A command line to type, its arguments quoted for a shell."""
    import shlex

    from geobatch_tui.observability.text import pasteable

    quoted = (shlex.quote(str(argument)) for argument in arguments)
    return pasteable(" ".join([command, *quoted]))
