"""Steps on bands and their properties: *select*, *set-type*, *nodata-to-alpha*, and *edit* and
*materialize*, which change no pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.plan import Raster, StepPlan, json_number, number_of
from geobatch_tui.execution.raster.steps.conversion import block_of, valid_bands
from geobatch_tui.execution.raster.steps.reproject_step import with_alpha
from geobatch_tui.execution.raster.steps.step import Block, LocalStep
from geobatch_tui.execution.raster.warp import gdal_warp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Number

#: GDAL's names of types, old and new, and ours.
TYPES = {
    "byte": "uint8", "uint8": "uint8", "int8": "int8", "uint16": "uint16", "int16": "int16",
    "uint32": "uint32", "int32": "int32", "uint64": "uint64", "int64": "int64",
    "float32": "float32", "float64": "float64",
}  # fmt: skip


class Select(LocalStep):
    """Picks bands, by number from 1, in any order; alpha follows if it is there."""

    name = "select"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        del planning
        bands = tuple(int(band) for band in params.band)
        if params.exclude:
            bands = tuple(band for band in range(1, up.bands + 1) if band not in bands)
        if not bands:
            raise SchemaError("no band is left")
        for band in bands:
            check_band(up, band)
        picked = [band - 1 for band in bands]
        if up.validity == "alpha" and up.count not in bands:
            picked.append(up.count - 1)
        raster = replace(picked_bands(up, picked), colormap=up.colormap)
        return StepPlan(self.name, self.version, {"bands": picked}, raster)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del up, part, window
        return Block(given.pixels[step.values["bands"]], given.mask)


class SetType(LocalStep):
    """Changes the type of the pixels: rounded half away from zero, and held within the type."""

    name = "set-type"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        raster = typed(up, TYPES[params.output_data_type.lower()], planning)
        return StepPlan(self.name, self.version, {}, raster)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del part, window
        if step.raster.dtype == up.dtype:
            return given
        valid = valid_bands(up, given)
        block = block_of(step.raster, given.pixels[: up.bands], valid)
        if up.validity == "alpha":
            block.pixels[-1] = np.where(given.pixels[-1] > 0, block.pixels[-1], 0)
        return block


class Unchanged(LocalStep):
    """A step that changes no pixel."""

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del step, up, part, window
        return given

    def scratch(self, step: StepPlan, up: Raster) -> int:
        del step, up
        return 0


class Materialize(Unchanged):
    """Has what the steps before it give stored, before a step behind it computes anything; the
    pixels are the same as without it."""

    name = "materialize"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        del params
        planning.store("asks for a stage", needed=False)
        return StepPlan(self.name, self.version, {}, up)


class Edit(Unchanged):
    """Changes what a raster says of itself: CRS, place, nodata, colours, scales and offsets of
    bands, metadata; no pixel."""

    name = "edit"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        raster = up
        if params.crs:
            crs = assigned_crs.parse(params.crs, "crs", PreflightError)
            horizontal = assigned_crs.horizontal(crs, "crs", planning.warnings)
            raster = replace(raster, crs=crs_lookup.wkt_of(horizontal))
        if params.bbox is not None:
            minx, miny, maxx, maxy = params.bbox
            across, down = (maxx - minx) / up.width, (maxy - miny) / up.height
            raster = replace(raster, transform=(across, 0.0, minx, 0.0, -down, maxy))
        if params.nodata is not None:
            raster = _with_nodata(raster, params.nodata)
        raster = replace(
            _with_colours(raster, params, planning),
            scales=_per_band("scale", params.scale, raster.scales, raster),
            offsets=_per_band("offset", params.offset, raster.offsets, raster),
        )
        raster = replace(raster, domains={
            name: entries for name, entries in raster.domains.items()
            if name not in params.unset_metadata_domain
        })  # fmt: skip
        tags = {name: text for name, text in up.tags.items() if name not in params.unset_metadata}
        raster = replace(raster, tags=tags | dict(params.metadata))
        return StepPlan(self.name, self.version, {}, raster)


class NodataToAlpha(LocalStep):
    """Turns nodata or a mask into an alpha band; the other bands stay.

    Band 1 decides, as in GDAL; with a nodata value for each band, a pixel is transparent where all
    of them are nodata. A mask that hides no pixel is not stored in a file, which then gets no
    alpha; in a chain nobody knows it beforehand, and the alpha is opaque.
    """

    name = "nodata-to-alpha"

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        if up.validity == "alpha":
            planning.warn("the input has an alpha band already: nothing changes")
            return StepPlan(self.name, self.version, {}, up)
        asked = [number_of(value) or 0 for value in params.nodata]
        values: list[Number | None] = [validity.fitted(one, up.dtype, "nodata") for one in asked]
        if len(values) not in {0, 1, up.bands}:
            raise SchemaError(
                f"nodata has {len(values)} values; the input has {up.bands} bands",
                hint="one value, or one for each band",
            )
        if not values and up.validity == "none":
            planning.warn("the input has neither nodata nor a mask: it gets no alpha, as in GDAL")
            return StepPlan(self.name, self.version, {}, up)
        if up.colormap is not None:
            raise SchemaError(
                "an image with a palette cannot have an alpha band beside it",
                hint="color-map with add_alpha = true makes colours of it first",
            )
        if not values and up.validity == "nodata":
            values = [up.nodata]
        if len(values) == 1 and up.bands > 1:
            planning.warn(
                "band 1 alone says which pixels become transparent, as in GDAL; a nodata value for "
                "each band makes those transparent that are nodata in all"
            )
        if np.dtype(up.dtype).itemsize > 1 and int(gdal_warp.opaque(up.dtype)) != 255:
            planning.warn(
                f"opaque is {gdal_warp.opaque(up.dtype)}; GDAL writes 255, which readers of "
                f"{up.dtype} take for nearly transparent"
            )
        raster = with_alpha(replace(up, nodata=None, validity="alpha"))
        named = {"nodata": [json_number(value) for value in values]}
        return StepPlan(self.name, self.version, named, raster)

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        del part, window
        if step.raster == up:
            return given
        known = np.ones(given.pixels.shape[1:], bool) if given.mask is None else given.mask
        values = [number_of(value) for value in step.values["nodata"]]
        if values:
            differs = np.zeros(known.shape, bool)
            for band, value in zip(given.pixels, values, strict=False):
                differs |= validity.differs(band, value)
            known = known & differs
        alpha = np.where(known, gdal_warp.opaque(up.dtype), 0).astype(up.dtype)
        return Block(np.concatenate([given.pixels, alpha[np.newaxis]]))

    def scratch(self, step: StepPlan, up: Raster) -> int:
        del step
        return 4 + np.dtype(up.dtype).itemsize


def _per_band(
    name: str, words: Sequence[str], now: tuple[float, ...], raster: Raster
) -> tuple[float, ...]:
    """Return numbers of bands with those that ``words`` say: one for all, one for each, or as
    ``2=0.1``."""
    if len(words) == 1 and "=" not in words[0]:
        return (float(words[0]),) * raster.bands + now[raster.bands :]
    return tuple(map(float, _by_band(name, words, list(map(repr, now)), raster)))


def _by_band(name: str, words: Sequence[str], now: Sequence[str], raster: Raster) -> list[str]:
    """Return texts of bands with those that ``words`` say: one for each, or as ``2=red``."""
    changed = list(now)
    if not words:
        return changed
    if "=" not in words[0]:
        if len(words) not in {raster.bands, raster.count}:
            raise SchemaError(f"{name} has {len(words)} values; the input has {raster.count} bands")
        return [*words, *changed[len(words) :]]
    for word in words:
        band, _, text = word.partition("=")
        if band == "all":
            return [text] * raster.count
        check_band(raster, int(band))
        changed[int(band) - 1] = text
    return changed


def _with_colours(up: Raster, params: Frozen, planning: Planning) -> Raster:
    """Return ``up`` with the palette and the colours of bands that ``params`` say."""
    raster = up
    if params.colors or params.unset_color_table:
        check_band(up, params.band)
        if params.band > 1 or up.count > 1 or up.dtype != "uint8":
            raise SchemaError("a palette belongs to an image of one band of UInt8")
        raster = replace(up, colormap=None, colorinterp=("gray",))
    if params.colors:
        raster = replace(raster, colormap=_palette(params.colors, up), colorinterp=("palette",))
    words = params.color_interpretation
    if not words:
        return raster
    colours = tuple(_by_band("color_interpretation", words, raster.colorinterp, raster))
    if raster.colormap is not None:
        raise SchemaError(
            "the palette gives the band its colours",
            hint="unset_color_table = true leaves it out",
        )
    plain_ones = colours[0] != "alpha" and {"gray", "undefined", "alpha"}.issuperset(colours)
    if len(colours) <= 2 and plain_ones:
        # A TIFF of one or two bands has these, and no others.
        colours = ("gray", "alpha" if colours[-1] == "alpha" else "undefined")[: len(colours)]
    return _with_alpha_last(replace(raster, colorinterp=colours), up, planning)


def _with_alpha_last(raster: Raster, up: Raster, planning: Planning) -> Raster:
    """Return ``raster`` whose last band says what is valid if it is alpha now, or does not any
    more."""
    is_alpha = raster.colorinterp[-1] == "alpha"
    if "alpha" in raster.colorinterp[:-1] or (is_alpha and raster.count == 1):
        raise SchemaError("only the last of several bands may be alpha")
    if not is_alpha:
        return replace(raster, validity="none") if up.validity == "alpha" else raster
    if up.validity == "mask":
        raise SchemaError("alpha would stand beside a mask, and readers heed one of the two")
    if up.validity == "nodata":
        planning.warn(f"nodata {up.nodata} is left out: alpha says what is valid")
    return replace(raster, validity="alpha", nodata=None)


def _palette(entries: Sequence[Any], up: Raster) -> tuple[tuple[int, int, int, int], ...]:
    """Return the colours of all pixel values: those that have none are black. A TIFF keeps no alpha
    of a palette, but that nodata is transparent."""
    colours = [(0, 0, 0, 255)] * 256
    for word, red, green, blue, _ in entries:
        value = float("nan" if word == "nv" or word.endswith("%") else word)
        if not (value.is_integer() and 0 <= value <= 255):
            raise SchemaError(f"color_map: {word} is no pixel value from 0 to 255 of a palette")
        colours[int(value)] = (red, green, blue, 255)
    if isinstance(up.nodata, int):
        colours[up.nodata] = (*colours[up.nodata][:3], 0)
    return tuple(colours)


def check_band(up: Raster, band: int) -> None:
    """Raise SchemaError if there is no such band, counted from 1."""
    if not 1 <= band <= up.count:
        raise SchemaError(f"there is no band {band}; the input has {up.count}")


def picked_bands(up: Raster, picked: Sequence[int]) -> Raster:
    """Return ``up`` with these bands, counted from 0."""

    def each[T](values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(values[band] for band in picked)

    return replace(
        up,
        count=len(picked),
        colorinterp=each(up.colorinterp),
        colormap=None,
        descriptions=each(up.descriptions),
        scales=each(up.scales),
        offsets=each(up.offsets),
        units=each(up.units),
        band_tags=each(up.band_tags) if up.band_tags else (),
    )


def typed(up: Raster, dtype: str, planning: Planning) -> Raster:
    """Return ``up`` with pixels of another type. A nodata value that the type cannot hold becomes a
    mask; GDAL moves it to the nearest value, which may be that of valid pixels."""
    raster = replace(up, dtype=dtype)
    if up.colormap is not None and dtype != "uint8":
        raster = replace(raster, colormap=None, colorinterp=("gray",))
    if up.nodata is None or up.validity == "alpha":
        return raster
    try:
        return replace(raster, nodata=validity.fitted(up.nodata, dtype, "nodata"))
    except SchemaError:
        planning.warn(f"{dtype} cannot hold nodata {up.nodata}: the output gets a mask instead")
        return replace(raster, nodata=None, validity="mask")


def _with_nodata(up: Raster, asked: Number | str) -> Raster:
    if up.validity in {"alpha", "mask"}:
        raise SchemaError(
            f"nodata would stand beside {'alpha' if up.validity == 'alpha' else 'a mask'}, and "
            "readers heed one of the two, not always the same"
        )
    if asked == "none":
        return replace(up, nodata=None, validity="none")
    value = number_of(asked)
    if value is None:
        return up
    fitted = validity.fitted(value, up.dtype, "nodata")
    return replace(up, nodata=fitted, validity="nodata")
