"""Functions of expressions that are numpy's, since IEEE 754 does not settle how they are rounded.

A value has the same bits whatever stands beside it, and whatever part of a register it is in. But
numpy has several ways to compute some of them, and takes one by what the CPU can do; others are
those of the C library. :func:`numerics` tells machines apart that may differ.
"""

from __future__ import annotations

import platform
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

#: Each by its name; ``^`` is a power whose exponent is no whole number, or none that is known.
OF_NUMPY: MappingProxyType[str, Callable[..., object]] = MappingProxyType(
    {
        "^": np.power,
        "acos": np.arccos,
        "acosh": np.arccosh,
        "asin": np.arcsin,
        "asinh": np.arcsinh,
        "atan": np.arctan,
        "atan2": np.arctan2,
        "atanh": np.arctanh,
        "cos": np.cos,
        "cosh": np.cosh,
        "exp": np.exp,
        "log": np.log,
        "log10": np.log10,
        "log2": np.log2,
        "sin": np.sin,
        "sinh": np.sinh,
        "tan": np.tan,
        "tanh": np.tanh,
    }
)


def numerics() -> dict[str, object]:
    """Return what the bits of :data:`OF_NUMPY` depend on: numpy, what it found in the CPU, and the
    C library."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "numpy": ".".join(np.__version__.split(".")[:2]),
        "cpu": [platform.machine(), *found.get("baseline", ()), *found.get("found", ())],
        "libc": "-".join(platform.libc_ver()),
    }
