"""Reads JSON that strangers wrote: bounded in bytes, depth and numbers, each value of its type.

Whatever is wrong with it ends in one sentence that says where, and never in the error of a parser.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import PreflightError
from geobatch_tui.observability.redact import redact_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Bytes of the largest document, and of the longest line of a file of lines.
LARGEST, LONGEST_LINE = 256 << 20, 4 << 20
#: Characters of a text that is kept as a fact, and entries that are kept.
_LONGEST_TEXT, _MOST_FACTS = 500, 100
_ADVICE = "ask whoever made the catalogue for a valid one, or list the files in @list.txt"


class _NoNumberError(ValueError):
    """NaN or an infinity, which Python's reader takes."""


def parsed(data: bytes | str, where: str) -> Any:
    """Parse one JSON document; ``where`` names it in messages.

    Raises:
        PreflightError: it is no JSON, nested too deeply, or holds a number that JSON has not.
    """
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise refusal(where, "it is nested too deeply") from None
    except UnicodeDecodeError:
        raise refusal(where, "it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise refusal(where, f"it is no JSON: {error.msg} ({place})") from None
    except _NoNumberError as error:
        raise refusal(where, str(error)) from None
    except ValueError:  # Python reads no whole number of so many digits
        raise refusal(where, "it holds a number of thousands of digits") from None


def _refuse_constant(name: str) -> None:
    raise _NoNumberError(f"it holds {name}, which is no number of JSON")


def refusal(where: str, why: str) -> PreflightError:
    """Return the error for a catalogue that cannot be read."""
    return PreflightError(f"{where}: {why}", hint=_ADVICE)


def text_of(values: Mapping[str, Any], name: str, where: str, *, required: bool = False) -> str:
    """Return the text of a member; empty if it is missing or null. Raises PreflightError if it is
    of another type, or ``required`` and missing."""
    value = values.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise refusal(where, f"{name} is {_kind(value)}, not text")
    return value


def table_of(values: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """Return the object that a member is. Raises PreflightError if it is none."""
    value = values.get(name)
    if not isinstance(value, dict):
        raise refusal(where, f"{name} is {_kind(value)}, not an object")
    return value


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    return kinds.get(type(value), "a number") if value != "" else "empty"


def short_facts(values: Mapping[str, Any]) -> dict[str, object]:
    """Return those entries of ``values`` that are kept as facts: short texts, numbers, booleans and
    lists of these, without signatures of URLs."""
    kept = ((name, value) for name, value in values.items() if _is_short(name) and _is_fact(value))
    facts: dict[str, object] = redact_value(dict(islice(kept, _MOST_FACTS)))
    return facts


def _is_fact(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST_FACTS // 4 and all(map(_is_scalar, value))
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return isinstance(value, bool | float) or _is_short(value)


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def lines_of(data: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """Yield the place and the document of each line that is not empty. Raises PreflightError as
    :func:`parsed`, or for a line that is too long."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip(b" \t\r\x1e"):
            place = f"{where}:{number}"
            if len(line) > LONGEST_LINE:
                raise refusal(place, f"a line of {len(line):,} bytes is no item")
            yield place, parsed(line.strip(b"\x1e"), place)
