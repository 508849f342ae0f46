"""What a function of the user declares for one item: halo, rim, and the raster that it gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.plan import Raster, json_number
from geobatch_tui.execution.raster.steps.band_steps import TYPES, picked_bands, typed
from geobatch_tui.functions import AS_INPUT, Declaration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.raster.steps.step import Planning

#: Times the bytes of its block that a function takes beside it, if it does not say.
MEMORY = 4.0
#: The widest halo; a block of the narrowest chunk would have nine times its pixels.
WIDEST = 1024
_RIMS = ("replicate", "reflect", "nodata")


class Declared:
    """What a function declares, for one set of parameters.

    Its methods raise PreflightError, for all items alike, where a declaration cannot be, and
    SchemaError where it does not fit an item.
    """

    def __init__(self, use: str, said: Declaration, given: Mapping[str, object]) -> None:
        self._use = use
        self._said = said
        self._given = given

    def _chosen(self, name: str) -> Any:
        """Return an argument of the decorator, which may be a function of the parameters."""
        value = getattr(self._said, name)
        if not callable(value) or isinstance(value, type):
            return value
        import inspect

        try:
            names = inspect.signature(value).parameters
            return value(**{each: self._given[each] for each in names if each in self._given})
        except Exception as error:
            raise self._wrong(name, f"raised {type(error).__name__}: {error}") from error

    def _wrong(self, name: str, text: str) -> PreflightError:
        return PreflightError(f"{self._use}: {name} of its @step {text}")

    def halo(self) -> int:
        halo = self._chosen("halo")
        if isinstance(halo, bool) or not isinstance(halo, int | np.integer):
            raise self._wrong("halo", f"is {halo!r}, not a number of pixels")
        if not 0 <= halo <= WIDEST:
            raise self._wrong("halo", f"is {halo}; it may be 0 to {WIDEST} pixels")
        return int(halo)

    def memory(self) -> float:
        memory: Any = self._said.memory
        if memory is None:
            return MEMORY
        if not isinstance(memory, int | float) or not 0 <= memory <= 1000:
            raise self._wrong("memory", f"is {memory!r}; it is a number of times the block")
        return float(memory)

    def rim(self, up: Raster) -> object:
        rim: Any = self._said.rim
        if isinstance(rim, str) and rim in _RIMS:
            if rim == "nodata" and up.nodata is None and up.validity == "none":
                raise SchemaError(
                    f'{self._use} has rim="nodata", and its input has no nodata',
                    hint="declare another rim, or give the input a nodata value by a step edit",
                )
            return rim
        if isinstance(rim, bool) or not isinstance(rim, int | float | np.number):
            raise self._wrong("rim", f"is {rim!r}, not one of {', '.join(_RIMS)} or a number")
        return json_number(
            validity.fitted(rim if isinstance(rim, int) else float(rim), up.dtype, "rim")
        )

    def raster(self, up: Raster, planning: Planning) -> Raster:
        """Return what the function gives: its type, its bands, its nodata."""
        raster = self._typed(up, planning)
        bands = self._chosen("bands")
        if bands != AS_INPUT:
            if isinstance(bands, bool) or not isinstance(bands, int | np.integer) or bands < 1:
                raise self._wrong("bands", f"is {bands!r}, not a number of bands")
            raster = _with_bands(raster, int(bands))
        nodata = self._chosen("nodata")
        if nodata == AS_INPUT and isinstance(nodata, str):
            return raster
        if raster.validity == "alpha":
            raster = picked_bands(raster, range(raster.bands))
        if nodata is None:
            return replace(raster, nodata=None, validity="none")
        if isinstance(nodata, bool) or not isinstance(nodata, int | float | np.number):
            raise self._wrong("nodata", f"is {nodata!r}, not a number")
        value = nodata.item() if isinstance(nodata, np.number) else nodata
        try:
            fitted = validity.fitted(value, raster.dtype, "nodata")
        except SchemaError as error:
            raise self._wrong("nodata", f"does not fit: {error.message}") from None
        return replace(raster, nodata=fitted, validity="nodata")

    def _typed(self, up: Raster, planning: Planning) -> Raster:
        asked = self._chosen("dtype")
        if isinstance(asked, str) and asked == AS_INPUT:
            return up
        try:
            name = np.dtype(
                TYPES.get(asked.lower(), asked) if isinstance(asked, str) else asked
            ).name
        except TypeError:
            name = str(asked)
        if name not in TYPES.values():
            raise self._wrong(
                "dtype", f"is {asked!r}; rasters have {', '.join(dict.fromkeys(TYPES.values()))}"
            )
        declares_nodata = self._said.nodata != AS_INPUT
        if declares_nodata and up.validity == "nodata":
            # Its own nodata need not fit the type: another is declared.
            return typed(replace(up, nodata=None, validity="none"), name, planning)
        return typed(up, name, planning)


def _with_bands(raster: Raster, count: int) -> Raster:
    """Return ``raster`` with so many bands beside its alpha; they say nothing unless they are as
    many as before."""
    if count == raster.bands:
        return raster
    alpha = raster.validity == "alpha"
    whole = picked_bands(raster, [0] * count + [raster.count - 1] * alpha)
    kinds = ("gray",) if count == 1 else ("undefined",) * count
    return replace(
        whole,
        colorinterp=(*kinds, *(("alpha",) * alpha)),
        colormap=None,
        descriptions=("",) * whole.count,
        scales=(1.0,) * whole.count,
        offsets=(0.0,) * whole.count,
        units=("",) * whole.count,
        band_tags=(),
    )
