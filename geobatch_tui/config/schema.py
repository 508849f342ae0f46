"""The job: one schema behind files, environment, flags, ``config schema``, forms and docs.

Every leaf says its help, its unit, its default, and its kind: a *semantic* value decides output
bytes, so a change makes chunks stale; an *operational* one never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from geobatch_tui.config import crs, units
from geobatch_tui.config.creation import check_creation
from geobatch_tui.config.types import (
    AutoBytes,
    AutoDuration,
    CreationValue,
    CrsText,
    Duration,
    Inputs,
    NoDuration,
    NoLimit,
)
from geobatch_tui.execution.ops.registry import get_operation, operation_names
from geobatch_tui.observability.redact import redact_value

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Kind = Literal["semantic", "operational"]


def setting(
    default: Any = ...,
    *,
    help: str,  # noqa: A002 - the word of argparse, click and typer
    kind: Kind,
    unit: str = "",
    **constraints: Any,
) -> Any:
    """A leaf of the schema.

    ``marks``: ``path`` for values that are relative to where they were written, ``fold`` for
    mappings whose names are written in any case.
    """
    extra = {"kind": kind, "unit": unit, **constraints.pop("marks", {})}
    if "default_factory" not in constraints:
        constraints["default"] = default
    return Field(description=help, json_schema_extra=extra, **constraints)


class Section(BaseModel):
    """Base of the sections: frozen, strict about types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class JobSection(Section):
    """What the job is called."""

    name: str = setting(
        "", kind="operational", help="Name of the job in logs and lists; empty: the file's name."
    )


class SourceSection(Section):
    """What is read."""

    inputs: Inputs = setting(
        kind="operational",
        min_length=1,
        marks={"path": True},
        help='Files, directories, globs, URLs, or "@list.txt" for a text file of paths.',
    )
    layer: str = setting(
        "", kind="semantic", help="Vector layer; required when a file has several."
    )
    src_crs: CrsText = setting("", kind="semantic", help="CRS to assign to a file that has none.")
    require_crs: CrsText = setting(
        "", kind="operational", help="Refuse, before any pixel is read, what is not in this CRS."
    )
    allow_vrt: bool = setting(
        False,
        kind="operational",
        help="Read VRT files too: a VRT may name any other file, so it must be asked for.",
    )


class Op(BaseModel):
    """The operation: its ``name`` and its own parameters, side by side in the job file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = setting(kind="semantic", help="Operation to run; `geobatch ops` lists them.")
    params: BaseModel = Field(description="Parameters of the operation.")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Accepts the flat form of a job file and the form of the attributes."""
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            return data
        rest = {key: value for key, value in data.items() if key != "name"}
        if isinstance(rest.get("params"), BaseModel):
            return data
        return {"name": data["name"], "params": build_params(data["name"], rest)}

    @model_serializer(mode="plain")
    def _flatten(self) -> dict[str, Any]:
        return {"name": self.name, **self.params.model_dump(mode="json")}


