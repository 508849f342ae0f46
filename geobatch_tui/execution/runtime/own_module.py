"""Loads the module of a user's function, by its path, and calls the function.

It gets a name of its own among Python's modules, as do the modules beside it that it imports: so
two jobs may each have a ``steps.py``, no folder joins ``sys.path``, and nothing that lies there
takes the place of an installed module for anybody else. No ``.pyc`` is read or written.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from geobatch_tui.errors import GeobatchError, PlanMismatchError, PreflightError, StepError
from geobatch_tui.execution.params.own import function_code
from geobatch_tui.execution.runtime import evidence, recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType, TracebackType

    from geobatch_tui.execution.params.own.function_code import FunctionCode
    from geobatch_tui.execution.protocol.messages import Json

_PREFIX = "geobatch_own_"
#: Loaded functions by file, name and code; held while one is loaded.
_loaded: dict[tuple[str, str, str], OwnFunction] = {}
_loading = threading.RLock()
#: Characters kept of what a function printed and warned of in one call.
_SAID = 16 * 1024


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """A function of the user, ready to be called; ``use`` is what the job calls it."""

    use: str
    call: Callable[..., Any]
    code: FunctionCode

    @property
    def is_compiled(self) -> bool:
        """Whether numba compiles it."""
        return hasattr(self.call, "py_func")

    def __call__(self, *arguments: object, **given: object) -> Any:
        """Call the function.

        Raises:
            StepError: it raised an error; its traceback begins in the user's code.
            MemoryError: memory ran out.
        """
        try:
            with _said(self.use), _timed_apart(self.call):
                return calling.by(self.call, arguments, given)
        except (MemoryError, GeobatchError):
            raise
        except BaseException as error:
            raise _failed(self, error) from error


def _plainly(
    function: Callable[..., Any], arguments: Sequence[object], given: Mapping[str, object]
) -> Any:
    return function(*arguments, **given)


@dataclass(slots=True)
class Calling:
    """How functions are called in this process: plainly, unless somebody debugs them."""

    by: Callable[[Callable[..., Any], Sequence[object], Mapping[str, object]], Any] = _plainly


calling = Calling()


def load(
    use: str, file: str, code: str, *, afresh: bool = False, cache: Path | None = None
) -> OwnFunction:
    """Return the function that a job calls ``use``, in ``file``, whose code is ``code``.

    ``afresh``: look whether the files have changed since they were loaded. ``cache``: a folder of
    this user's own for machine code that numba is asked to keep; None: it is not kept.

    Raises:
        PlanMismatchError: it is other code by now.
        PreflightError: it cannot be imported.
    """
    _, name = function_code.split(use)
    key = (file, name, code)
    with _loading:
        known = _loaded.get(key)
        if known is not None and not afresh:
            return known
        try:
            found = function_code.read(Path(file), name)
        except ValueError as error:
            raise PlanMismatchError(f"{use} cannot be read any more: {error}") from None
        if found.code != code:
            raise PlanMismatchError(
                f"{use} is other code than when this run began",
                hint="run the job again: what the change touches is redone",
            )
        if known is None or known.code.digest != found.digest:
            # What it imports may take long; that is no part of the time of a chunk.
            with recorder.compiling(), _numba_cache(found, cache):
                _loaded[key] = OwnFunction(use, _import(Path(file), name, found), found)
        return _loaded[key]


class _Planned(Protocol):
    """A step as plans hold it, a frozen dataclass."""

    @property
    def values(self) -> Json: ...


def at_home[S: _Planned](chain: tuple[S, ...], steps: Sequence[Json]) -> tuple[S, ...]:
    """Return a planned chain with the files of functions where ``steps``, those of the job, have
    them now: a job may have been moved since it was planned."""
    if not any("use" in step for step in steps):
        return chain
    moved = [chain[0]]
    # What reads groups of files is the first of both.
    behind = chain[1:]
    for step, params in zip(behind, steps[len(steps) - len(behind) :], strict=True):
        values = dict(step.values)
        if "use" in params:
            values["file"] = params["function"]["file"]
        moved.append(replace(step, values=values))  # type: ignore[type-var]
    return tuple(moved)


def _import(file: Path, name: str, code: FunctionCode) -> Callable[..., Any]:
    """Import the module of a function, and return the function."""
    digest = hashlib.blake2b(f"{file}\0{code.digest}".encode(), digest_size=8).hexdigest()
    package = ModuleType(_PREFIX + digest)
    package.__path__ = []
    sys.modules[package.__name__] = package
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
    _folders[package.__name__] = file.parent
    module = f"{package.__name__}.{file.stem}"
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except BaseException as error:
        for loaded in [each for each in sys.modules if each.startswith(package.__name__)]:
            del sys.modules[loaded]
        where = _place(error, file.parent)
        raise PreflightError(
            f"{file.name} cannot be imported: {type(error).__name__}: "
            f"{evidence.message_of(error)}{where}",
            hint="workers import it as a script of its folder would be: what it needs has to be "
            "installed, or lie beside it",
        ) from error


@contextlib.contextmanager
def _numba_cache(code: FunctionCode, cache: Path | None) -> Iterator[None]:
    """Have numba keep machine code, where functions ask for that, in a folder of this code alone.

    It would look at the file of each function to tell whether what it kept is stale, and not at
    those of the functions that are called; and beside them a worker cannot write.
    """
    sources = [function_code.source(file) for file in code.modules.values()]
    if not any(b"numba" in source for source in sources):
        yield
        return
    try:
        numba: Any = importlib.import_module("numba")
    except ImportError:  # said by the import of the module
        yield
        return
    before = numba.config.CACHE_DIR
    folder = tempfile.mkdtemp() if cache is None else str(cache / code.digest)
    numba.config.CACHE_DIR = folder
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


#: The folder of each package that holds own modules, by its name.
_folders: dict[str, Path] = {}


class _Finder:
    """Finds the modules that lie beside a user's function."""

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, inner = name.partition(".")
        if package not in _folders or not inner:
            return None
        folder = _folders[package]
        file = function_code.beside(folder, inner)
        place = folder.joinpath(*inner.split("."))
        if file is None and place.is_dir():
            return importlib.machinery.ModuleSpec(name, None, is_package=True)
        if file is None:
            return None
        within = [str(place)] if file.name == "__init__.py" else None
        loader = _Loader(name, str(file))
        return importlib.util.spec_from_file_location(
            name, file, loader=loader, submodule_search_locations=within
        )


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module from its source, whatever compiled code may lie beside it, and has it
    import what lies beside it by the names that it uses."""

    def get_code(self, _fullname: str) -> CodeType:
        return compile(function_code.source(Path(self.path)), self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        names = dict(vars(builtins))
        names["__import__"] = _importer(package)
        vars(module)["__builtins__"] = names
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102 - what an import does


def _importer(package: str) -> Callable[..., ModuleType]:
    """Return the ``__import__`` of modules of ``package``."""
    folder = _folders[package]

    def imported(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - as Python calls it
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        first = name.partition(".")[0]
        own = not level and (
            function_code.beside(folder, first) is not None
            or (folder.joinpath(first).is_dir() and importlib.util.find_spec(first) is None)
        )
        if not own:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        leaf = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or ("",), 0)
        return leaf if fromlist else sys.modules[f"{package}.{first}"]

    return imported


# --- what a function says, and how it fails ----------------------------------------------------


@contextlib.contextmanager
def _said(use: str) -> Iterator[None]:
    """Keep what a function prints and warns of as evidence of the task.

    Only in a process that works on one task at a time: streams and filters are the process's.
    """
    if not recorder.is_alone():
        yield
        return
    printed = io.StringIO()
    try:
        with (
            warnings.catch_warnings(record=True) as warned,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            warnings.simplefilter("default")
            yield
    finally:
        texts = [printed.getvalue()]
        texts += [
            f"{Path(each.filename).name}:{each.lineno}: {each.category.__name__}: {each.message}\n"
            for each in warned
        ]
        if text := "".join(texts):
            recorder.note(use, evidence.cut(text, _SAID))


@contextlib.contextmanager
def _timed_apart(function: Callable[..., Any]) -> Iterator[None]:
    """Take the first call of what numba compiles for the compilation that it is."""
    if getattr(function, "signatures", None) == [] and hasattr(function, "py_func"):
        with recorder.compiling():
            yield
        return
    yield


def _failed(function: OwnFunction, error: BaseException) -> StepError:
    """Return the error of a function that raised one."""
    folder = next(iter(function.code.modules.values())).parent
    where = _place(error, folder)
    error.__traceback__ = _own_frames(error.__traceback__, folder)
    return StepError(
        f"{function.use} raised {type(error).__name__}: {evidence.message_of(error)}{where}",
        hint="`geobatch step` computes this chunk alone, and opens a debugger with --pdb",
        own=error,
    )


def _own_frames(trace: TracebackType | None, folder: Path) -> TracebackType | None:
    """Return the traceback from the first frame in the user's code on."""
    first = trace
    while first is not None:
        if _is_own(first, folder):
            return first
        first = first.tb_next
    return trace


def _place(error: BaseException, folder: Path) -> str:
    """Say at which line of the user's code an error was raised."""
    last, trace = None, error.__traceback__
    while trace is not None:
        if _is_own(trace, folder):
            last = trace
        trace = trace.tb_next
    if last is None:
        return ""
    return f" ({Path(last.tb_frame.f_code.co_filename).name}, line {last.tb_lineno})"


def _is_own(trace: TracebackType, folder: Path) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(f"{folder}{os.sep}")
