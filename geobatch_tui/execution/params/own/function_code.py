"""Reads a user's function by its syntax tree, without running any of it.

What it takes is in its signature; what decides what it gives is in its module and in the modules
beside it that this imports. Comments, docstrings, layout and the version of Python change nothing.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import stat
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

type Takes = Literal["block", "frame", "table"]
#: What a function is given if it asks for it by name; no parameters of a job.
GIVEN: Final[Mapping[Takes, tuple[str, ...]]] = {
    "block": ("window", "valid", "nodata", "transform", "crs", "bands", "item"),
    "frame": ("crs", "item"),
    "table": ("crs", "item"),
}
#: Annotations of the first argument of functions of features; all others take blocks of pixels.
_OF_FEATURES: Final[Mapping[str, Takes]] = {"GeoDataFrame": "frame", "Table": "table"}
#: What the decorator says that is read here.
WRITTEN_OUT: Final = ("version", "uses", "files", "portable")
#: A default that is computed: the function knows it.
COMPUTED: Final = "computed"
_USE: Final = re.compile(r"(?s)(.+\.py):([^\W\d]\w*)")
_LARGEST, _MOST_MODULES = 1 << 20, 64
#: Fields of nodes that say nothing of what code does, or that not every Python has.
_SAYING_NOTHING = {"ctx", "kind", "type_comment", "type_ignores"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A keyword-only argument. ``default`` is a literal if ``kind`` is "literal"; else there is
    none ("required"), or it is :data:`COMPUTED`."""

    name: str
    annotation: ast.expr | None
    kind: str
    default: object
    line: int


@dataclass(frozen=True, slots=True)
class FunctionCode:
    """A function as its source tells it.

    Attributes:
        line: of its ``def``.
        takes: a block of pixels, or features as its first argument is annotated.
        given: those of :data:`GIVEN` that it asks for.
        written: the arguments of its decorator among :data:`WRITTEN_OUT`.
        modules: files that are loaded with it, its own first, by the names that they have to each
            other.
        digest: of all that these do.
        code: what makes outputs stale: the digest, or the version that it declares.
        summary: the first sentences of its docstring, or "".
    """

    name: str
    line: int
    takes: Takes
    parameters: tuple[Parameter, ...]
    given: tuple[str, ...]
    written: Mapping[str, object]
    modules: Mapping[str, Path]
    digest: str
    code: str
    summary: str = ""


@dataclass(slots=True)
class _Modules:
    """Modules that lie beside a function's file, and that are loaded with it."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    trees: dict[str, ast.Module] = field(default_factory=dict)

    def add(self, name: str, file: Path) -> None:
        if name in self.files:
            return
        if len(self.files) == _MOST_MODULES:
            raise ValueError(f"{self.folder}: more than {_MOST_MODULES} modules are imported")
        self.files[name] = file
        self.trees[name] = parsed(file)
        for other in _imported(self.trees[name], name, is_package=file.name == "__init__.py"):
            parts = other.split(".")
            for length in range(1, len(parts) + 1):
                each = ".".join(parts[:length])
                if (found := beside(self.folder, each)) is not None:
                    self.add(each, found)


def split(use: str) -> tuple[str, str]:
    """Return file and function of ``file.py:function``. Raises ValueError if it is not that."""
    match = _USE.fullmatch(use)
    if match is None:
        raise ValueError('use is a file and a function in it, as "steps.py:despeckle"')
    return match[1], match[2]


def read(file: Path, name: str) -> FunctionCode:
    """Read the function ``name`` of ``file``. Raises ValueError, which says file and line, if there
    is none, or if a job could not call it."""
    modules = _Modules(file.parent)
    modules.add(file.stem, file)
    tree = modules.trees[file.stem]
    function = _function(tree, name, file)
    where = f"{file.name}:{function.lineno}"
    takes = _takes(function)
    given, parameters = _arguments(function, takes, where)
    written = _written(function, tree, where)
    digest = _digest(name, modules.trees)
    version = written.get("version")
    return FunctionCode(
        name,
        function.lineno,
        takes,
        parameters,
        given,
        written,
        modules.files,
        digest,
        digest if version is None else f"version {version}",
        " ".join((ast.get_docstring(function) or "").split("\n\n")[0].split()),
    )


def parsed(file: Path) -> ast.Module:
    """Parse a module. Raises ValueError if it cannot be read, or is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source(file), file.name)
    except SyntaxError as error:
        raise ValueError(f"{file.name}:{error.lineno or 1}: {error.msg}") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{file} cannot be read as Python: {error}") from None


def source(file: Path) -> bytes:
    """Read a regular file of a size that code has. Raises OSError, ValueError."""
    # Without O_NONBLOCK the opening of a pipe waits for whoever opens its other end.
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is not a regular file")
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("it has more than 1 MiB")
    return data


