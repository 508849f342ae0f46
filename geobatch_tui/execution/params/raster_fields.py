"""Fields that parameters of raster operations share."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field


def semantic(default: Any, text: str, unit: str = "") -> Any:
    """A field whose change makes outputs stale; ``text`` is its help, ``unit`` its unit."""
    return Field(default, description=text, json_schema_extra={"unit": unit, "kind": "semantic"})


def _parse_nodata(value: Any) -> Any:
    """Numbers may come as text, from the environment or the command line; so may "nan"."""
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
    BeforeValidator(_parse_nodata),
    AfterValidator(_finite_or_nan),
]
Nodata = Annotated[
    int | float | None, BeforeValidator(_parse_nodata), AfterValidator(_finite_or_nan)
]


def _texts(value: Any) -> Any:
    """Values of options may be written as numbers or booleans; GDAL takes text."""
    if not isinstance(value, dict):
        return value
    return {
        str(name).upper(): ("YES" if text else "NO") if isinstance(text, bool) else str(text)
        for name, text in value.items()
    }


Options = Annotated[dict[str, str], BeforeValidator(_texts)]
