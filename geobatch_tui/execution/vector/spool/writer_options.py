"""Creation options of vector outputs, checked when the item is planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json

#: Least and most features of a row group, and bytes of source that it is to have.
FEWEST_ROWS, MOST_ROWS, SOURCE_BYTES = 10_000, 20_000, 16 * 2**20
#: Bytes of geometry after which a row group ends early.
ROW_GROUP_BYTES = 64 * 2**20
_CODECS = {"ZSTD": "zstd", "SNAPPY": "snappy", "GZIP": "gzip", "NONE": "none"}
_FLAGS = {"YES": True, "TRUE": True, "ON": True, "NO": False, "FALSE": False, "OFF": False}
_LEVELS = {"zstd": (1, 22), "gzip": (1, 9)}


def writer_options(output: Json) -> dict[str, str | int | bool | None]:
    """Check the options: ``codec``, ``level`` and ``sorted`` for GeoParquet; other formats take
    none. Raise PreflightError for another, or another value."""
    wanted = dict(output.get("creation") or {})
    form = str(output["format"])
    if not OUTPUT_FORMATS[form].is_parquet:
        if wanted:
            raise PreflightError(f"output.creation: {form} takes no option {next(iter(wanted))!r}")
        return {}
    if unknown := sorted(set(wanted) - {"compress", "level", "sort_by_bbox"}):
        raise PreflightError(
            "output.creation: GeoParquet takes compress, level and sort_by_bbox, not "
            f"{unknown[0]!r}"
        )
    ordered = str(wanted.get("sort_by_bbox", "NO")).upper()
    if ordered not in _FLAGS:
        raise PreflightError(f"output.creation.sort_by_bbox: {ordered!r} is neither YES nor NO")
    codec = _CODECS.get(str(wanted.get("compress", "ZSTD")).upper())
    if codec is None:
        raise PreflightError(
            f"output.creation.compress: {wanted['compress']!r} is none of {', '.join(_CODECS)}"
        )
    if codec not in _LEVELS:
        if "level" in wanted:
            raise PreflightError(f"output.creation.level: {codec} has no levels")
        return {"codec": codec, "level": None, "sorted": _FLAGS[ordered]}
    low, high = _LEVELS[codec]
    level = wanted.get("level", 1 if codec == "zstd" else 6)
    if not str(level).isdecimal() or not low <= int(level) <= high:
        raise PreflightError(f"output.creation.level: {level!r} is not {low} to {high}")
    return {"codec": codec, "level": int(level), "sorted": _FLAGS[ordered]}


def row_group(each: float) -> int:
    """Return the features of a row group, where one takes about ``each`` bytes in its source."""
    features = min(max(int(SOURCE_BYTES / each), FEWEST_ROWS), MOST_ROWS)
    return max(min(features, int(ROW_GROUP_BYTES / each)), 100)
