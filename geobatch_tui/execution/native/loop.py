"""Loops over arrays, called as machine code that numba compiled once.

A loop takes arrays that lie in memory in one piece, row by row, and never allocates or raises: what
its code holds of numba's runtime for these cases cannot be reached, and would end the process.

Loops that do the same for each type of pixel share parts that know of none, such as the weights of
a row. A part is a loop of its own, which others call as machine code (:func:`linked`): it is
compiled once, and not in each of them. Numba would put it into each; weights alone took two fifths
of the time to compile the loops of a warp.
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.native import linker
from geobatch_tui.execution.native.jit import Deferred
from geobatch_tui.execution.runtime.recorder import compiling

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

type Dtype = np.dtype[np.generic]

#: Names of scalar types, to numba and to ctypes.
_SCALARS = {
    "int": ("intp", ctypes.c_ssize_t),
    "float": ("float64", ctypes.c_double),
    "bool": ("boolean", ctypes.c_bool),
}


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a loop.

    ``type`` is a type of numpy, or ``T``, which is that of the first argument with ``T``; of a
    scalar, which has 0 ``dimensions``, it is int, float or bool. ``pair``: two scalars, as a tuple.
    """

    type: str
    dimensions: int = 0
    pair: bool = False

    @classmethod
    def of(cls, text: str) -> Argument:
        """Parse ``float64:2`` (an array of two dimensions), ``int``, or ``int,int`` (a pair)."""
        kind, _, dimensions = text.partition(":")
        first, _, second = kind.partition(",")
        return cls(first, int(dimensions or 0), bool(second))

    def dtype(self, generic: Dtype | None) -> Dtype | None:
        """Return the dtype of the elements, where ``T`` is ``generic``; None for a scalar."""
        if not self.dimensions:
            return None
        return generic if self.type == "T" else np.dtype(self.type)


@dataclass(slots=True)
class Loop:
    """A compiled function of a room of kernels, called with arrays of any of its types.

    ``packs``: LLVM looks for equal operations side by side, and makes one of them. ``package`` is
    the one of ``execution`` in whose ``kernels`` the module is. ``results``: how many whole numbers
    the function returns. ``needs``: the loops that it calls as machine code.
    """

    module: str
    name: str
    arguments: tuple[Argument, ...]
    packs: bool = False
    package: str = "raster"
    results: int = 0
    needs: tuple[Loop, ...] = ()
    #: The function, or None if numba calls it, and the dtype of each argument, by the type of
    #: ``T``. It is looked up thousands of times in a chunk.
    _functions: dict[
        Dtype | None, tuple[Callable[..., object] | None, tuple[Dtype | None, ...]]
    ] = field(default_factory=dict)
    #: Types that numba has called the function for.
    _called: set[Dtype | None] = field(default_factory=set)
    #: Where the code lies, by the name of the type of ``T``.
    _addresses: dict[str, int | None] = field(default_factory=dict)
    _first: int | None = None

    @classmethod
    def of(
        cls,
        place: str,
        arguments: str,
        *,
        packs: bool = False,
        package: str = "raster",
        results: int = 0,
        needs: tuple[Loop, ...] = (),
    ) -> Loop:
        """Describe the loop at ``place`` (module.name); ``arguments`` as in :meth:`Argument.of`."""
        module, _, name = place.rpartition(".")
        kinds = tuple(map(Argument.of, arguments.split()))
        return cls(module, name, kinds, packs, package, results, needs)

    def __post_init__(self) -> None:
        types = [argument.type for argument in self.arguments]
        self._first = types.index("T") if "T" in types else None

    @property
    def function(self) -> Any:
        """The function as numba calls it."""
        module = importlib.import_module(
            f"geobatch_tui.execution.{self.package}.kernels.{self.module}"
        )
        return getattr(module, self.name)

    def __call__(self, *values: Any) -> Any:
        """Run the loop, and return its number, or all of them if it has several.

        Raises TypeError if an array is not of the type and form that the loop takes.
        """
        generic = None if self._first is None else values[self._first].dtype
        function, dtypes = self._functions.get(generic) or self._resolve(generic)
        if function is None:
            return self._by_numba(generic, values)
        flat: list[object] = []
        for argument, dtype, value in zip(self.arguments, dtypes, values, strict=True):
            if dtype is not None:
                _check(argument, dtype, value)
                flat.append(_address(value))
                flat += value.shape
            elif argument.pair:
                flat += value
            else:
                flat.append(value)
        if not self.results:
            return function(*flat)
        results = (ctypes.c_int64 * self.results)()
        function(*flat, results)
        return results[0] if self.results == 1 else tuple(results)

    def _by_numba(self, generic: Dtype | None, values: tuple[object, ...]) -> object:
        """Call the loop through numba, which compiles it at the first call for a type."""
        if generic in self._called:
            return self.function(*values)
        self._called.add(generic)
        with compiling():
            self._link_needs()
            return self.function(*values)

    def _resolve(
        self, generic: Dtype | None
    ) -> tuple[Callable[..., object] | None, tuple[Dtype | None, ...]]:
        if generic is not None and not generic.isnative:
            raise TypeError(f"pixels of {generic}, whose bytes lie the other way round")
        dtypes = tuple(argument.dtype(generic) for argument in self.arguments)
        self._functions[generic] = self._load("" if generic is None else generic.name), dtypes
        return self._functions[generic]

    def _load(self, generic: str) -> Callable[..., object] | None:
        """Return the function of ctypes for pixels of type ``generic``; None: numba calls it."""
        address = self.address(generic)
        if address is None:
            return None
        kinds: list[type] = []
        for argument in self.arguments:
            if argument.dimensions:
                kinds += [ctypes.c_void_p] + [ctypes.c_ssize_t] * argument.dimensions
            else:
                kinds += [_SCALARS[argument.type][1]] * (2 if argument.pair else 1)
        kinds += [ctypes.c_void_p] * bool(self.results)
        return ctypes.CFUNCTYPE(None, *kinds)(address)

    def address(self, generic: str = "") -> int | None:
        """Return where the machine code lies in this process; None: it cannot be kept or linked."""
        if generic not in self._addresses:
            needed = self._link_needs()
            self._addresses[generic] = linker.address_of(
                f"{self.package}.{self.module}.{self.name}-{generic}",
                lambda: _compile(self, generic),
                needed,
            )
        return self._addresses[generic]

    @property
    def symbol(self) -> str:
        """The name by which the code of other loops calls this one."""
        return f"geobatch_{self.package}_{self.module}_{self.name}".replace(".", "_")

    def _link_needs(self) -> frozenset[str]:
        """Have the loops that it calls in this process; return their symbols."""
        return frozenset(need.symbol for need in self.needs if need.is_linked())

    def is_linked(self) -> bool:
        """Whether code of other loops can call it by its symbol, from here on."""
        address = self.address()
        if address is not None:
            linker.add_symbol(self.symbol, address)
        return address is not None


