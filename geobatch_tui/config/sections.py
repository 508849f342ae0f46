"""The sections of a job, but for ``op``: every key with its type, help, unit, default and kind.

A *semantic* value decides output bytes, so a change makes chunks stale; an *operational* one
never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from geobatch_tui.config import units
from geobatch_tui.config.creation import check_creation
from geobatch_tui.config.setting_types import (
    AutoBytes,
    AutoDuration,
    CreationValue,
    CrsText,
    Duration,
    Inputs,
    LocalPath,
    NoDuration,
    NoLimit,
)

Kind = Literal["semantic", "operational"]


def setting(
    default: Any = ...,
    *,
    help: str,  # noqa: A002 - the word of argparse, click and typer
    kind: Kind,
    unit: str = "",
    **constraints: Any,
) -> Any:
    """Make a leaf of the schema; ``default`` is what a job file would write.

    ``marks``: ``path`` for values that are relative to where they were written, ``fold`` for
    mappings whose names are written in any case.
    """
    extra = {"kind": kind, "unit": unit, **constraints.pop("marks", {})}
    if "default_factory" not in constraints:
        constraints["default"] = default
    return Field(description=help, json_schema_extra=extra, **constraints)


class Section(BaseModel):
    """Base of the sections: frozen, strict about types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class JobSection(Section):
    """The name of the job."""

    name: str = setting(
        "", kind="operational", help="Name of the job in logs and lists; empty: the file's name."
    )


class SourceSection(Section):
    """The sources, and the CRS that they have or get."""

    inputs: Inputs = setting(
        kind="operational",
        min_length=1,
        marks={"path": True},
        help='Files, directories, globs, URLs, or "@list.txt" for a text file of paths.',
    )
    layer: str = setting(
        "",
        kind="semantic",
        help="Vector layer; required when a file has several. *: one item a layer.",
    )
    src_crs: CrsText = setting(
        "", kind="semantic", help="CRS of files that have none; the others keep their own."
    )
    override_crs: CrsText = setting(
        "",
        kind="semantic",
        help="CRS that replaces that of every file, for files that say a wrong one.",
    )
    require_crs: CrsText = setting(
        "", kind="operational", help="Refuse, before any pixel is read, what is not in this CRS."
    )
    allow_vrt: bool = setting(
        False,
        kind="operational",
        help="Read VRT files too: a VRT may name any other file, so it must be asked for.",
    )


class OutputSection(Section):
    """The outputs: place, format, and what becomes of others there."""

    dir: LocalPath = setting(
        kind="operational",
        marks={"path": True},
        help="Directory of the outputs; the run keeps its state in .geobatch/ there.",
    )
    format: Literal[
        "COG", "GTiff", "GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq", "Shapefile"
    ] = setting(
        "COG",
        kind="semantic",
        help="Output format; the default of vector operations is GeoParquet.",
    )
    creation: dict[str, CreationValue] = setting(
        default_factory=dict,
        kind="semantic",
        marks={"fold": True},
        help="Creation options by GDAL's names: compress, level, predictor, blocksize and so on.",
    )
    allow_lossy: bool = setting(
        False,
        kind="operational",
        help="Write a Shapefile (.shp.zip) though it loses what the plan lists.",
    )
    on_dead_chunk: Literal["hold", "fill"] = setting(
        "hold",
        kind="operational",
        help="hold: publish an item only when whole; fill: with nodata in place of dead chunks.",
    )
    if_exists: Literal["skip", "overwrite", "fail"] = setting(
        "skip",
        kind="operational",
        help="An output that exists: skip (only on a matching fingerprint), overwrite, or fail.",
    )
    manifest: bool = setting(
        False,
        kind="operational",
        help="List what is published in outputs.json there, as `geobatch outputs --json` does.",
    )

    state: Literal["beside", "local"] = setting(
        "beside",
        kind="operational",
        help="The ledger: beside the outputs, or local: in the user's state directory, for this "
        "machine alone.",
    )

    @field_validator("creation", mode="before")
    @classmethod
    def _known_options(cls, value: object) -> object:
        return check_creation(value) if isinstance(value, Mapping) else value


class EngineSection(Section):
    """Workers, chunks and limits; nothing here changes a byte of any output."""

    executor: Literal["process", "thread"] = setting(
        "process", kind="operational", help="Workers are processes, or threads of one process."
    )
    sandbox: Literal["auto", "off"] = setting(
        "auto",
        kind="operational",
        help="Workers can write only where the job does, and use no TCP: auto, where Linux has "
        "Landlock.",
    )
    max_workers: int = setting(
        0,
        kind="operational",
        unit="workers",
        ge=0,
        le=1024,
        help="Workers at once; 0: the cores that this process may use.",
    )
    max_open_files: int = setting(
        32, kind="operational", unit="files", ge=4, help="Datasets open at once, in all workers."
    )
    memory_budget: AutoBytes = setting(
        "auto",
        kind="operational",
        unit="bytes",
        help="Limit for everything: windows, caches, workers. auto: 80 % of what is available.",
    )
    chunk_cols: int = setting(
        0, kind="operational", unit="pixels", ge=0, help="Width of a chunk; 0: chosen."
    )
    chunk_rows: int = setting(
        0, kind="operational", unit="pixels", ge=0, help="Height of a chunk; 0: chosen."
    )
    chunk_features: int = setting(
        0, kind="operational", unit="features", ge=0, help="Features in a chunk; 0: chosen."
    )
    chunk_timeout: AutoDuration = setting(
        "auto",
        kind="operational",
        unit="s",
        help="A chunk that runs longer is ended with its worker. auto: from the durations seen.",
    )
    space_wait: Duration = setting(
        "30m",
        kind="operational",
        unit="s",
        help="How long a run waits for space on a full disk, without progress, before it ends.",
    )
    max_duration: NoDuration = setting(
        "",
        kind="operational",
        unit="s",
        help="The run drains after this time and can be resumed; empty: no limit.",
    )


class RetrySection(Section):
    """Attempts at failed chunks."""

    max_attempts: int = setting(
        5, kind="operational", unit="attempts", ge=1, le=100, help="Attempts for one chunk in all."
    )
    backoff_base: Duration = setting(
        "0.5s", kind="operational", unit="s", help="Longest wait before the second attempt."
    )
    backoff_cap: Duration = setting(
        "1m", kind="operational", unit="s", help="Longest wait before any attempt."
    )

    @field_validator("backoff_cap")
    @classmethod
    def _cap_over_base(cls, cap: float, info: ValidationInfo) -> float:
        base = info.data.get("backoff_base", 0.0)
        if cap < base:
            raise ValueError(f"must not be under backoff_base ({units.format_duration(base)})")
        return cap


class FailuresSection(Section):
    """The failures after which a run gives up."""

    max_failures: NoLimit = setting(
        "",
        kind="operational",
        unit="chunks",
        help="Stop the run when so many chunks are dead: a number, or a share as 5%; empty: never.",
    )


class LogSection(Section):
    """Log lines on stderr and in files; .geobatch/log.jsonl is always written."""

    format: Literal["auto", "json", "text"] = setting(
        "auto", kind="operational", help="auto: text on a terminal, JSON lines elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", kind="operational", help="Least level that is logged."
    )
    file: str = setting(
        "", kind="operational", marks={"path": True}, help="One more file for the log lines."
    )
