"""The operation of a list of steps, where a job names none: on rasters or on features.

The name of a step that only one kind has decides; where all of them are steps of both, as
*reproject* and *clip* are, the format that is written, by whatever layer it is said; else the
suffixes of the sources; else it is about rasters.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from geobatch_tui.config.chains.step_kinds import KINDS, RASTER, VECTOR, StepKind, kind_of
from geobatch_tui.config.schema import VECTOR_FORMATS
from geobatch_tui.config.sources import STEPS, Given

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: Entries of a directory that are looked at.
_MOST = 1000


def with_operation(given: Sequence[Given], base: Path) -> Sequence[Given]:
    """Return what the layers of a job give, with the operation that runs its steps, if it names
    none. Paths are relative to ``base``."""
    known = {entry.key: entry for entry in given}
    if "op.name" in known or STEPS not in known:
        return given
    values = {key: entry.value for key, entry in known.items()}
    kind = chosen(values[STEPS], values.get("output.format"), values.get("source.inputs"), base)
    return [Given("op.name", kind.chain, known[STEPS].origin), *given]


def chosen(steps: object, form: object, inputs: object, base: Path) -> StepKind:
    """Return the kind of ``steps``; ``form``: what is written, if it is known; ``inputs``: what is
    read."""
    names = [str(step.get("name", "")) for step in _listed(steps) if isinstance(step, dict)]
    own = [kind for kind in KINDS if any(_is_only_of(kind, name) for name in names)]
    if isinstance(form, str) and form and len(own) != 1:
        return VECTOR if form in VECTOR_FORMATS else RASTER
    paths = (base / entry for entry in _listed(inputs) if isinstance(entry, str))
    return kind_of(names, (name for path in paths for name in _names_in(path)))


def _is_only_of(kind: StepKind, name: str) -> bool:
    return [one for one in KINDS if name in one.steps or name in one.gdal] == [kind]


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _names_in(path: Path) -> Iterator[str]:
    """Yield a path, and the names of the first entries of a directory."""
    yield path.name
    try:
        yield from sorted(entry.name for entry in islice(path.iterdir(), _MOST))
    except OSError:
        return