def linked(loop: Loop) -> Deferred:
    """Name a loop, of no type ``T``, for compiled functions: they call its machine code. It stands
    in the ``needs`` of theirs. Where it cannot be linked, numba compiles it into each."""

    def make(numba: ModuleType) -> Any:
        return _caller(numba, loop) if loop.is_linked() else loop.function.part()

    return Deferred(make, make)


def _check(argument: Argument, wanted: Dtype, value: np.ndarray) -> None:
    dtype = value.dtype
    # Truth values are bytes of 0 and 1.
    alike = dtype == wanted or (dtype == np.bool_ and wanted == np.uint8)
    if not alike or value.ndim != argument.dimensions:
        raise TypeError(f"{value.ndim} dimensions of {dtype} in the place of {argument}")
    if not value.flags.c_contiguous:
        raise TypeError(f"an array with gaps in the place of {argument}")


def _address(value: np.ndarray) -> int:
    """Return where an array lies in memory. Numpy's own way takes three times as long."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(value))
    except (TypeError, ValueError):  # not to be written, or empty
        return int(value.ctypes.data)


def _compile(loop: Loop, generic: str) -> object:
    """Compile the loop by numba, as a C function of pointers and numbers."""
    numba = importlib.import_module("numba")
    kinds = _kinds(numba, loop, generic)
    names: list[str] = []
    passed: list[str] = []
    for number, argument in enumerate(loop.arguments):
        name = f"a{number}"
        if argument.dimensions:
            sides = [f"{name}_{side}" for side in range(argument.dimensions)]
            names += [name, *sides]
            passed.append(f"carray({name}, ({', '.join(sides)},))")
        else:
            parts = [f"{name}_0", f"{name}_1"] if argument.pair else [name]
            names += parts
            passed.append(f"({', '.join(parts)})" if argument.pair else name)
    call = f"loop({', '.join(passed)})"
    if loop.results:
        names.append("found")
        places = [f"found[{number}]" for number in range(loop.results)]
        call = f"{', '.join(places)} = {call}"
    text = f"def {loop.name}({', '.join(names)}):\n    {call}\n"
    scope = {"carray": numba.carray, "loop": loop.function.part()}
    exec(text, scope)  # noqa: S102 - of names that are written here
    before = numba.config.SLP_VECTORIZE
    numba.config.SLP_VECTORIZE = int(loop.packs)
    try:
        return numba.cfunc(numba.types.void(*kinds), error_model="numpy")(scope[loop.name])
    finally:
        numba.config.SLP_VECTORIZE = before


def _kinds(numba: Any, loop: Loop, generic: str) -> list[object]:
    """Return the types of the arguments of the C function."""
    kinds: list[object] = []
    for argument in loop.arguments:
        if argument.dimensions:
            dtype = generic if argument.type == "T" else argument.type
            kinds += [numba.types.CPointer(getattr(numba.types, dtype))]
            kinds += [numba.types.intp] * argument.dimensions
        else:
            kind = getattr(numba.types, _SCALARS[argument.type][0])
            kinds += [kind] * (2 if argument.pair else 1)
    if loop.results:
        kinds.append(numba.types.CPointer(numba.types.int64))
    return kinds


def _caller(numba: Any, loop: Loop) -> Any:
    """Make what compiled functions call: it hands arrays over as pointers and sides."""
    names = [f"a{number}" for number in range(len(loop.arguments))]
    passed: list[str] = []
    for name, argument in zip(names, loop.arguments, strict=True):
        if argument.dimensions:
            passed.append(f"{name}.ctypes")
            passed += [f"{name}.shape[{side}]" for side in range(argument.dimensions)]
        else:
            passed += [f"{name}[0]", f"{name}[1]"] if argument.pair else [name]
    text = f"def {loop.name}({', '.join(names)}):\n    code({', '.join(passed)})\n"
    signature = numba.types.void(*_kinds(numba, loop, ""))
    scope = {"code": numba.types.ExternalFunction(loop.symbol, signature)}
    exec(text, scope)  # noqa: S102 - of names that are written here
    return numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        scope[loop.name]
    )
