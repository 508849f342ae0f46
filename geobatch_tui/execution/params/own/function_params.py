"""Parameters of a step that is a function of the user: its keyword-only arguments.

The job has ``use`` in place of ``name``. What the function takes is read from its file, which is
not run here.
"""

from __future__ import annotations

import ast
import platform
from collections.abc import Mapping
from functools import cache, reduce
from importlib import metadata
from operator import or_
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from geobatch_tui.execution.io.digest import digest_of, short_digest
from geobatch_tui.execution.params.own import function_code
from geobatch_tui.execution.params.own.function_code import (
    COMPUTED,
    GIVEN,
    FunctionCode,
    Parameter,
    last_name,
)
from geobatch_tui.execution.params.param_fields import operational, semantic
from geobatch_tui.execution.params.step_params import StepParams

#: Keys of a step that are no parameters of its function.
OWN_KEYS = frozenset({"name", "use", "function"})
#: Distributions that make what a function is given, and that are no libraries of the operation.
_LOADED = {"block": (), "frame": ("geopandas", "pandas"), "table": ()}
_LISTS = {"list", "tuple", "Sequence", "Iterable"}
_READ = "int, float, bool, str, lists of them, Literal[...], or None"
#: Extensions of x86 by which numpy chooses its loops: levels as compilers name them.
_LEVELS = (
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    ("x86-64-v3", {"avx2", "bmi1", "bmi2", "fma", "f16c"}),
    ("x86-64-v2", {"sse4_2", "ssse3", "popcnt"}),
)


