"""Calls compiled loops without loading the compiler.

To import numba and to set it up for the first call takes 0.2 s in each process; the loops of a
short job run for less. So the machine code of a loop is kept in the user's cache as an object file,
which LLVM's linker alone loads in milliseconds. Numba compiles what is not there, once for a
machine and version.

Numba tells the object code of a function by a private attribute only. Where that is gone, or
llvmlite's linker, or on a system without ELF, numba's own cache is used: the same loops, called
through numba.

A loop takes arrays that lie in memory in one piece, row by row, and never allocates or raises: what
its code holds of numba's runtime for these cases cannot be reached, and would end the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib
import importlib.util
import os
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.native.code_cache import (
    cache_directory,
    digest,
    is_ours_alone,
    make_private,
    read_trusted,
)
from geobatch_tui.execution.native.jit import dispatcher
from geobatch_tui.execution.runtime.recorder import compiling

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Parts of numba's runtime, for references and exceptions that loops do not have.
_UNREACHABLE = frozenset({
    "NRT_Free", "NRT_MemInfo_call_dtor", "numba_do_raise", "numba_gil_ensure", "numba_gil_release",
    "numba_runtime_build_excinfo_struct", "numba_unpickle",
})  # fmt: skip
#: What is used of llvmlite's binding, and of its two linkers. LLVM is to drop MCJIT.
_BINDING = (
    "initialize_native_target", "initialize_native_asmprinter",
    "get_host_cpu_name", "get_host_cpu_features",
)  # fmt: skip
_MCJIT = (
    "create_mcjit_compiler", "ObjectFileRef", "Target", "parse_assembly", "address_of_symbol",
    "add_symbol",
)  # fmt: skip
_ORC = ("create_lljit_compiler", "JITLibraryBuilder")
_DIGEST = 32
_SYMTAB, _UNDEFINED = 2, 0
#: Names of scalar types, to numba and to ctypes.
_SCALARS = {
    "int": ("intp", ctypes.c_ssize_t),
    "float": ("float64", ctypes.c_double),
    "bool": ("boolean", ctypes.c_bool),
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a loop.

    ``type`` is a type of numpy; ``T``, for that of the first such argument; or, of a scalar, int,
    float or bool. ``dimensions`` is 0 for scalars. ``pair``: two scalars, as a tuple.
    """

    type: str
    dimensions: int = 0
    pair: bool = False

    @classmethod
    def of(cls, text: str) -> Argument:
        """From ``float64:2``, an array of two dimensions, ``int``, or ``int,int``."""
        kind, _, dimensions = text.partition(":")
        first, _, second = kind.partition(",")
        return cls(first, int(dimensions or 0), bool(second))

    def kind(self, generic: Any) -> Any:
        """The dtype of an array's elements, where those of generic ones are ``generic``; None of
        scalars."""
        if not self.dimensions:
            return None
        return generic if self.type == "T" else np.dtype(self.type)


