"""The job: one schema behind files, environment, flags, ``config schema``, forms and docs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from geobatch_tui.config import crs
from geobatch_tui.config.chains import step_kinds
from geobatch_tui.config.cluster.dask_section import DaskSection
from geobatch_tui.config.notify.notify_section import NotifySection
from geobatch_tui.config.sections import (
    EngineSection,
    FailuresSection,
    JobSection,
    LogSection,
    OutputSection,
    RetrySection,
    Section,
    SourceSection,
)
from geobatch_tui.config.storage.store_section import STORAGE, StorageSection
from geobatch_tui.execution.ops.registry import (
    get_operation,
    is_operation,
    operation_names,
)
from geobatch_tui.execution.params.param_fields import semantic
from geobatch_tui.observability.redact import redact_value

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from geobatch_tui.execution.protocol.messages import Json


#: A job as plain values: sections, and the values of their keys.
type JobValues = dict[str, dict[str, Any]]

#: Formats that vector operations write; the first is their default.
VECTOR_FORMATS = ("GeoParquet", "FlatGeobuf", "GPKG", "GeoJSON", "GeoJSONSeq", "Shapefile")


class Op(BaseModel):
    """The operation: its ``name`` and its own parameters, side by side in the job file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = semantic(..., "Operation to run; `geobatch ops` lists them.")
    params: BaseModel = Field(description="Parameters of the operation.")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: object) -> object:
        """Accept the flat form of a job file and the form of the attributes."""
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            return data
        params = {key: value for key, value in data.items() if key != "name"}
        if isinstance(params.get("params"), BaseModel):
            return data
        return {"name": data["name"], "params": build_params(data["name"], params)}

    @model_serializer(mode="plain")
    def _flatten(self) -> dict[str, object]:
        return {"name": self.name, **self.params.model_dump()}


class Job(Section):
    """A whole job: what to read, what to do, what to write, and how."""

    job: JobSection = Field(default_factory=JobSection)
    source: SourceSection
    op: Op
    output: OutputSection
    engine: EngineSection = Field(default_factory=EngineSection)
    dask: DaskSection = Field(default_factory=DaskSection)
    retry: RetrySection = Field(default_factory=RetrySection)
    failures: FailuresSection = Field(default_factory=FailuresSection)
    log: LogSection = Field(default_factory=LogSection)
    notify: NotifySection = Field(default_factory=NotifySection)
    storage: StorageSection = Field(default_factory=StorageSection)

    @model_validator(mode="before")
    @classmethod
    def _default_format(cls, data: object) -> object:
        """Set a missing format to that of the operation's kind of data."""
        if not isinstance(data, Mapping):
            return data
        output, name = data.get("output"), _op_name(data.get("op"))
        if not isinstance(output, Mapping) or "format" in output or name is None:
            return data
        if get_operation(name).data == "vector":
            return {**data, "output": {**output, "format": VECTOR_FORMATS[0]}}
        return data

    @model_validator(mode="after")
    def _format_fits(self) -> Job:
        vector = get_operation(self.op.name).data == "vector"
        if vector != (self.output.format in VECTOR_FORMATS):
            known = ", ".join(VECTOR_FORMATS) if vector else "COG, GTiff"
            raise ValueError(
                f"output.format: {self.op.name} does not write {self.output.format}, but {known}"
            )
        return self

    @model_validator(mode="after")
    def _one_override(self) -> Job:
        if self.source.override_crs and getattr(self.op.params, "src_crs", ""):
            raise ValueError(
                "source.override_crs: op.src_crs too replaces the CRS of every file; leave one out"
            )
        return self

    def semantic(self) -> JobValues:
        """Return the values that decide output bytes, JSON-ready, by section; for fingerprints.

        Creation options are folded, so that ``deflate`` and ``DEFLATE`` mean the same.
        """
        values = dump_job(self)
        chosen: JobValues = {}
        for name in type(self).model_fields:
            section = getattr(self, name)
            keep = _semantic_names(type(section.params if name == "op" else section))
            if name == "op":
                keep.add("name")
            part = {key: value for key, value in values[name].items() if key in keep}
            if name == "op":
                part = _without_operational(section.params, part)
            if part:
                chosen[name] = part
        chosen["output"]["creation"] = _folded(chosen["output"]["creation"])
        return chosen

    def effective(self, *, redacted: bool = True) -> JobValues:
        """Return every value, by section, JSON-ready; credentials are masked if ``redacted``."""
        values = dump_job(self)
        masked: JobValues = redact_value(values)
        return masked if redacted else values


def _op_name(op: object) -> str | None:
    """Return the name of the operation in an unchecked ``op`` section, if it exists."""
    name = op.get("name") if isinstance(op, Mapping) else getattr(op, "name", None)
    return name if isinstance(name, str) and is_operation(name) else None


