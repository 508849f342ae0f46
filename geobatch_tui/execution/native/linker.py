"""Links compiled loops without loading the compiler.

To import numba and to set it up for the first call takes 0.2 s in each process; the loops of a
short job run for less. So the machine code of a loop is kept in the user's cache as an object file,
which LLVM's linker alone loads in milliseconds. Numba compiles what is not there, once for a
machine and version.

Measured in pairs on two cores, all code compiled before: a small raster takes 1.25 s with this
linker and 3.3 s with numba's own cache, numba loaded once in the fork server; 177 countries take
0.8 s and 1.7 s.

Numba tells the object code of a function by a private attribute only. Where that is gone, or
llvmlite's linker, or on a system without ELF, numba's own cache is used: the same loops, called
through numba.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import struct
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.native.code_cache import (
    cache_directory,
    digest,
    is_ours_alone,
    make_private,
    read_trusted,
)
from geobatch_tui.execution.runtime.recorder import compiling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The name of a function, and the object code that defines it.
type ObjectCode = tuple[str, bytes]

#: Parts of numba's runtime, for references and exceptions that loops do not have.
UNREACHABLE = frozenset({
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


def address_of(
    name: str, compiled: Callable[[], object], needed: frozenset[str] = frozenset()
) -> int | None:
    """Return the address of the code that is kept as ``name``, linked into this process.

    Args:
        name: of the object file.
        compiled: makes the function of numba, where none is kept.
        needed: the symbols of code of ours that it calls (:func:`add_symbol`).

    Returns:
        None where the code cannot be kept or linked: numba is to call it.
    """
    directory = object_folder()
    if directory is None:
        return None
    path = directory / f"{name}.o"
    code = _read(path) or _compile_and_keep(compiled, path, needed)
    return None if code is None else _link(*code)


def _compile_and_keep(
    compiled: Callable[[], object], path: Path, needed: frozenset[str]
) -> ObjectCode | None:
    """Compile a loop, and keep its object code at ``path``: workers that need the same loop wait
    for the one that compiles it, others compile theirs beside it."""
    with compiling(), _locked(path.with_suffix(".lock")):
        code = _read(path)
        if code is None:
            code = _object_of(compiled(), needed)
            if code is not None:
                _write(path, *code)
        return code


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock, if the file system has locks: without it only time is lost."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _object_of(compiled: Any, needed: frozenset[str]) -> ObjectCode | None:
    """Return a function's symbol and object code; None: numba does not give them, or they need more
    of its runtime than is known here, beside code of ours with the symbols ``needed``."""
    try:
        symbol = str(compiled._wrapper_name)  # noqa: SLF001 - there is no public way
        code = bytes(compiled._library._get_compiled_object())  # noqa: SLF001 - nor here
    except AttributeError:
        return None
    if not code.startswith(b"\x7fELF"):
        return None
    process = ctypes.CDLL(None)
    for name in undefined_symbols(code) - UNREACHABLE - needed:
        if not hasattr(process, name):
            return None
    return symbol, code


def undefined_symbols(code: bytes) -> set[str]:
    """List the names that a 64-bit ELF object does not define (System V ABI, chapter 4)."""
    (start,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, start + i * size) for i in range(count)]
    names = set()
    for _, kind, _, _, offset, length, link, _, _, step in sections:
        if kind != _SYMTAB:
            continue
        strings = sections[link][4]
        for at in range(offset, offset + length, step):
            name, _, _, section = struct.unpack_from("<IBBH", code, at)
            if name and section == _UNDEFINED:
                start = strings + name
                names.add(code[start : code.index(b"\0", start)].decode())
    return names


# --- the cache ---------------------------------------------------------------------------------


@cache
def object_folder() -> Path | None:
    """Return the folder of object files; None if they cannot be used."""
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
    """Digest what object code depends on beside its source: the processor, numba and LLVM."""
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


def _read(path: Path) -> ObjectCode | None:
    data = read_trusted(path)
    if data is None:
        return None
    checksum, content = data[:_DIGEST], data[_DIGEST:]
    if hashlib.blake2b(content, digest_size=_DIGEST).digest() != checksum:
        return None  # cut short or damaged: it is compiled anew
    symbol, _, code = content.partition(b"\n")
    return symbol.decode(), code


def _write(path: Path, symbol: str, code: bytes) -> None:
    content = symbol.encode() + b"\n" + code
    # A cache that cannot be written costs time alone; what is half written goes again.
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(dir=path.parent, delete_on_close=False) as file,
    ):
        file.write(hashlib.blake2b(content, digest_size=_DIGEST).digest() + content)
        file.close()
        Path(file.name).replace(path)


_engines: list[object] = []
#: Addresses of code of ours that other code calls, by symbol.
_symbols: dict[str, int] = {}


def add_symbol(symbol: str, address: int) -> None:
    """Have code that is linked from here on call what lies at ``address`` by ``symbol``."""
    from llvmlite import binding

    if symbol not in _symbols:
        _symbols[symbol] = address
        # For code that numba links, too.
        binding.add_symbol(symbol, address)


def _has(binding: object, names: tuple[str, ...]) -> bool:
    return all(hasattr(binding, name) for name in names)


def _can_link() -> bool:
    """Whether llvmlite has a linker that is known here; if not, numba calls the loops."""
    from llvmlite import binding

    return _has(binding, _BINDING) and (_has(binding, _MCJIT) or _has(binding, _ORC))


@cache
def prepare() -> bool:
    """Load llvmlite's linker, once for a process and its forks. False if there is none."""
    from llvmlite import binding

    object_folder()
    if not _can_link():
        return False
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return True


def _link(symbol: str, code: bytes) -> int:
    """Load object code into this process, and return the address of ``symbol``."""
    from llvmlite import binding

    prepare()
    abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    if not _has(binding, _MCJIT):
        return _link_by_orc(symbol, code, abort)
    for name in UNREACHABLE:
        # Where numba is loaded too, its own are known; and it takes over these when it comes.
        if binding.address_of_symbol(name) is None:
            binding.add_symbol(name, abort)
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)  # the code lives as long as it
    return int(engine.get_function_address(symbol))


def _link_by_orc(symbol: str, code: bytes, abort: int | None) -> int:
    """Load object code by ORC, the linker that comes after MCJIT."""
    from llvmlite import binding

    builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process()
    undefined = undefined_symbols(code)
    for name in undefined & UNREACHABLE:
        builder.import_symbol(name, abort)
    for name in undefined & _symbols.keys():
        builder.import_symbol(name, _symbols[name])
    engine = binding.create_lljit_compiler()
    library = builder.export_symbol(symbol).link(engine, symbol)
    _engines.append((library, engine))
    return int(library[symbol])
