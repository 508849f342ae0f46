"""What a function of the user declares by its ``@step``, for one set of parameters."""

from __future__ import annotations

import inspect
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import PreflightError
from geobatch_tui.functions import Declaration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class OwnDeclaration:
    """What a function declares. Where that cannot be, methods raise PreflightError, for all items
    alike."""

    #: Arguments of the decorator that are about other data.
    foreign: Sequence[str] = ()
    #: What it is about.
    about: str = ""

    def __init__(self, use: str, said: Declaration, given: Mapping[str, object]) -> None:
        self.use = use
        self.said = said
        self._given = given
        plain = {each.name: each.default for each in fields(Declaration)}
        for name in self.foreign:
            if getattr(said, name) is not plain[name] and getattr(said, name) != plain[name]:
                raise self.wrong(name, f"is nothing that a function of {self.about} declares")

    def chosen(self, name: str) -> Any:
        """Return an argument of the decorator, which may be a function of the parameters."""
        value = getattr(self.said, name)
        if not callable(value) or isinstance(value, type):
            return value
        try:
            names = inspect.signature(value).parameters
            return value(**{each: self._given[each] for each in names if each in self._given})
        except Exception as error:
            raise self.wrong(name, f"raised {type(error).__name__}: {error}") from error

    def wrong(self, name: str, text: str) -> PreflightError:
        """Return the error of one argument of the decorator."""
        return PreflightError(f"{self.use}: {name} of its @step {text}")

    def memory(self) -> float | None:
        """Return the bytes that it takes beside what it is given, in times of that; None: it does
        not say."""
        memory: Any = self.said.memory
        if memory is None:
            return None
        is_number = isinstance(memory, int | float) and not isinstance(memory, bool)
        if not is_number or not 0 <= memory <= 1000:
            raise self.wrong("memory", f"is {memory!r}; it is a number of times its input")
        return float(memory)


def packed(value: object) -> object:
    """Return a parameter as JSON can hold it, so that a text "nan" stays one."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, list | tuple):
        return [packed(entry) for entry in value]
    return value


def unpacked(value: object) -> object:
    """Return a parameter that :func:`packed` gave, with tuples in place of lists."""
    if isinstance(value, dict):
        return float(value["float"])
    if isinstance(value, list):
        return tuple(unpacked(entry) for entry in value)
    return value
