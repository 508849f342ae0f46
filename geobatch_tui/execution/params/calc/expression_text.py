"""Writes expressions of the step *calc* in GDAL's words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geobatch_tui.execution.params.calc.expression import (
    BINARY,
    RASTERS,
    SIGN,
    Band,
    Number,
    Place,
    SideBand,
)

if TYPE_CHECKING:
    from geobatch_tui.execution.params.calc.expression import Node, Operation


def text_of(node: Node, name: str = RASTERS[0]) -> str:
    """Write a tree in GDAL's words, so that parsing gives it again; ``name`` is that of the raster
    that comes in."""
    return _text(node, 0, name)


def _text(node: Node, outside: int, own: str) -> str:
    """``outside``: how tightly what is round the node binds."""
    match node:
        case Number(value):
            return _number(value, outside)
        case Band(number):
            return f"{own}[{number}]" if number else own
        case SideBand(name, number):
            return f"{name}[{number}]" if number else name
        case Place(name):
            return name
    binds = (
        SIGN if node.name in {"neg", "!"} else BINARY.get(node.name, 0 if node.name == "?" else 9)
    )
    text = _operation(node, binds, own)
    return f"({text})" if binds < outside or (binds == SIGN and outside) else text


def _operation(node: Operation, binds: int, own: str) -> str:
    name, operands = node.name, node.operands
    if name in BINARY:
        right = name == "^"
        left_text, right_text = (
            _text(operands[0], binds + right, own),
            _text(operands[1], binds + 1 - right, own),
        )
        return f"{left_text} {name} {right_text}"
    if binds == SIGN:
        return f"{'-' if name == 'neg' else '!'}{_text(operands[0], SIGN + 1, own)}"
    if name == "?":
        condition, then, other = operands
        return f"{_text(condition, 1, own)} ? {_text(then, 0, own)} : {_text(other, 0, own)}"
    return f"{name}({', '.join(_text(operand, 0, own) for operand in operands)})"


def _number(value: float, outside: int) -> str:
    if math.isnan(value):
        return "nan"
    text = repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
    if math.copysign(1, value) < 0:
        text = text if text.startswith("-") else f"-{text}"
        return f"({text})" if outside else text
    return text
