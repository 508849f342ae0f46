"""Kinds of fields of parameters, and values that several operations take."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from geobatch_tui.execution.io.digest import digest_of, short_digest, state_of

#: The entries of a colour map, as ``value_tables.colour_entries`` gives them.
Colors = tuple[tuple[str, int, int, int, int], ...]


def semantic(default: Any, text: str, unit: str = "", **marks: bool | str) -> Any:
    """Make a field whose change makes outputs stale; ``text`` is its help.

    ``marks``: ``path`` "@" where a value that begins so names a file; ``found`` where the value is
    found when the job is read, so that no job file gives it.
    """
    return Field(
        default, description=text, json_schema_extra={"unit": unit, "kind": "semantic", **marks}
    )


def operational(default: Any, text: str, unit: str = "", **marks: bool | str) -> Any:
    """Make a field that never changes an output; ``text`` is its help.

    ``marks``: ``path`` of a file that is read ("@": if it begins with that sign), ``writes`` for a
    folder that is written to.
    """
    return Field(
        default, description=text, json_schema_extra={"unit": unit, "kind": "operational", **marks}
    )


def second_file(text: str) -> Any:
    """Make a field that names a file which features are compared with; ``text`` is its help.

    Its digest (:func:`with_digest`) makes outputs stale, not its name.
    """
    return operational("", text, path=True)


def with_digest(values: object, name: str) -> object:
    """Return raw parameters with the digest of the file that field ``name`` names: BLAKE2b-128 in
    hex, in the field ``<name>_digest``, unless there is one. Raises ValueError if it cannot be
    read."""
    if not isinstance(values, dict) or not values.get(name) or values.get(f"{name}_digest"):
        return values
    path = str(values[name])
    try:
        return {**values, f"{name}_digest": digest_of(path, short_digest())[0]}
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from error


def color_map(text: str) -> Any:
    """Make a field that names a file with colours; ``text`` is its help. The field ``colors``
    beside it is for what the file holds (:func:`with_colors`), which makes outputs stale."""
    return operational("", text, path=True)


def with_colors(data: Any) -> Any:
    """Return raw parameters with the entries of the file ``color_map``, unless they are there.
    Raises ValueError if it holds no colours."""
    if not isinstance(data, dict) or not data.get("color_map") or data.get("colors"):
        return data
    path = str(data["color_map"])
    try:
        from geobatch_tui.execution.params import value_tables

        return data | {"colors": value_tables.colour_entries(value_tables.read_text(path))}
    except ValueError as error:
        text = str(error)
        raise ValueError(
            f"color_map: {text}" if text.startswith(path) else f"color_map: {path}: {text}"
        ) from None


def with_state(values: object, name: str) -> object:
    """Do what :func:`with_digest` does with size and time, in the field ``<name>_state``."""
    if not isinstance(values, dict) or not values.get(name) or values.get(f"{name}_state"):
        return values
    path = str(values[name])
    try:
        return {**values, f"{name}_state": state_of(path)}
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from error


def text_of(value: object) -> object:
    """Return the text of the file that a value names behind ``@``; other values as they are."""
    named = isinstance(value, str) and value.startswith("@")
    if not named:
        return value
    from geobatch_tui.execution.params import value_tables

    return value_tables.read_text(str(value)[1:])


def parse_nodata(value: object) -> object:
    """Read numbers that come as text, from the environment or the command line; also "nan"."""
    if isinstance(value, bool):
        raise ValueError("nodata is a number")  # noqa: TRY004 -- pydantic wants ValueError
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    try:
        return int(text)
    except ValueError:
        return text if text == "none" else float(text)


def _finite_or_nan(value: float | str | None) -> float | str | None:
    if isinstance(value, float) and math.isinf(value):
        raise ValueError("nodata cannot be infinite")
    return value


SourceNodata = Annotated[
    int | float | Literal["none"] | None,
    BeforeValidator(parse_nodata),
    AfterValidator(_finite_or_nan),
]
Nodata = Annotated[
    int | float | None, BeforeValidator(parse_nodata), AfterValidator(_finite_or_nan)
]


def _texts(value: object) -> object:
    """Turn values of options, which may be numbers or booleans, into the text that GDAL takes."""
    if not isinstance(value, dict):
        return value
    return {
        str(name).upper(): ("YES" if text else "NO") if isinstance(text, bool) else str(text)
        for name, text in value.items()
    }


Options = Annotated[dict[str, str], BeforeValidator(_texts)]
