"""The sections of a job, but for ``op``: every key with its type, default, help, unit and kind.

A *semantic* value decides output bytes, so a change makes chunks stale; an *operational* one
never does. Defaults are what a job file would write. ``path`` marks values that are relative to
where they were written, ``fold`` mappings whose names are written in any case.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from geobatch_tui.config import units
from geobatch_tui.config.setting_types import (
    AutoBytes,
    AutoDuration,
    CreationOptions,
    CrsText,
    Duration,
    Inputs,
    NoDuration,
    NoLimit,
    OutputPlace,
)
from geobatch_tui.execution.params.param_fields import operational, semantic

Count = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """Base of the sections: frozen, strict about types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class JobSection(Section):
    """The name of the job."""

    name: str = operational("", "Name of the job in logs and lists; empty: the file's name.")


class SourceSection(Section):
    """The sources, and the CRS that they have or get."""

    inputs: Inputs = operational(
        ...,
        'Files, directories, globs, URLs, "@list.txt" for a text file of paths, or STAC: '
        '{ stac = "items.json", assets = ["B04"] }.',
        path=True,
    )
    layer: str = semantic(
        "", "Vector layer; required when a file has several. *: one item a layer."
    )
    src_crs: CrsText = semantic("", "CRS of files that have none; the others keep their own.")
    override_crs: CrsText = semantic(
        "", "CRS that replaces that of every file, for files that say a wrong one."
    )
    require_crs: CrsText = operational(
        "", "Refuse, before any pixel is read, what is not in this CRS."
    )
    allow_vrt: bool = operational(
        False, "Read VRT files too: a VRT may name any other file, so it must be asked for."
    )
    allow_code: bool = operational(
        False, "Run functions (use) that do not lie beside the job file, or are somebody else's."
    )


class OutputSection(Section):
    """The outputs: place, format, and what becomes of others there."""

    dir: OutputPlace = operational(
        ...,
        "Directory of the outputs; the run keeps its state in .geobatch/ there. Or a prefix in a "
        "store, as s3://bucket/prefix; the state is in the user's state directory then.",
        path=True,
    )
    format: Literal[
        "COG", "GTiff", "GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq", "Shapefile"
    ] = semantic("COG", "Output format; the default of vector operations is GeoParquet.")
    creation: CreationOptions = Field(
        default_factory=dict,
        description="Creation options by GDAL's names: compress, level, predictor, blocksize "
        "and so on.",
        json_schema_extra={"unit": "", "kind": "semantic", "fold": True},
    )
    allow_lossy: bool = operational(
        False, "Write a Shapefile (.shp.zip) though it loses what the plan lists."
    )
    on_dead_chunk: Literal["hold", "fill"] = operational(
        "hold", "hold: publish an item only when whole; fill: with nodata in place of dead chunks."
    )
    if_exists: Literal["skip", "overwrite", "fail"] = operational(
        "skip",
        "An output that exists: skip (only on a matching fingerprint), overwrite, or fail.",
    )
    manifest: bool = operational(
        False, "List what is published in outputs.json there, as `geobatch outputs --json` does."
    )
    stac: bool = operational(
        False, "Write a STAC item beside each output, and collection.json there."
    )
    state: Literal["beside", "local"] = operational(
        "beside",
        "The ledger: beside the outputs, or local: in the user's state directory, for this "
        "machine alone.",
    )


class EngineSection(Section):
    """Workers, chunks and limits; nothing here changes a byte of any output."""

    executor: Literal["process", "thread", "dask"] = operational(
        "process",
        "Workers are processes, threads of one process, or processes on the nodes of a Dask "
        "cluster (see dask).",
    )
    sandbox: Literal["auto", "off"] = operational(
        "auto",
        "Workers can write only where the job does, and use no TCP: auto, where Linux has "
        "Landlock.",
    )
    max_workers: Annotated[Count, Field(le=1024)] = operational(
        0, "Workers at once; 0: the cores that this process may use.", "workers"
    )
    max_open_files: Annotated[int, Field(ge=4)] = operational(
        32, "Datasets open at once, in all workers.", "files"
    )
    memory_budget: AutoBytes = operational(
        "auto",
        "Limit for everything: windows, caches, workers. auto: 80 % of what is available.",
        "bytes",
    )
    chunk_cols: Count = operational(0, "Width of a chunk; 0: chosen.", "pixels")
    chunk_rows: Count = operational(0, "Height of a chunk; 0: chosen.", "pixels")
    chunk_features: Count = operational(0, "Features in a chunk; 0: chosen.", "features")
    chunk_timeout: AutoDuration = operational(
        "auto",
        "A chunk that runs longer is ended with its worker. auto: from the durations seen.",
        "s",
    )
    space_wait: Duration = operational(
        "30m",
        "How long a run waits for space on a full disk, or for a store that is away, without "
        "progress, before it ends.",
        "s",
    )
    max_duration: NoDuration = operational(
        "", "The run drains after this time and can be resumed; empty: no limit.", "s"
    )


class RetrySection(Section):
    """Attempts at failed chunks."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = operational(
        5, "Attempts for one chunk in all.", "attempts"
    )
    backoff_base: Duration = operational("0.5s", "Longest wait before the second attempt.", "s")
    backoff_cap: Duration = operational("1m", "Longest wait before any attempt.", "s")

    @field_validator("backoff_cap")
    @classmethod
    def _cap_over_base(cls, cap: float, info: ValidationInfo) -> float:
        base = info.data.get("backoff_base", 0.0)
        if cap < base:
            raise ValueError(f"must not be under backoff_base ({units.format_duration(base)})")
        return cap


class FailuresSection(Section):
    """The failures after which a run gives up."""

    max_failures: NoLimit = operational(
        "",
        "Stop the run when so many chunks are dead: a number, or a share as 5%; empty: never.",
        "chunks",
    )


class LogSection(Section):
    """Log lines on stderr and in files; .geobatch/log.jsonl is always written."""

    format: Literal["auto", "json", "text"] = operational(
        "auto", "auto: text on a terminal, JSON lines elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = operational(
        "info", "Least level that is logged."
    )
    file: str = operational("", "One more file for the log lines.", path=True)