@dataclass(slots=True)
class Loop:
    """A compiled function of a room of kernels, called with arrays of any of its types.

    ``packs``: LLVM is to look for operations that stand side by side, and make one of them.
    ``package``: of ``execution``, in whose ``kernels`` the module is. ``results``: how many whole
    numbers the function returns.
    """

    module: str
    name: str
    arguments: tuple[Argument, ...]
    packs: bool = False
    package: str = "raster"
    results: int = 0
    #: By type of the generic pixels: the function, None if numba calls it, and the dtype of each
    #: argument. This is asked for thousands of times in a chunk.
    _found: dict[Any, tuple[Any, tuple[Any, ...]]] = field(default_factory=dict)
    #: Types that numba has called the function for.
    _met: set[Any] = field(default_factory=set)
    _first: int | None = None

    @classmethod
    def of(cls, place: str, arguments: str, **more: Any) -> Loop:
        """``place`` is module.name, ``arguments`` are as in :meth:`Argument.of`."""
        module, _, name = place.rpartition(".")
        return cls(module, name, tuple(map(Argument.of, arguments.split())), **more)

    def __post_init__(self) -> None:
        generic = [at for at, argument in enumerate(self.arguments) if argument.type == "T"]
        self._first = generic[0] if generic else None

    @property
    def function(self) -> Any:
        """As numba calls it."""
        module = importlib.import_module(
            f"geobatch_tui.execution.{self.package}.kernels.{self.module}"
        )
        return getattr(module, self.name)

    def __call__(self, *values: Any) -> Any:
        """Run it: the number that it returns, or all of several.

        Raises TypeError if an array is not of the type and form that it should be.
        """
        generic = None if self._first is None else values[self._first].dtype
        function, kinds = self._found.get(generic) or self._find(generic)
        if function is None:
            return self._by_numba(generic, values)
        flat: list[Any] = []
        for argument, kind, value in zip(self.arguments, kinds, values, strict=True):
            if kind is not None:
                _check(argument, kind, value)
                flat.append(_address(value))
                flat += value.shape
            elif argument.pair:
                flat += value
            else:
                flat.append(value)
        if not self.results:
            return function(*flat)
        found = (ctypes.c_int64 * self.results)()
        function(*flat, found)
        return found[0] if self.results == 1 else tuple(found)

    def _by_numba(self, generic: Any, values: tuple[Any, ...]) -> Any:
        """The first call for a type compiles the loop, or loads it from numba's cache."""
        if generic in self._met:
            return self.function(*values)
        self._met.add(generic)
        with compiling():
            return self.function(*values)

    def _find(self, generic: Any) -> tuple[Any, tuple[Any, ...]]:
        if generic is not None and not generic.isnative:
            raise TypeError(f"pixels of {generic}, whose bytes lie the other way round")
        kinds = tuple(argument.kind(generic) for argument in self.arguments)
        name = "" if generic is None else generic.name
        found = self._found[generic] = self._load(name), kinds
        return found

    def _load(self, generic: str) -> Any:
        """The function for pixels of type ``generic``, as one of ctypes; None: numba calls it."""
        directory = _directory()
        if directory is None:
            return None
        path = directory / f"{self.package}.{self.module}.{self.name}-{generic}.o"
        kept = _read(path) or _made(self, generic, path)
        if kept is None:
            return None
        kinds: list[Any] = []
        for argument in self.arguments:
            if argument.dimensions:
                kinds += [ctypes.c_void_p] + [ctypes.c_ssize_t] * argument.dimensions
            else:
                kinds += [_SCALARS[argument.type][1]] * (2 if argument.pair else 1)
        kinds += [ctypes.c_void_p] * bool(self.results)
        return ctypes.CFUNCTYPE(None, *kinds)(_link(*kept))


def _check(argument: Argument, kind: Any, value: Any) -> None:
    dtype = value.dtype
    # Truth values are bytes of 0 and 1.
    alike = dtype == kind or (dtype == np.bool_ and kind == np.uint8)
    if not alike or value.ndim != argument.dimensions:
        raise TypeError(f"{value.ndim} dimensions of {dtype} in the place of {argument}")
    if not value.flags.c_contiguous:
        raise TypeError(f"an array with gaps in the place of {argument}")