def dump_job(job: Job) -> JobValues:
    """Dump ``job`` as a job file would say it: sections of plain values, with defaults.

    ``Job.model_validate`` reads it back as an equal job. Numbers that JSON has not become text
    (``"nan"``): pydantic would make them null, and a nodata of NaN would be no nodata.
    """
    values = job.model_dump(mode="json", exclude={"op"})
    op = {"name": job.op.name, **job.op.params.model_dump(mode="json")}
    sections = {name: op if name == "op" else values[name] for name in type(job).model_fields}
    dumped: JobValues = _with_text_numbers(sections)
    return dumped


def _with_text_numbers(value: object) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {key: _with_text_numbers(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_text_numbers(entry) for entry in value]
    return value


def build_params(name: str, values: Mapping[str, object]) -> BaseModel:
    """Check the parameters of operation ``name``; a CRS also against PROJ's list.

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


def json_schema(operation: str | None = None) -> Json:
    """Make the JSON schema (draft 2020-12) of a job file, for one operation or (None) for all.
    Raises ConfigError if there is no such operation."""
    schema = Job.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    definitions.pop(Op.__name__, None)
    definitions.pop("BaseModel", None)
    choices: list[dict[str, Any]] = []
    for name in [operation] if operation else operation_names():
        op = get_operation(name)
        template = f"#/$defs/{name}.{{model}}"
        params = op.params.model_json_schema(mode="validation", ref_template=template)
        inner = params.pop("$defs", {})
        definitions |= {f"{name}.{model}": body for model, body in inner.items()}
        choices.append(
            {
                "title": name,
                "description": op.summary,
                "type": "object",
                "properties": {"name": {"const": name}, **params.get("properties", {})},
                "required": ["name", *params.get("required", [])],
                "additionalProperties": False,
            }
        )
    schema["properties"]["op"] = {"oneOf": choices}
    schema["properties"][STORAGE] = definitions.pop("StorageSection")["properties"]["stores"]
    chains = [
        choice["properties"]["steps"] for choice in choices if step_kinds.steps_of(choice["title"])
    ]
    if chains:
        _allow_chains(schema, chains)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _allow_chains(schema: dict[str, Any], chains: list[Json]) -> None:
    """Let a job have ``step`` or ``pipeline`` in place of ``op``; a pipeline may say what is read
    and where outputs go."""
    text = "A chain in GDAL's words: read a.tif ! hillshade ! write out; or a .gdalg.json file."
    file = {"type": "object", "properties": {"gdalg": {"type": "string"}}}
    closed = {"required": ["gdalg"], "additionalProperties": False}
    schema["properties"] |= {
        "step": {"title": "Step", "anyOf": chains},
        "pipeline": {"description": text, "anyOf": [{"type": "string"}, file | closed]},
    }
    schema["oneOf"] = [{"required": [name]} for name in ("op", "step", "pipeline")]
    schema["required"] = []
    ends = {"source": "SourceSection", "output": "OutputSection"}
    needed = {name: schema["$defs"][model].pop("required") for name, model in ends.items()}
    schema["if"] = {"not": {"required": ["pipeline"]}}
    schema["then"] = {
        "required": [*ends],
        "properties": {name: {"required": keys} for name, keys in needed.items()},
    }


def names_crs(key: str) -> bool:
    """Whether a key holds a CRS, by its name: ``crs``, ``dst_crs``, ``bounds_crs`` and so on."""
    return key == "crs" or key.endswith("_crs")


def _raised_again(entry: ErrorDetails) -> InitErrorDetails:
    """Turn an error that was caught into the form that raises it once more."""
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


def _without_operational(thing: object, value: Any) -> Any:
    """Return ``value``, the dump of ``thing``, without what never changes an output: of steps too,
    which are models in a list. Names beyond the fields are parameters of a function."""
    if isinstance(thing, BaseModel):
        fields = type(thing).model_fields
        return {
            key: _without_operational(getattr(thing, key, None), entry)
            for key, entry in value.items()
            if key not in fields or not _is_operational(fields[key])
        }
    if isinstance(thing, tuple):
        return [_without_operational(*pair) for pair in zip(thing, value, strict=True)]
    return value


def _is_operational(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("kind") == "operational"


def _folded(options: Mapping[str, object]) -> dict[str, object]:
    """Give creation options of one meaning one spelling, sorted by name."""
    words = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}

    def fold(value: object) -> object:
        if not isinstance(value, str):
            return value
        low = value.strip().lower()
        return int(low) if low.isascii() and low.isdecimal() else words.get(low, low)

    return {name: fold(options[name]) for name in sorted(options)}
