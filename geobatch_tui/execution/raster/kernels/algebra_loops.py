"""Loops over registers of pixels, compiled: the operations of the step *calc* that IEEE 754 rounds
in one way. See ``algebra/calc_program.py``.

A truth value is 1 or 0; whatever is not 0 holds, even NaN.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: Values of a register that are worked on at a time: three of them stay in the first cache.
_BLOCK = 1024

#: Operations by name; their place is their code.
CODES = (
    "+", "-", "*", "/", "neg", "abs", "sqrt", "rint", "sign", "min", "max", "<", "<=", "==", "!=",
    "&&", "||", "!", "isnan", "?",
)  # fmt: skip


@jit
def _arithmetic(code, x, y, out):
    if code == 0:
        for k in range(out.shape[0]):
            out[k] = x[k] + y[k]
    elif code == 1:
        for k in range(out.shape[0]):
            out[k] = x[k] - y[k]
    elif code == 2:
        for k in range(out.shape[0]):
            out[k] = x[k] * y[k]
    elif code == 3:
        for k in range(out.shape[0]):
            out[k] = x[k] / y[k]


@jit
def _functions(code, x, out):
    if code == 4:
        for k in range(out.shape[0]):
            out[k] = -x[k]
    elif code == 5:
        for k in range(out.shape[0]):
            out[k] = abs(x[k])
    elif code == 6:
        for k in range(out.shape[0]):
            out[k] = np.sqrt(x[k])
    elif code == 7:
        for k in range(out.shape[0]):
            out[k] = np.floor(x[k] + 0.5)
    elif code == 8:
        for k in range(out.shape[0]):
            value = x[k]
            out[k] = 1.0 if value > 0.0 else (-1.0 if value < 0.0 else value)


@jit
def _least_or_most(code, x, y, out):
    """NaN if one of the two is."""
    if code == 9:
        for k in range(out.shape[0]):
            one, other = x[k], y[k]
            out[k] = one if (one <= other) | np.isnan(one) else other
    else:
        for k in range(out.shape[0]):
            one, other = x[k], y[k]
            out[k] = one if (one >= other) | np.isnan(one) else other


@jit
def _comparisons(code, x, y, out):
    if code == 11:
        for k in range(out.shape[0]):
            out[k] = 1.0 if x[k] < y[k] else 0.0
    elif code == 12:
        for k in range(out.shape[0]):
            out[k] = 1.0 if x[k] <= y[k] else 0.0
    elif code == 13:
        for k in range(out.shape[0]):
            out[k] = 1.0 if x[k] == y[k] else 0.0
    elif code == 14:
        for k in range(out.shape[0]):
            out[k] = 1.0 if x[k] != y[k] else 0.0


@jit
def _logic(code, x, y, out):
    if code == 15:
        for k in range(out.shape[0]):
            out[k] = 1.0 if (x[k] != 0.0) & (y[k] != 0.0) else 0.0
    elif code == 16:
        for k in range(out.shape[0]):
            out[k] = 1.0 if (x[k] != 0.0) | (y[k] != 0.0) else 0.0
    elif code == 17:
        for k in range(out.shape[0]):
            out[k] = 1.0 if x[k] == 0.0 else 0.0
    elif code == 18:
        for k in range(out.shape[0]):
            out[k] = 1.0 if np.isnan(x[k]) else 0.0


@jit
def _choose(condition, then, other, out):
    for k in range(out.shape[0]):
        out[k] = then[k] if condition[k] != 0.0 else other[k]


@jit
def run(program, registers):
    """Run operations (n, 5), each a code, the registers of three operands, and another one for the
    result, on registers (m, length)."""
    length = registers.shape[1]
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        for step in range(program.shape[0]):
            code = program[step, 0]
            x = registers[program[step, 1], start:stop]
            y = registers[program[step, 2], start:stop]
            out = registers[program[step, 4], start:stop]
            if code <= 3:
                _arithmetic(code, x, y, out)
            elif code <= 8:
                _functions(code, x, out)
            elif code <= 10:
                _least_or_most(code, x, y, out)
            elif code <= 14:
                _comparisons(code, x, y, out)
            elif code <= 18:
                _logic(code, x, y, out)
            else:
                _choose(x, y, registers[program[step, 3], start:stop], out)