class OutputSection(Section):
    """What is written, and where."""

    dir: str = setting(
        kind="operational",
        min_length=1,
        marks={"path": True},
        help="Directory of the outputs; the run keeps its state in .geobatch/ there.",
    )
    format: Literal["COG", "GTiff"] = setting("COG", kind="semantic", help="Output format.")
    creation: dict[str, CreationValue] = setting(
        default_factory=dict,
        kind="semantic",
        marks={"fold": True},
        help="Creation options by GDAL's names: compress, level, predictor, blocksize and so on.",
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

    @field_validator("creation", mode="before")
    @classmethod
    def _known_options(cls, value: Any) -> Any:
        return check_creation(value) if isinstance(value, Mapping) else value


class EngineSection(Section):
    """How the work is done; nothing here changes a byte of any output."""

    executor: Literal["process", "thread"] = setting(
        "process", kind="operational", help="Workers are processes, or threads of one process."
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
        32, kind="operational", unit="files", ge=2, help="Datasets open at once, in all workers."
    )
    memory_budget: AutoBytes = setting(
        None,
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
        None,
        kind="operational",
        unit="s",
        help="A chunk that runs longer is ended with its worker. auto: from the durations seen.",
    )
    space_wait: Duration = setting(
        1800.0,
        kind="operational",
        unit="s",
        help="How long a run waits for space on a full disk, without progress, before it ends.",
    )
    max_duration: NoDuration = setting(
        None,
        kind="operational",
        unit="s",
        help="The run drains after this time and can be resumed; empty: no limit.",
    )
    space_wait: Duration = setting(
        1800.0,
        kind="operational",
        unit="s",
        help="A full disk pauses the run; after this time without a finished chunk it ends.",
    )


class RetrySection(Section):
    """How failed chunks are tried again."""

    max_attempts: int = setting(
        5, kind="operational", unit="attempts", ge=1, le=100, help="Attempts for one chunk in all."
    )
    backoff_base: Duration = setting(
        0.5, kind="operational", unit="s", help="Longest wait before the second attempt."
    )
    backoff_cap: Duration = setting(
        60.0, kind="operational", unit="s", help="Longest wait before any attempt."
    )

    @field_validator("backoff_cap")
    @classmethod
    def _cap_over_base(cls, cap: float, info: ValidationInfo) -> float:
        base = info.data.get("backoff_base", 0.0)
        if cap < base:
            raise ValueError(f"must not be under backoff_base ({units.format_duration(base)})")
        return cap


class FailuresSection(Section):
    """When a run gives up."""

    max_failures: NoLimit = setting(
        None,
        kind="operational",
        unit="chunks",
        help="Stop the run when so many chunks are dead: a number, or a share as 5%; empty: never.",
    )


class LogSection(Section):
    """What is said on stderr and in files; .geobatch/log.jsonl is always written."""

    format: Literal["auto", "json", "text"] = setting(
        "auto", kind="operational", help="auto: text on a terminal, JSON lines elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", kind="operational", help="Least level that is logged."
    )
    file: str = setting(
        "", kind="operational", marks={"path": True}, help="One more file for the log lines."
    )


class Job(Section):
    """A whole job: what to read, what to do, what to write, and how."""

    job: JobSection = Field(default_factory=JobSection)
    source: SourceSection
    op: Op
    output: OutputSection
    engine: EngineSection = Field(default_factory=EngineSection)
    retry: RetrySection = Field(default_factory=RetrySection)
    failures: FailuresSection = Field(default_factory=FailuresSection)
    log: LogSection = Field(default_factory=LogSection)

    def semantic(self) -> dict[str, Any]:
        """The values that decide output bytes, JSON-ready, by section; for fingerprints.

        Creation options are folded, so that ``deflate`` and ``DEFLATE`` mean the same.
        """
        values = dump_job(self)
        chosen: dict[str, Any] = {}
        for name in type(self).model_fields:
            section = getattr(self, name)
            keep = _semantic_names(type(section.params if name == "op" else section))
            if name == "op":
                keep.add("name")
            part = {key: value for key, value in values[name].items() if key in keep}
            if part:
                chosen[name] = part
        chosen["output"]["creation"] = _folded(chosen["output"]["creation"])
        return chosen

    def effective(self, *, redacted: bool = True) -> dict[str, Any]:
        """All values with defaults, by section, JSON-ready; credentials masked if ``redacted``."""
        values = dump_job(self)
        return redact_value(values) if redacted else values


def dump_job(job: Job) -> dict[str, Any]:
    """``job`` as a job file would say it: sections of plain values, defaults included.

    ``Job.model_validate`` reads it back as an equal job.
    """
    return job.model_dump(mode="json")


def build_params(name: str, values: Mapping[str, Any]) -> BaseModel:
    """The parameters of operation ``name``, checked; keys that name a CRS against PROJ's list.

    Raises:
        ConfigError: there is no such operation.
        pydantic.ValidationError: the values do not fit it.
    """
    model = get_operation(name).params
    checked, wrong = dict(values), []
    for key, value in values.items():
        if names_crs(key) and isinstance(value, str) and value:
            try:
                checked[key] = crs.check_crs(value).text
            except ValueError as error:
                wrong.append(
                    InitErrorDetails(
                        type="value_error", loc=(key,), input=value, ctx={"error": error}
                    )
                )
    try:
        params = model.model_validate(checked)
    except ValidationError as error:
        wrong += [_raised_again(entry) for entry in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(name, wrong) from None
    if wrong:
        raise ValidationError.from_exception_data(name, wrong)
    return params


def json_schema(operation: str | None = None) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a job file, for one operation or (None) for all there are.

    Raises:
        ConfigError: there is no such operation.
    """
    schema = Job.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    definitions.pop(Op.__name__, None)
    definitions.pop("BaseModel", None)
    choices = []
    for name in [operation] if operation else operation_names():
        found = get_operation(name)
        template = f"#/$defs/{name}.{{model}}"
        params = found.params.model_json_schema(mode="validation", ref_template=template)
        inner = params.pop("$defs", {})
        definitions |= {f"{name}.{model}": body for model, body in inner.items()}
        choices.append(_op_schema(name, found.summary, params))
    schema["properties"]["op"] = {"oneOf": choices}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _op_schema(name: str, summary: str, params: dict[str, Any]) -> dict[str, Any]:
    """The ``op`` section for one operation: its name beside its parameters."""
    return {
        "title": name,
        "description": summary,
        "type": "object",
        "properties": {"name": {"const": name}, **params.get("properties", {})},
        "required": ["name", *params.get("required", [])],
        "additionalProperties": False,
    }


def names_crs(key: str) -> bool:
    """Whether a key holds a CRS, by its name: ``crs``, ``dst_crs``, ``bounds_crs`` and so on."""
    return key == "crs" or key.endswith("_crs")


def _raised_again(entry: ErrorDetails) -> InitErrorDetails:
    """An error that was caught, in the form that raises it once more."""
    known = entry["type"] in get_args(ErrorType)
    return InitErrorDetails(
        type=entry["type"]
        if known
        else PydanticCustomError("custom", "{text}", {"text": entry["msg"]}),
        loc=entry["loc"],
        input=entry["input"],
        ctx=entry.get("ctx", {}) if known else {"text": entry["msg"]},
    )


def _semantic_names(model: type[BaseModel]) -> set[str]:
    return {
        name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict)
        and field.json_schema_extra.get("kind") == "semantic"
    }


def _folded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Creation options with one spelling for one meaning, sorted by name."""
    words = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}

    def fold(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        low = value.strip().lower()
        return int(low) if low.isascii() and low.isdecimal() else words.get(low, low)

    return {name: fold(options[name]) for name in sorted(options)}
