"""Items of the layers of a source, where ``source.layer`` is ``*``: their names. Opens nothing."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.errors import PreflightError
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.inputs import NAME_MAX, SUFFIXES, folded, marked, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geobatch_tui.orchestration.plan.inputs import Input

EVERY = "*"
"""The ``source.layer`` that makes an item of each layer."""

_ROOM = 100
"""Bytes of a layer's name in that of its output."""

_PLAIN = frozenset("-_. ")
_KINDS = frozenset("LMN")
"""First letters of Unicode's categories of letters, marks and digits."""


def prefix_of(key: str, output_format: str) -> str:
    """Return the beginning of the output names of an input's layers; ``key``: its output's name if
    it has one layer."""
    suffix = SUFFIXES[output_format]
    path = Path(key.removesuffix(suffix))
    room = NAME_MAX - len(suffix) - _ROOM - 1
    return f"{path.with_name(shortened(path.name, room))}."


def items_of(entry: Input, layers: Sequence[str], output_format: str) -> list[Input]:
    """Make an item for each of the ``layers`` of an input; for a single one, the input as it is.

    An output is named ``input.layer.suffix``. Characters of a layer's name other than letters,
    digits, ``-``, ``_``, ``.`` and blank become ``_``. A name that is changed by that or too long,
    or that differs from another only by case, ends in a mark of it, so that it is unique.
    """
    if len(layers) < 2:
        return [entry]
    prefix, suffix = prefix_of(entry.key, output_format), SUFFIXES[output_format]
    alike = Counter(map(folded, layers))
    names = [_file_name(layer, marks=alike[folded(layer)] > 1) for layer in layers]
    return [
        replace(entry, key=f"{prefix}{name}{suffix}", layer=layer)
        for name, layer in zip(names, layers, strict=True)
    ]


def _file_name(layer: str, *, marks: bool) -> str:
    plain = "".join(
        sign if sign in _PLAIN or unicodedata.category(sign)[0] in _KINDS else "_" for sign in layer
    ).strip(". ")
    raw = os.fsencode(plain)
    if plain == layer and len(raw) <= _ROOM and not marks:
        return plain
    return marked(raw, layer.encode("utf-8", "surrogatepass"), _ROOM)


class Names:
    """The output names of a job whose items are found one after the other.

    Args:
        inputs: of the job.
        output_dir: of the job.
    """

    def __init__(self, inputs: Iterable[Input], output_dir: Path) -> None:
        self._sources = {entry.path for entry in inputs}
        self._output_dir = output_dir
        self._owners: dict[str, str] = {}

    def take(self, key: str, source: str) -> None:
        """Give an output name to an item of ``source``.

        Raises:
            PreflightError: another item has it, or an input would be replaced.
        """
        clash = ""
        owner = self._owners.get(folded(key))
        self._owners[folded(key)] = source
        if os.path.abspath(self._output_dir / key) in self._sources:  # noqa: PTH100 - keeps links
            clash = f"the input {safe(str(self._output_dir / key))} would be replaced by an output"
        elif owner is not None:
            clash = f"{safe(owner)} and {safe(source)} would both become {safe(key)}"
        if clash:
            raise PreflightError(
                f"output names collide: {clash}",
                hint="rename the inputs, or use another output.dir",
            )
