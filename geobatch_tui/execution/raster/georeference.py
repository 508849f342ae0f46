"""Where a source lies: its CRS and transform, or why nobody can tell."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pyproj.exceptions import CRSError as ProjError

from geobatch_tui.errors import CrsError, GeobatchError
from geobatch_tui.execution.quiet import filters
from geobatch_tui.execution.raster import mapping
from geobatch_tui.execution.raster.grids import Source
from geobatch_tui.execution.raster.mapping import named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyproj import CRS
    from rasterio.io import DatasetReader

#: Where the CRS of a source comes from: log lines, letters and facts say it.
CrsSource = Literal["file", "sidecar", "src_crs", "override"]
#: Drivers of formats that hold no CRS: theirs is in a file beside them.
_BARE = frozenset({"AAIGrid", "BMP", "GIF", "JPEG", "PNG", "WEBP"})
#: Drivers that take the CRS of a file beside them before their own, unless they are told not to.
_BESIDE_FIRST = frozenset({"GTiff", "JP2OpenJPEG"})
#: Their ends: after the whole name, and in place of its end (GDAL heeds no case there).
_BEHIND, _INSTEAD = ".aux.xml", (".tab", ".TAB", ".Tab")


@dataclass(frozen=True, slots=True)
class Assigned:
    """CRSs that a job gives to its sources, empty where it does not: ``fills`` is for a source
    that has none, ``replaces`` is taken whatever the source says; ``key`` is the key of that."""

    fills: str
    replaces: str
    key: str

    @classmethod
    def of(cls, options: Mapping[str, Any], own: str = "") -> Assigned:
        """By the keys of the section ``source``, and the operation's own ``src_crs``."""
        replaces = own or str(options.get("override_crs") or "")
        key = "op.src_crs" if own else "source.override_crs"
        return cls(str(options.get("src_crs") or ""), replaces, key)

    def notes(self, crs_source: CrsSource) -> dict[str, str]:
        """What the plan of an item says of this: JSON-ready."""
        given = {"override": self.replaces, "src_crs": self.fills}.get(crs_source)
        return {"crs_source": crs_source} | ({"assigned_crs": given} if given else {})


def place(dataset: DatasetReader, assigned: Assigned, told: list[str]) -> tuple[Source, CrsSource]:
    """The horizontal CRS, transform and size of ``dataset``, and where its CRS comes from.

    ``told`` gets warnings.

    Raises:
        CrsError: no CRS, one that is not of the Earth, no transform, or only ground control points
            or RPCs.
    """
    transform = dataset.transform
    if transform.is_identity:
        from rasterio.errors import NotGeoreferencedWarning

        with filters, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            points, _ = dataset.gcps
            rpcs = dataset.rpcs
        if points or rpcs:
            what = f"{len(points)} ground control points" if points else "RPCs"
            raise CrsError(
                f"{dataset.name} has only {what}, no geotransform",
                hint="rectify it first: gdalwarp -order 1 or -rpc",
            )
        raise CrsError(
            f"{dataset.name} has no geotransform: nobody knows where its pixels lie",
            hint="assign one: gdal_translate -a_ullr, or a world file",
        )
    if not all(math.isfinite(value) for value in tuple(transform)[:6]):
        raise CrsError(
            f"{dataset.name} has a geotransform that is no number: {tuple(transform)[:6]}",
            hint="assign another: gdal_translate -a_ullr",
        )
    if transform.is_degenerate:
        raise CrsError(f"{dataset.name} has a degenerate geotransform {tuple(transform)[:6]}")
    own = dataset.crs
    text = own.to_wkt() if own is not None else ""
    crs, crs_source = choose(text, assigned, dataset.name, told)
    if crs is None:
        raise CrsError(f"{dataset.name} has no CRS", hint=NO_CRS)
    if crs.is_engineering:
        raise CrsError(
            f"{dataset.name} is in a local CRS ({crs.name!r}), not on the Earth", hint=NO_CRS
        )
    if crs_source == "file" and _is_beside(dataset, text):
        crs_source = "sidecar"
    numbers = tuple(float(value) for value in transform)[:6]
    return Source(
        horizontal(crs, "the source", told),
        numbers,  # type: ignore[arg-type]
        dataset.width,
        dataset.height,
    ), crs_source