def _address(value: Any) -> int:
    """Where an array lies. Numpy's own way takes three times as long."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(value))
    except (TypeError, ValueError):  # not to be written, or empty
        return int(value.ctypes.data)


# --- compiling ---------------------------------------------------------------------------------


def _compile(loop: Loop, generic: str) -> Any:
    """The loop as a C function of pointers and numbers, by numba."""
    numba: Any = importlib.import_module("numba")
    kinds: list[Any] = []
    names: list[str] = []
    passed: list[str] = []
    for number, argument in enumerate(loop.arguments):
        name = f"a{number}"
        if argument.dimensions:
            dtype = generic if argument.type == "T" else argument.type
            sides = [f"{name}_{side}" for side in range(argument.dimensions)]
            kinds += [numba.types.CPointer(getattr(numba.types, dtype))]
            kinds += [numba.types.intp] * argument.dimensions
            names += [name, *sides]
            passed.append(f"carray({name}, ({', '.join(sides)},))")
        else:
            parts = [f"{name}_0", f"{name}_1"] if argument.pair else [name]
            kinds += [getattr(numba.types, _SCALARS[argument.type][0])] * len(parts)
            names += parts
            passed.append(f"({', '.join(parts)})" if argument.pair else name)
    call = f"loop({', '.join(passed)})"
    if loop.results:
        kinds.append(numba.types.CPointer(numba.types.int64))
        names.append("found")
        places = [f"found[{number}]" for number in range(loop.results)]
        call = f"{', '.join(places)} = {call}"
    text = f"def {loop.name}({', '.join(names)}):\n    {call}\n"
    scope = {"carray": numba.carray, "loop": dispatcher(loop.function)}
    exec(text, scope)  # noqa: S102 - of names that are written here
    signature = numba.types.void(*kinds)
    before = numba.config.SLP_VECTORIZE
    numba.config.SLP_VECTORIZE = int(loop.packs)
    try:
        return numba.cfunc(signature, error_model="numpy")(scope[loop.name])
    finally:
        numba.config.SLP_VECTORIZE = before


def _made(loop: Loop, generic: str, path: Path) -> tuple[str, bytes] | None:
    """The object code of a loop, compiled and kept at ``path``. Workers that need the same loops at
    the same time wait for the one that compiles them."""
    with compiling(), _alone(path.parent.with_suffix(".lock")):
        kept = _read(path)
        if kept is None:
            kept = _object_of(_compile(loop, generic))
            if kept is not None:
                _write(path, *kept)
        return kept


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock, where the file system has locks: without it time is lost, and nothing else."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _object_of(compiled: Any) -> tuple[str, bytes] | None:
    """Symbol and object code; None if they cannot be had, or need more of numba than is known."""
    try:
        symbol = str(compiled._wrapper_name)  # noqa: SLF001 - there is no public way
        code = bytes(compiled._library._get_compiled_object())  # noqa: SLF001 - nor here
    except AttributeError:
        return None
    if not code.startswith(b"\x7fELF"):
        return None
    process = ctypes.CDLL(None)
    for name in undefined_symbols(code) - _UNREACHABLE:
        if not hasattr(process, name):
            return None
    return symbol, code


def undefined_symbols(code: bytes) -> set[str]:
    """Names that a 64-bit ELF object does not define itself (System V ABI, chapter 4)."""
    (start,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, start + i * size) for i in range(count)]
    found = set()
    for _, kind, _, _, offset, length, link, _, _, step in sections:
        if kind != _SYMTAB:
            continue
        names = sections[link][4]
        for at in range(offset, offset + length, step):
            name, _, _, section = struct.unpack_from("<IBBH", code, at)
            if name and section == _UNDEFINED:
                found.add(code[names + name : code.index(b"\0", names + name)].decode())
    return found


# --- the cache ---------------------------------------------------------------------------------


@cache
def _directory() -> Path | None:
    """Where object files are kept; None if they cannot be used."""
    base = cache_directory() if sys.platform == "linux" and _can_link() else None
    if base is None:
        return None
    directory = base / f"objects-{_machine()}"
    try:
        make_private(directory)
    except OSError:
        return None
    return directory if is_ours_alone(directory) else None


def _machine() -> str:
    """What object code depends on beside its source: the processor, numba and LLVM."""
    import llvmlite
    from llvmlite import binding

    total = hashlib.blake2b(digest().encode(), digest_size=8)
    spec = importlib.util.find_spec("numba")  # finds it, and imports nothing
    if spec is not None and spec.origin is not None:
        total.update(Path(spec.origin).with_name("_version.py").read_bytes())
    total.update(llvmlite.__version__.encode())
    total.update(binding.get_host_cpu_name().encode())
    total.update(binding.get_host_cpu_features().flatten().encode())
    return total.hexdigest()


def _read(path: Path) -> tuple[str, bytes] | None:
    data = read_trusted(path)
    if data is None:
        return None
    digest, rest = data[:_DIGEST], data[_DIGEST:]
    if hashlib.blake2b(rest, digest_size=_DIGEST).digest() != digest:
        return None  # cut short or damaged: it is compiled anew
    symbol, _, code = rest.partition(b"\n")
    return symbol.decode(), code


def _write(path: Path, symbol: str, code: bytes) -> None:
    rest = symbol.encode() + b"\n" + code
    # A cache that cannot be written costs time alone; what is half written goes again.
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(dir=path.parent, delete_on_close=False) as file,
    ):
        file.write(hashlib.blake2b(rest, digest_size=_DIGEST).digest() + rest)
        file.close()
        Path(file.name).replace(path)


_engines: list[Any] = []


def _has(binding: Any, names: tuple[str, ...]) -> bool:
    return all(hasattr(binding, name) for name in names)


def _can_link() -> bool:
    """Whether llvmlite has a linker that is known here; else numba calls the loops."""
    from llvmlite import binding

    return _has(binding, _BINDING) and (_has(binding, _MCJIT) or _has(binding, _ORC))


@cache
def prepare() -> Any:
    """Load the linker, once for a process and those that are forked from it; None if there is
    none."""
    from llvmlite import binding

    _directory()
    if not _can_link():
        return None
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def _link(symbol: str, code: bytes) -> int:
    """Load object code into this process; the address of ``symbol``."""
    binding = prepare()
    abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    if not _has(binding, _MCJIT):
        return _link_by_orc(binding, symbol, code, abort)
    for name in _UNREACHABLE:
        # Where numba is loaded too, its own are known; and it takes over these when it comes.
        if binding.address_of_symbol(name) is None:
            binding.add_symbol(name, abort)
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)  # the code lives as long as it
    return int(engine.get_function_address(symbol))


def _link_by_orc(binding: Any, symbol: str, code: bytes, abort: int | None) -> int:
    """The same by the linker that comes after MCJIT."""
    builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in undefined_symbols(code) & _UNREACHABLE:
        builder.import_symbol(name, abort)
    engine = binding.create_lljit_compiler()
    library = builder.export_symbol(symbol).link(engine, symbol)
    _engines.append((library, engine))
    return int(library[symbol])
