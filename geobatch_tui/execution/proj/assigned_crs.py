"""The CRS of a source: what it says itself, and what a job assigns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pyproj.exceptions import CRSError as ProjError

from geobatch_tui.errors import CrsError, GeobatchError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.proj.crs_lookup import named

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.protocol.messages import Json


#: Where the CRS of a source comes from: log lines, letters and facts say it.
CrsSource = Literal["file", "sidecar", "src_crs", "override"]


@dataclass(frozen=True, slots=True)
class Assigned:
    """CRSs that a job gives to its sources, empty where it does not: ``fills`` is for a source
    that has none, ``replaces`` is taken whatever the source says; ``key`` is the key of that."""

    fills: str
    replaces: str
    key: str

    @classmethod
    def of(cls, options: Json, own: str = "") -> Assigned:
        """By the keys of the section ``source``, and the operation's own ``src_crs``."""
        replaces = own or str(options.get("override_crs") or "")
        key = "op.src_crs" if own else "source.override_crs"
        return cls(str(options.get("src_crs") or ""), replaces, key)

    def notes(self, crs_source: CrsSource) -> dict[str, str]:
        """What the plan of an item says of this: JSON-ready."""
        given = {"override": self.replaces, "src_crs": self.fills}.get(crs_source)
        return {"crs_source": crs_source} | ({"assigned_crs": given} if given else {})


NO_CRS = "give source.src_crs if you know it; it is taken for the files that have no CRS"


_WRONG_CRS = "give source.override_crs, which replaces the CRS of every file of this job"


def choose(
    own: str, assigned: Assigned, name: str, warnings: list[str]
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
            warnings.append(
                f"{assigned.key} replaces the CRS of the source, {said}, by {named(crs)}"
            )
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
        warnings.append(
            f"the source is in a local CRS ({stated.name!r}), which counts as none: it is taken to "
            f"be in source.src_crs, {named(given)}"
        )
        return given, "src_crs"
    warnings.append(
        f"the source is in {named(stated)}, which stands: source.src_crs is for files without a "
        "CRS; source.override_crs would replace it"
    )
    return stated, "file"


def _known(text: str) -> CRS | None:
    """``text`` as a CRS; None where PROJ does not know it."""
    try:
        return crs_lookup.crs_of(text)
    except ProjError:
        return None


def _same(one: CRS | None, other: CRS) -> bool:
    return one is not None and one.equals(other, ignore_axis_order=True)


def parse(text: str, what: str, error: type[GeobatchError]) -> CRS:
    """``text`` as a CRS; raises ``error`` where PROJ does not know it."""
    try:
        return crs_lookup.crs_of(text)
    except ProjError as cause:
        raise error(f"{what} {text[:80]!r} is not a CRS that PROJ knows: {cause}") from cause


def horizontal(crs: CRS, what: str, warnings: list[str]) -> CRS:
    """The horizontal part of ``crs``, with a warning where there is another."""
    flat = _flat(crs.srs)
    if flat is None:
        return crs
    warnings.append(f"{what} has a vertical CRS, {named(crs)}: heights are not transformed")
    return flat


@lru_cache(maxsize=64)
def _flat(text: str) -> CRS | None:
    """The horizontal part of the CRS of a text; None if there is no other."""
    crs = flat = crs_lookup.crs_of(text)
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
            f"the source is in {named(crs_of_source)}, "
            f"require_crs asks for {crs_lookup.named(crs)}",
            hint="leave it out of this job, or drop source.require_crs",
        )
