"""Valid pixels: how the output marks them, chosen at plan time, and which pixels are valid.

This is the one place for GDAL's nodata, alpha and masks. NaN counts as invalid beside a numeric
nodata, but the pixel stays NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from geobatch_tui.errors import SchemaError

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.source_facts import Facts
    from geobatch_tui.execution.raster.types import DType, Number, Pixels, Valid, Validity


#: A nodata value may be rounded by this part of itself to fit a type of floats.
_FLOAT_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class ValidityChoice:
    """The output's way to mark valid pixels, and the nodata values of source and output.

    ``adds_alpha``: the output gets an alpha band. ``per_band``: the source's bands have different
    nodata values, and each is compared with its own.
    """

    validity: Validity
    src_nodata: Number | None
    nodata: Number | None
    adds_alpha: bool = False
    per_band: bool = False
    warnings: tuple[str, ...] = ()


def choose(
    facts: Facts,
    *,
    src_nodata: float | str | None,
    dst_nodata: float | None,
    add_alpha: bool,
    outside: bool,
) -> ValidityChoice:
    """Choose how the output marks valid pixels.

    ``outside``: the output may have pixels that no source pixel reaches, as after a warp.
    ``src_nodata`` "none" ignores the file's own.

    Raises:
        SchemaError: a nodata value does not fit the data type, or alpha is asked for twice.
    """
    dtype = facts.dtype
    wanted = None if dst_nodata is None else fitted(dst_nodata, dtype, "dst_nodata")
    if facts.alpha:
        if add_alpha:
            raise SchemaError("add_alpha is set, but the source has an alpha band already")
        known = next((value for value in facts.nodatavals if value is not None), None)
        given = {"nodata": known, "src_nodata": src_nodata, "dst_nodata": dst_nodata}
        left = tuple(
            f"{name} {value} is left out: the source has alpha, which says what is valid"
            for name, value in given.items()
            if value not in {None, "none"}
        )
        return ValidityChoice("alpha", None, None, warnings=left)
    source, per_band = _source_nodata(facts, src_nodata)
    if add_alpha:
        return ValidityChoice("alpha", source, None, adds_alpha=True, per_band=per_band)
    if per_band:
        listed = ", ".join(str(value) for value in facts.nodatavals)
        note = (
            f"bands have different nodata values ({listed}): the output gets a mask instead, "
            "which hides a pixel that is nodata in any of them"
        )
        return ValidityChoice("mask", None, None, per_band=True, warnings=(note,))
    if wanted is not None:
        notes = _renaming(facts, source, wanted, outside=outside)
        return ValidityChoice("nodata", source, wanted, warnings=notes)
    if source is not None and (outside or not facts.mask):
        return ValidityChoice("nodata", source, source)
    return ValidityChoice("mask" if facts.mask or outside else "none", source, source)


def _renaming(
    facts: Facts, source: Number | None, wanted: Number, *, outside: bool
) -> tuple[str, ...]:
    """Return warnings about valid pixels that hold ``wanted``, the nodata value of the output."""
    if source == wanted or math.isnan(wanted):
        return ()
    if source is None and not facts.mask and not outside:
        note = (
            f"the source has no nodata: pixels that hold dst_nodata {wanted} become nodata; "
            f"src_nodata = {wanted} says the same, without this warning"
        )
    else:
        aside = avoided(wanted, facts.dtype, facts.dtype)[1]
        note = f"valid pixels that hold dst_nodata {wanted} in all bands become {aside}"
    return (note,)


def _source_nodata(facts: Facts, asked: float | str | None) -> tuple[Number | None, bool]:
    if asked == "none":
        return None, False
    if asked is not None:
        return fitted(float(asked), facts.dtype, "src_nodata"), False
    if facts.nodata_differs:
        return None, True
    own = facts.nodatavals[0]
    return (None if own is None else fitted(own, facts.dtype, "the source's nodata")), False


def fitted(value: Number, dtype: str, what: str) -> Number:
    """Return ``value`` as ``dtype`` holds it: an int for integers, the nearest float otherwise.

    Raises:
        SchemaError: the type cannot hold it.
    """
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        whole = math.isfinite(value) and value == int(value)
        if not whole or not limits.min <= int(value) <= limits.max:
            raise SchemaError(
                f"{what} {value!r} cannot occur in {dtype} pixels ({limits.min} to {limits.max})",
                hint='src_nodata = "none" ignores the source\'s own; dst_nodata sets another',
            )
        return int(value)
    with np.errstate(over="ignore"):
        nearest = float(kind.type(value))
    if math.isinf(nearest) and not math.isinf(value):
        limit = float(np.finfo(kind).max)
        nearest = math.copysign(limit, value)
    if math.isfinite(value) and not math.isclose(nearest, value, rel_tol=_FLOAT_SLACK):
        raise SchemaError(f"{what} {value!r} cannot be held by {dtype} pixels")
    return nearest


def avoided(nodata: Number | None, work: DType | str, dtype: str) -> Pixels:
    """Return ``nodata``, and the value to write where valid pixels of ``dtype`` happen to have it
    in all bands: GDAL 3.12's choice.

    The result is an array (2,) of the type ``work``; both are 0 if there is no nodata value.
    """
    if not is_number(nodata):
        return np.zeros(2, work)
    kind = np.dtype(dtype)
    if kind.kind != "f":
        return np.array([nodata, nodata + 1 if nodata == np.iinfo(kind).min else nodata - 1], work)
    value, most = kind.type(nodata), np.finfo(kind).max
    return np.array([value, np.nextafter(value, -most if value == most else most)], work)


def is_number(nodata: Number | None) -> TypeGuard[Number]:
    """Whether there is a nodata value other than NaN, which is invalid in any case."""
    return nodata is not None and not math.isnan(nodata)


def differs(band: Pixels, nodata: Number | None) -> Valid:
    """Return where ``band`` is neither nodata nor NaN."""
    valid = ~np.isnan(band) if band.dtype.kind in "fc" else np.ones(band.shape, bool)
    if is_number(nodata):
        valid &= band != band.dtype.type(nodata)
    return valid


def invalid_share(plan: RasterPlan, pixels: Pixels, valid: Valid | None) -> float:
    """Return the share of pixels, 0 to 1, that are invalid in every band."""
    if valid is not None:
        return 1.0 - _share(valid)
    if plan.validity == "alpha":
        return _share(pixels[-1] == 0)
    if plan.validity == "nodata":
        seen = differs(pixels[0], plan.nodata)
        for band in pixels[1:]:
            seen |= differs(band, plan.nodata)
        return 1.0 - _share(seen)
    return 0.0


def _share(mask: Valid) -> float:
    # The mean of truth values converts each of them to a number first.
    return int(np.count_nonzero(mask)) / mask.size