class Code(BaseModel):
    """The code of a function, as it was read when the job was loaded.

    Attributes:
        file: its path.
        line: of its ``def``.
        code: digest of its syntax tree and that of the modules beside it, or its version.
        libraries: versions (major.minor) of numpy and what it ``uses``.
        files: digests of the files that it reads.
        cpu: the level of the processor; empty if that decides nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = operational(..., "Path of the function's file.")
    line: int = operational(..., "Line of the function.")
    code: str = semantic(..., "Digest of its code, or its version.")
    libraries: dict[str, str] = semantic({}, "Versions of libraries that decide what it gives.")
    files: dict[str, str] = semantic({}, "Digests of the files that it reads.")
    cpu: str = semantic("", "Level of the processor, where that decides bits.")


def _as_written(schema: dict[str, Any]) -> None:
    """Turn the schema of a step into that of what a job file says of it."""
    del schema["properties"]["function"]
    schema["required"] = ["use"]


class FunctionStep(StepParams):
    """Call a function of your own: use = "steps.py:name", and its parameters beside it."""

    model_config = ConfigDict(
        frozen=True, extra="allow", ser_json_inf_nan="strings", json_schema_extra=_as_written
    )

    #: What functions take that a job of this kind can use; and else, what is to be done.
    takes: ClassVar[tuple[str, ...]] = ("block",)
    otherwise: ClassVar[str] = "takes features, and this is a job on rasters"

    name: Literal["function"]
    use: str = semantic(..., 'File and function, as "steps.py:despeckle".')
    function: Code = semantic(..., "Its code, as it was read; no key of job files.", found=True)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: object) -> object:
        """Read the function, and check the values for its parameters."""
        if not isinstance(data, Mapping):
            return data
        values = {str(name).replace("-", "_"): value for name, value in data.items()}
        use, known = values.get("use"), values.get("function")
        if not isinstance(use, str):
            raise _wrong("use", use, 'is missing: a file and a function in it, as "steps.py:name"')
        try:
            path, name = function_code.split(use)
            place = known.get("file") if isinstance(known, Mapping) else None
            file = Path(str(place or path)).expanduser().absolute()
            code = cls._function(file, name)
            read = _code_of(code, file)
        except ValueError as error:
            raise _wrong("use", use, str(error)) from None
        given = {key: value for key, value in values.items() if key not in OWN_KEYS}
        checked = checked_values(code, file, given)
        return {"name": "function", "use": use, "function": read, **checked}

    @classmethod
    def _function(cls, file: Path, name: str) -> FunctionCode:
        """Read a function. Raises ValueError if it cannot be called on data of this kind."""
        code = function_code.read(file, name)
        if code.takes not in cls.takes:
            raise ValueError(f"{file.name}:{code.line}: {name} {cls.otherwise}")
        return code


def checked_values(code: FunctionCode, file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a function, with defaults that are written out. Raises
    ValidationError at the keys of those that do not fit it."""
    known = [parameter.name for parameter in code.parameters]
    for key, value in given.items():
        if key not in known:
            raise _wrong(key, value, _unknown(code, key, known))
    fields: dict[str, Any] = {}
    for parameter in code.parameters:
        if parameter.kind == COMPUTED and parameter.name not in given:
            continue
        try:
            kind = _type_of(parameter)
        except ValueError as error:
            where = f"{file.name}:{parameter.line}"
            raise _wrong(parameter.name, given.get(parameter.name), f"{where}: {error}") from None
        fields[parameter.name] = (kind, parameter.default if parameter.kind == "literal" else ...)
    # Not those of pydantic's own attributes: a parameter may be called `copy`.
    aliased = {f"p{number}": name for number, name in enumerate(fields)}
    definitions: Any = {field: fields[name] for field, name in aliased.items()}
    strict = ConfigDict(extra="forbid", strict=True)
    model = create_model(code.name, __config__=strict, **definitions)
    values = {field: given[name] for field, name in aliased.items() if name in given}
    try:
        checked = model.model_validate(values)
    except ValidationError as error:
        details = [_renamed(entry, aliased) for entry in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(code.name, details) from None
    return {name: _listed(getattr(checked, field)) for field, name in aliased.items()}


def _listed(value: object) -> object:
    """Return a value as JSON will give it back: lists in place of tuples."""
    if isinstance(value, list | tuple):
        return [_listed(entry) for entry in value]
    return value


def _unknown(code: FunctionCode, key: str, known: list[str]) -> str:
    from difflib import get_close_matches

    if key in GIVEN[code.takes]:
        return f"{key} is given to {code.name} by geobatch; it is no parameter of a job"
    near = get_close_matches(key, known, 1)
    if near:
        return f"{code.name} has no parameter {key!r}; did you mean {near[0]!r}?"
    return f"{code.name} has no parameter {key!r}; it has: {', '.join(known) or 'none'}"


def _renamed(entry: Any, aliased: Mapping[str, str]) -> InitErrorDetails:
    first, *rest = entry["loc"]
    loc = (aliased.get(str(first), first), *rest)
    return InitErrorDetails(
        type=entry["type"], loc=loc, input=entry["input"], ctx=entry.get("ctx", {})
    )


def _wrong(key: str, value: object, text: str) -> ValidationError:
    """Return the error of one key of a step."""
    kind = PydanticCustomError("value_error", "{error}", {"error": text})
    detail = InitErrorDetails(type=kind, loc=(key,), input=value)
    return ValidationError.from_exception_data("function", [detail])


def _code_of(code: FunctionCode, file: Path) -> dict[str, object]:
    """Return the fields of :class:`Code`. Raises ValueError if something it needs is not there."""
    uses, files = code.written["uses"], code.written["files"]
    portable = bool(code.written.get("portable"))
    libraries = {}
    for name in (*(() if portable else ("numpy",)), *_LOADED[code.takes], *uses):  # type: ignore[misc]
        try:
            libraries[name] = ".".join(metadata.version(name).split(".")[:2])
        except metadata.PackageNotFoundError:
            raise ValueError(f"{file.name}:{code.line}: {name!r} is not installed") from None
    digests = {}
    for name in files:  # type: ignore[attr-defined]
        try:
            digests[name] = digest_of(file.parent / name, short_digest())[0]
        except OSError as error:
            raise ValueError(
                f"{file.name}:{code.line}: {name} cannot be read: {error.strerror}"
            ) from None
    return {
        "file": str(file), "line": code.line, "code": code.code, "libraries": libraries,
        "files": digests, "cpu": "" if portable else cpu_level(),
    }  # fmt: skip


@cache
def cpu_level() -> str:
    """Return the level of this processor: numpy's loops, and so the last bits of what they give,
    differ between levels."""
    flags: set[str] = set()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        if line.startswith("flags"):
            flags = set(line.partition(":")[2].split())
            break
    return next((name for name, needs in _LEVELS if needs <= flags), platform.machine())


def _number(value: object) -> object:
    """Read the numbers that JSON has not."""
    if isinstance(value, str) and value.strip("+-").lower() in {"nan", "inf", "infinity"}:
        return float(value)
    return value


def _type_of(parameter: Parameter) -> Any:
    """Return the type of a parameter's values. Raises ValueError if no job file could give it."""
    if parameter.annotation is not None:
        return _type(parameter.annotation)
    default = parameter.default
    if parameter.kind != "literal" or default is None:
        return Any
    if isinstance(default, float):
        return _FLOAT
    return type(default) if isinstance(default, bool | int | str) else Any


_FLOAT = Annotated[float, BeforeValidator(_number)]
_PLAIN = {
    "int": int, "bool": bool, "str": str, "float": _FLOAT, "Any": Any,
    **dict.fromkeys(_LISTS, list[Any]),
}  # fmt: skip


def _type(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            kind: Any = None
        case ast.Constant(value=str(text)):
            try:
                kind = _type(ast.parse(text, mode="eval").body)
            except SyntaxError:
                raise _no_type(node) from None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            kind = reduce(or_, (_type(left), _type(right)))
        case ast.Subscript(value=base, slice=inner):
            kind = _subscribed(last_name(base), inner, node)
        case _ if (name := last_name(node)) in _PLAIN:
            kind = _PLAIN[name]
        case _:
            raise _no_type(node)
    return kind


def _subscribed(name: str, inner: ast.expr, node: ast.expr) -> Any:
    if name == "Literal":
        try:
            words = ast.literal_eval(inner)
        except ValueError:
            raise _no_type(node) from None
        return Literal[words if isinstance(words, tuple) else (words,)]
    if name == "Optional":
        return _type(inner) | None
    if name in _LISTS:
        kinds = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        parts = [_type(kind) for kind in kinds if not _is_ellipsis(kind)]
        if name != "tuple" or len(parts) < len(kinds):
            return list[parts[0]]  # type: ignore[valid-type]
        return Annotated[tuple[tuple(parts)], BeforeValidator(_as_tuple)]  # type: ignore[misc]
    raise _no_type(node)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _no_type(node: ast.expr) -> ValueError:
    return ValueError(f"no job file can give {ast.unparse(node)}, but {_READ}")
