"""Chooses the CRS of a source: its own, or one that the job assigns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyproj.exceptions import CRSError as ProjError

from geobatch_tui.errors import CrsError, GeobatchError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.proj.crs_lookup import named

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.protocol.messages import Json


#: The origin of a source's CRS, as log lines, letters and facts name it.
CrsSource = Literal["file", "sidecar", "src_crs", "override"]


@dataclass(frozen=True, slots=True)
class Assigned:
    """CRSs that a job assigns to its sources, empty where it does not.

    ``fills`` is for sources without a CRS, ``replaces`` for all sources; ``key`` is the job's key
    of the latter.
    """

    fills: str
    replaces: str
    key: str

    @classmethod
    def of(cls, options: Json, own: str = "") -> Assigned:
        """Read the keys of the section ``source``, and the operation's own ``src_crs``."""
        replaces = own or str(options.get("override_crs") or "")
        key = "op.src_crs" if own else "source.override_crs"
        return cls(str(options.get("src_crs") or ""), replaces, key)

    def notes(self, crs_source: CrsSource) -> dict[str, str]:
        """Return the notes for the plan of an item, JSON-ready."""
        given = {"override": self.replaces, "src_crs": self.fills}.get(crs_source)
        return {"crs_source": crs_source} | ({"assigned_crs": given} if given else {})


NO_CRS = "give source.src_crs if you know it; it is taken for the files that have no CRS"
_WRONG_CRS = "give source.override_crs, which replaces the CRS of every file of this job"


def choose(
    own: str, assigned: Assigned, name: str, warnings: list[str]
) -> tuple[CRS | None, CrsSource]:
    """Choose the CRS of the source ``name``, and return it with its origin; None if there is none.

    ``own`` is the source's CRS, empty if it has none; a local one counts as none where ``src_crs``
    is given. Raises CrsError if PROJ does not know it.
    """
    if assigned.replaces:
        crs = parse(assigned.replaces, assigned.key, CrsError)
        if own and not _same(was := _known(own), crs):
            name_of_own = named(was) if was is not None else "one that PROJ does not know"
            warnings.append(
                f"{assigned.key} replaces the CRS of the source, {name_of_own}, by {named(crs)}"
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
    """Return ``text`` as a CRS; None where PROJ does not know it."""
    try:
        return crs_lookup.crs_of(text)
    except ProjError:
        return None


def _same(one: CRS | None, other: CRS) -> bool:
    return one is not None and one.equals(other, ignore_axis_order=True)


def parse(text: str, what: str, error: type[GeobatchError]) -> CRS:
    """Return ``text`` as a CRS. Raises ``error`` where PROJ does not know it."""
    try:
        return crs_lookup.crs_of(text)
    except ProjError as cause:
        raise error(f"{what} {text[:80]!r} is not a CRS that PROJ knows: {cause}") from cause


def horizontal(crs: CRS, what: str, warnings: list[str]) -> CRS:
    """Return the horizontal part of ``crs``, with a warning if it has a vertical one."""
    part = _horizontal(crs)
    if part is None:
        return crs
    warnings.append(f"{what} has a vertical CRS, {named(crs)}: heights are not transformed")
    return part


@crs_lookup.by_text
def _horizontal(crs: CRS) -> CRS | None:
    """Return the horizontal part of ``crs``; None if it has no other."""
    part = crs
    if crs.is_compound:
        part = crs.sub_crs_list[0]
    if len(part.axis_info) > 2:
        part = part.to_2d()
    return None if part == crs else part


def require(crs_of_source: CRS, wanted: str) -> None:
    """Raise CrsError if the source is not in ``wanted`` (empty: any CRS)."""
    if not wanted:
        return
    crs = parse(wanted, "require_crs", CrsError)
    if not crs_of_source.equals(crs, ignore_axis_order=True):
        raise CrsError(
            f"the source is in {named(crs_of_source)}, "
            f"require_crs asks for {crs_lookup.named(crs)}",
            hint="leave it out of this job, or drop source.require_crs",
        )