def beside(folder: Path, name: str) -> Path | None:
    """Return the file of module ``name`` in ``folder``; None: it is not there. Python's own modules
    are taken from Python, whatever lies there."""
    parts = name.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == "geobatch_tui":
        return None
    place = folder.joinpath(*parts)
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if file.exists():
            return file
    return None


def _imported(tree: ast.Module, name: str, *, is_package: bool) -> Iterator[str]:
    """Name the modules that a module may import, as seen from its folder."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def _function(tree: ast.Module, name: str, file: Path) -> ast.FunctionDef:
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name in functions:
        return functions[name]
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            raise ValueError(
                f"{file.name}:{node.lineno}: {name} is async; a step is called plainly"
            )
    known = ", ".join(sorted(functions)) or "none at all"
    raise ValueError(f"{file.name} has no function {name!r} at its top level; it has: {known}")


def _takes(function: ast.FunctionDef) -> Takes:
    first = next(iter((*function.args.posonlyargs, *function.args.args)), None)
    node = first.annotation if first else None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.rpartition(".")[2].strip()
    else:
        name = last_name(node)
    return _OF_FEATURES.get(name, "block")


def last_name(node: ast.expr | None) -> str:
    """Return the last part of a dotted name; empty: it is none."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _arguments(
    function: ast.FunctionDef, takes: Takes, where: str
) -> tuple[tuple[str, ...], tuple[Parameter, ...]]:
    """Return what a function is given by name, and its parameters."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if arguments.vararg or arguments.kwarg:
        raise ValueError(f"{where}: {function.name} has to name its arguments: no * or ** of many")
    if not positional:
        raise ValueError(
            f"{where}: {function.name} takes no block of pixels, and no features, as its first "
            "argument"
        )
    if len(positional) > 1:
        raise ValueError(
            f"{where}: the argument {positional[1].arg!r} of {function.name} has to be "
            "keyword-only: put a * behind the first one"
        )
    given, parameters = [], []
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.arg in GIVEN[takes]:
            given.append(argument.arg)
        elif argument.arg in {"name", "use", "function", "version"}:
            raise ValueError(
                f"{where}: no parameter can be called {argument.arg!r}, which every step has"
            )
        else:
            kind, value = _default(default)
            parameters.append(
                Parameter(argument.arg, argument.annotation, kind, value, argument.lineno)
            )
    return tuple(given), tuple(parameters)


def _default(node: ast.expr | None) -> tuple[str, object]:
    if node is None:
        return "required", None
    try:
        return "literal", ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        return COMPUTED, None


def _written(function: ast.FunctionDef, tree: ast.Module, where: str) -> dict[str, object]:
    """Return the arguments of the decorator that have to be written out."""
    ours = {"step"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("geobatch_tui"):
            ours |= {alias.asname or alias.name for alias in node.names if alias.name == "step"}
    written: dict[str, object] = {}
    for call in function.decorator_list:
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        name = call.func.id if isinstance(call.func, ast.Name) else name
        for keyword in call.keywords if name in ours else ():
            if keyword.arg in WRITTEN_OUT:
                kind, value = _default(keyword.value)
                if kind != "literal":
                    raise ValueError(f"{where}: {keyword.arg} of @step has to be written out")
                written[keyword.arg] = value
    return {
        **written,
        "uses": _names(written, "uses", where),
        "files": _names(written, "files", where),
    }


def _names(written: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = written.get(key, ())
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f'{where}: {key} of @step is a list of names, as ("scipy",)')
    return tuple(value)


def _digest(name: str, trees: Mapping[str, ast.Module]) -> str:
    state = hashlib.blake2b(name.encode(), digest_size=16)
    first, *others = trees
    for each in (first, *sorted(others)):
        # The name of the function's own file is in the job.
        state.update(b"\0" + (b"" if each == first else each.encode()) + b"\0")
        try:
            state.update("".join(_words(trees[each])).encode("utf-8", "surrogatepass"))
        except RecursionError:
            raise ValueError(f"{each}.py is nested too deeply") from None
    return state.hexdigest()


def _words(node: object) -> Iterator[str]:
    """Write a tree as text that only what it does decides."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name in sorted(node._fields):
            value: Any = getattr(node, name, None)
            if name == "body" and isinstance(node, _WITH_DOCSTRING):
                value = value[_has_docstring(node) :]
            if isinstance(node, ast.Constant) and name == "value":
                yield f" {_constant(value)}"
            elif name not in _SAYING_NOTHING and value not in (None, []):
                yield f" {name}:"
                yield from _words(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for each in node:
            yield from _words(each)
        yield "]"
    else:
        yield ascii(node)


_WITH_DOCSTRING = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _has_docstring(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return int(ast.get_docstring(node, clean=False) is not None)


def _constant(value: object) -> str:
    """Write a constant alike in every Python."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return f"{type(value).__name__} {value!a}"