NO_CRS = "give source.src_crs if you know it; it is taken for the files that have no CRS"
_WRONG_CRS = "give source.override_crs, which replaces the CRS of every file of this job"


def choose(
    own: str, assigned: Assigned, name: str, told: list[str]
) -> tuple[CRS | None, CrsSource]:
    """The CRS of the source ``name``, and where it comes from; None if nobody gives one.

    ``own`` is what the source says, empty if nothing. A local CRS is taken for none where
    ``src_crs`` is given. ``told`` gets warnings.

    Raises:
        CrsError: PROJ does not know it.
    """
    if assigned.replaces:
        crs = parse(assigned.replaces, assigned.key, CrsError)
        if own and not _same(was := _known(own), crs):
            said = named(was) if was is not None else "one that PROJ does not know"
            told.append(f"{assigned.key} replaces the CRS of the source, {said}, by {named(crs)}")
        return crs, "override"
    given = parse(assigned.fills, "source.src_crs", CrsError) if assigned.fills else None
    if not own:
        return given, "src_crs"
    stated = _known(own)
    if stated is None:
        raise CrsError(
            f"the CRS of {name} {own[:80]!r} is not a CRS that PROJ knows", hint=_WRONG_CRS
        )
    if given is None or _same(stated, given):
        return stated, "file"
    if stated.is_engineering:
        told.append(
            f"the source is in a local CRS ({stated.name!r}), which counts as none: it is taken to "
            f"be in source.src_crs, {named(given)}"
        )
        return given, "src_crs"
    told.append(
        f"the source is in {named(stated)}, which stands: source.src_crs is for files without a "
        "CRS; source.override_crs would replace it"
    )
    return stated, "file"


def _known(text: str) -> CRS | None:
    """``text`` as a CRS; None where PROJ does not know it."""
    try:
        return mapping.crs_of(text)
    except ProjError:
        return None


def _same(one: CRS | None, other: CRS) -> bool:
    return one is not None and one.equals(other, ignore_axis_order=True)


def _is_beside(dataset: DatasetReader, text: str) -> bool:
    """Whether the CRS of ``dataset``, the WKT ``text``, is from a file beside it."""
    if dataset.driver in _BARE:
        return True
    if dataset.driver not in _BESIDE_FIRST:
        return False
    # Asked for its files, GDAL looks for dozens: of a small source, that takes as long as its CRS.
    stem = os.path.splitext(dataset.name)[0]  # noqa: PTH122
    names = (dataset.name + _BEHIND, *(stem + suffix for suffix in _INSTEAD))
    if not any(os.path.exists(name) for name in names):  # noqa: PTH110
        return False
    import rasterio

    with rasterio.open(
        dataset.name, driver=dataset.driver, sharing=False, GEOREF_SOURCES="INTERNAL"
    ) as alone:
        inside = alone.crs
    return inside is None or inside.to_wkt() != text


def parse(text: str, what: str, error: type[GeobatchError]) -> CRS:
    """``text`` as a CRS; raises ``error`` where PROJ does not know it."""
    try:
        return mapping.crs_of(text)
    except ProjError as cause:
        raise error(f"{what} {text[:80]!r} is not a CRS that PROJ knows: {cause}") from cause


def horizontal(crs: CRS, what: str, told: list[str]) -> CRS:
    """The horizontal part of ``crs``, with a warning where there is another."""
    flat = _flat(crs.srs)
    if flat is None:
        return crs
    told.append(f"{what} has a vertical CRS, {named(crs)}: heights are not transformed")
    return flat


@lru_cache(maxsize=64)
def _flat(text: str) -> CRS | None:
    """The horizontal part of the CRS of a text; None if there is no other."""
    crs = flat = mapping.crs_of(text)
    if crs.is_compound:
        flat = crs.sub_crs_list[0]
    if len(flat.axis_info) > 2:
        flat = flat.to_2d()
    return None if flat == crs else flat


def require(crs_of_source: CRS, wanted: str) -> None:
    """Raises CrsError if the source is not in ``wanted`` (empty: any will do)."""
    if not wanted:
        return
    crs = parse(wanted, "require_crs", CrsError)
    if not crs_of_source.equals(crs, ignore_axis_order=True):
        raise CrsError(
            f"the source is in {named(crs_of_source)}, require_crs asks for {mapping.named(crs)}",
            hint="leave it out of this job, or drop source.require_crs",
        )
