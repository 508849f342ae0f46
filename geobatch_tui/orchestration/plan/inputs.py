"""The input files of ``source.inputs``, the items of their layers, and the names of the outputs.
Opens no dataset."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from geobatch_tui.config.catalog.stac_source import StacSource
from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.source_list import is_source_list
from geobatch_tui.execution.stores.object_url import is_url, shown
from geobatch_tui.ledger.place.regular_file import read
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.output_names import (
    NAME_MAX,
    ROOM,
    folded,
    key_of,
    plain_name,
    shortened,
)
from geobatch_tui.orchestration.plan.remote.object_inputs import is_alone, walk_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import Json

RASTER_SUFFIXES = frozenset(
    {".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".nc", ".hdf", ".h5", ".dem"}
)
VECTOR_SUFFIXES = frozenset(
    {
        ".gpkg", ".fgb", ".shp", ".geojson", ".geojsonl", ".geojsons", ".ndjson", ".jsonl",
        ".parquet", ".geoparquet", ".csv", ".kml", ".gml", ".gdb", ".zip",
    }
)  # fmt: skip
#: More suffixes of vectors in directories, with the beginning that tells them from other files;
#: outputs keep these suffixes in their names.
_VECTORS_BY_HEAD = {
    ".json": re.compile(
        rb'"type"\s*:\s*"(?:Feature(?:Collection)?|GeometryCollection'
        rb'|(?:Multi)?(?:Point|LineString|Polygon))"'
    ),
    ".sqlite": re.compile(rb"\ASQLite format 3\x00"),
}
_HEAD = 4096
SUFFIXES = {
    "COG": ".tif",
    "GTiff": ".tif",
    "GeoParquet": ".parquet",
    "FlatGeobuf": ".fgb",
    "GPKG": ".gpkg",
    "GeoJSON": ".geojson",
    "GeoJSONSeq": ".geojsonl",
    "Shapefile": ".shp.zip",
}
LIST_MAX = 256 << 20
"""Bytes of a list of inputs: names of a million files."""

EVERY = "*"
"""The ``source.layer`` that makes an item of each layer."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input: its absolute ``path``, or URL, and the ``key``, its output's name below the output
    directory. Both may hold any bytes (``surrogateescape``). ``layer``: the layer to take of
    several; empty: the only one. ``members``: paths of the files whose bands are those of one item
    of a catalogue, if there are several; ``sign``: the function that signs their URLs;
    ``facts``: what the ledger keeps of this item; ``alone``: it is known that its store has nothing
    beside it."""

    path: str
    key: str
    layer: str = ""
    members: tuple[str, ...] = ()
    sign: str = ""
    facts: Json = field(default_factory=dict)
    alone: bool = False


def expand(
    inputs: Sequence[str | StacSource],
    output_dir: Path,
    output_format: str,
    *,
    own_names: bool = True,
) -> list[Input]:
    """Expand files, directories, globs and ``@list`` files, in order, without duplicates.

    A file that does not exist, also one that a link leads to, is kept: it becomes a dead letter,
    not an end of the run. Files below ``output_dir`` are left out of directories and globs, so
    that a second run does not eat the first one's outputs. ``own_names``: each input has an output
    of its own name.

    Raises:
        PreflightError: an unreadable list, or one that is no file, two inputs with one
            output name (also where names differ only by case), an output that is its own input, a
            store that cannot be listed, or no input at all.
    """
    suffix = SUFFIXES[output_format]
    suffixes = RASTER_SUFFIXES if suffix == ".tif" else VECTOR_SUFFIXES
    seen: set[tuple[str, ...]] = set()
    entries: list[Input] = []
    for one in inputs:
        if isinstance(one, StacSource):
            found = _catalogued(one, suffix)
        else:
            found = (
                Input(path, _key(relative, suffix, suffixes), alone=alone)
                for path, relative, alone in _walk((one,), output_dir, suffixes)
            )
        for entry in found:
            same = entry.path, *entry.members
            if same not in seen:
                seen.add(same)
                entries.append(entry)
    if not entries:
        named = ", ".join(map(_named, inputs)) or "source.inputs is empty"
        raise PreflightError(f"no input matched: {named}", hint="check source.inputs")
    if own_names:
        _refuse_collisions(entries, output_dir)
    return entries


def _named(entry: str | StacSource) -> str:
    return shown(entry.stac if isinstance(entry, StacSource) else entry)


def _catalogued(entry: StacSource, suffix: str) -> Iterator[Input]:
    """Yield the items of a catalogue."""
    from geobatch_tui.orchestration.plan.catalog.stac_inputs import walk_catalogue

    for item in walk_catalogue(entry):
        members = item.places if len(item.places) > 1 else ()
        key = key_of(item.name, suffix)
        path = item.places[0]
        alone = is_alone(path)
        yield Input(path, key, members=members, sign=entry.sign, facts=item.facts, alone=alone)


def _walk(
    inputs: Iterable[str], output_dir: Path, suffixes: frozenset[str]
) -> Iterator[tuple[str, str, bool]]:
    """Yield (absolute path, path of the output without suffix change, whether it is known that its
    store has nothing beside it) of each input."""
    for entry in inputs:
        if is_url(entry):
            yield from walk_objects(entry, suffixes)
        elif entry.startswith("@"):
            yield from _walk(_read_list(Path(entry[1:])), output_dir, suffixes)
        elif os.path.isdir(entry) and not _is_dataset(Path(entry), suffixes):  # noqa: PTH112
            yield from ((*one, False) for one in _walk_directory(Path(entry), output_dir, suffixes))
        elif glob.has_magic(entry) and not os.path.lexists(entry):
            yield from ((*one, False) for one in _walk_glob(entry, output_dir, suffixes))
        else:
            path = os.path.abspath(entry)  # noqa: PTH100 - Path.resolve would follow links
            if is_source_list(path):
                raise PreflightError(
                    f"{safe(path)}: lists of sources are the engine's own",
                    hint="give the files, or a text file of paths as @list.txt",
                )
            yield path, os.path.basename(path), False  # noqa: PTH119 - the same


def _read_list(path: Path) -> list[str]:
    try:
        lines = read(path, LIST_MAX, follow=True).splitlines()
    except OSError as error:
        raise PreflightError(
            f"cannot read the list of inputs {safe(str(path))}: {error.strerror}",
            hint="give a text file with a path on each line",
        ) from error
    base = path.parent
    entries = (os.fsdecode(line.strip()) for line in lines)
    return [
        entry if is_url(entry) else os.path.join(base, entry)  # noqa: PTH118 - odd bytes
        for entry in entries
        if entry and not entry.startswith("#")
    ]


def _is_dataset(path: Path, suffixes: frozenset[str]) -> bool:
    """Whether a directory is an input as a whole, where inputs have these suffixes."""
    return path.suffix.lower() in suffixes and source_files.is_dataset(path)


def _walk_directory(
    root: Path, output_dir: Path, suffixes: frozenset[str]
) -> Iterator[tuple[str, str]]:
    root = root.absolute()
    for directory, names, files in os.walk(root):
        inner = sorted(
            name for name in names if not Path(directory, name).is_relative_to(output_dir)
        )
        whole = {name for name in inner if _is_dataset(Path(directory, name), suffixes)}
        names[:] = [name for name in inner if name not in whole]
        below = directory[len(str(root)) :].lstrip("/")
        for name in sorted([*files, *whole]):
            path = os.path.join(directory, name)  # noqa: PTH118 -- a hundred thousand of them
            if not name.startswith(".") and _is_input(path, suffixes):
                yield path, f"{below}/{name}" if below else name


def _is_input(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a file in a directory is an input. A file that cannot be read, a pipe, or a link to
    nothing is left to its probe."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 -- the same
    known = _VECTORS_BY_HEAD.get(suffix) if suffixes is VECTOR_SUFFIXES else None
    if known is None:
        return suffix in suffixes
    path = Path(name)
    if path.is_dir():
        return suffix in suffixes
    if not path.is_file():
        return True
    try:
        with path.open("rb") as file:
            return known.search(file.read(_HEAD)) is not None
    except OSError:
        return True


def _walk_glob(
    pattern: str, output_dir: Path, suffixes: frozenset[str]
) -> Iterator[tuple[str, str]]:
    pattern = os.path.abspath(pattern)  # noqa: PTH100 - a pattern, not a path
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = os.path.join(*parts[:fixed], "")  # noqa: PTH118 -- odd bytes

    @cache
    def is_closed(directory: str) -> bool:
        """Whether what lies in a directory is part of an input, or an output."""
        place = Path(directory)
        within = any(_is_dataset(one, suffixes) for one in (place, *place.parents))
        return within or place.is_relative_to(output_dir)

    outputs = str(output_dir)
    for path in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - keeps odd bytes
        plain = path.rstrip("/") or "/"
        if plain == outputs or is_closed(os.path.dirname(plain)):  # noqa: PTH120 -- many of them
            continue
        if not os.path.isdir(plain) or _is_dataset(Path(plain), suffixes):  # noqa: PTH112
            yield path, plain[len(base) :] or "."


def _key(relative: str, suffix: str, suffixes: frozenset[str] = RASTER_SUFFIXES) -> str:
    """Return the output name: the input's with the format's suffix, shortened if too long."""
    directory, name = os.path.split(relative)
    stem, own = os.path.splitext(name)  # noqa: PTH122 -- a hundred thousand of them
    stem = stem if own.lower() in suffixes else name
    if own.lower() == ".zip":  # a.shp.zip
        inner, within = os.path.splitext(stem)  # noqa: PTH122 -- the same
        stem = inner if within.lower() in suffixes else stem
    key = shortened(stem, NAME_MAX - len(suffix)) + suffix
    return f"{directory}/{key}" if directory else key


def _refuse_collisions(entries: Sequence[Input], output_dir: Path) -> None:
    owners: dict[str, Input] = {}
    clashes: list[str] = []
    for entry in entries:
        other = owners.setdefault(folded(entry.key), entry)
        if other is not entry:
            clashes.append(
                f"  {safe(other.path)} and {safe(entry.path)} would both become {safe(entry.key)}"
            )
        if os.path.abspath(output_dir / entry.key) == entry.path:  # noqa: PTH100 - the same
            clashes.append(f"  {safe(entry.path)} would be replaced by its own output")
    if clashes:
        first = "\n".join(clashes[:20])
        more = f"\n  and {len(clashes) - 20} more" if len(clashes) > 20 else ""
        raise PreflightError(
            f"output names collide (case does not tell them apart everywhere):\n{first}{more}",
            hint="rename the inputs, give their directory instead, or use another output.dir",
        )


def prefix_of(key: str, output_format: str) -> str:
    """Return the beginning of the output names of an input's layers; ``key``: its output's name if
    it has one layer."""
    suffix = SUFFIXES[output_format]
    path = Path(key.removesuffix(suffix))
    room = NAME_MAX - len(suffix) - ROOM - 1
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
    names = [plain_name(layer, marks=alike[folded(layer)] > 1) for layer in layers]
    return [
        replace(entry, key=f"{prefix}{name}{suffix}", layer=layer)
        for name, layer in zip(names, layers, strict=True)
    ]


class Names:
    """The output names of a job whose items are found one after the other."""

    def __init__(self, inputs: Iterable[Input], output_dir: Path) -> None:
        self._sources = {entry.path for entry in inputs}
        self._output_dir = output_dir
        self._owners: dict[str, str] = {}

    def take(self, key: str, source: str) -> None:
        """Give an output name to an item of ``source``. Raises PreflightError where another item
        has it, or an input would be replaced."""
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
