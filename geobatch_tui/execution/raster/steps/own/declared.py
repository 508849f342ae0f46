"""What a function of the user declares for one item: halo, rim, and the raster that it gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.plan import Raster, json_number
from geobatch_tui.execution.raster.steps.band_steps import TYPES, picked_bands, typed
from geobatch_tui.execution.runtime.own_declaration import OwnDeclaration
from geobatch_tui.functions import AS_INPUT

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.steps.step import Planning

#: Times the bytes of its block that a function takes beside it, if it does not say.
MEMORY = 4.0
#: The widest halo; a block of the narrowest chunk would have nine times its pixels.
WIDEST = 1024
_RIMS = ("replicate", "reflect", "nodata")


class Declared(OwnDeclaration):
    """What a function declares, for one set of parameters.

    Its methods raise PreflightError, for all items alike, where a declaration cannot be, and
    SchemaError where it does not fit an item.
    """

    foreign = ("rows", "fields", "crs")
    about = "blocks of pixels"

    def halo(self) -> int:
        halo = self.chosen("halo")
        if isinstance(halo, bool) or not isinstance(halo, int | np.integer):
            raise self.wrong("halo", f"is {halo!r}, not a number of pixels")
        if not 0 <= halo <= WIDEST:
            raise self.wrong("halo", f"is {halo}; it may be 0 to {WIDEST} pixels")
        return int(halo)

    def rim(self, up: Raster) -> object:
        rim: Any = self.said.rim
        if isinstance(rim, str) and rim in _RIMS:
            if rim == "nodata" and up.nodata is None and up.validity == "none":
                raise SchemaError(
                    f'{self.use} has rim="nodata", and its input has no nodata',
                    hint="declare another rim, or give the input a nodata value by a step edit",
                )
            return rim
        if isinstance(rim, bool) or not isinstance(rim, int | float | np.number):
            raise self.wrong("rim", f"is {rim!r}, not one of {', '.join(_RIMS)} or a number")
        return json_number(
            validity.fitted(rim if isinstance(rim, int) else float(rim), up.dtype, "rim")
        )

    def raster(self, up: Raster, planning: Planning) -> Raster:
        """Return what the function gives: its type, its bands, its nodata."""
        raster = self._typed(up, planning)
        bands = self.chosen("bands")
        if bands != AS_INPUT:
            if isinstance(bands, bool) or not isinstance(bands, int | np.integer) or bands < 1:
                raise self.wrong("bands", f"is {bands!r}, not a number of bands")
            raster = _with_bands(raster, int(bands))
        nodata = self.chosen("nodata")
        if nodata == AS_INPUT and isinstance(nodata, str):
            return raster
        if raster.validity == "alpha":
            raster = picked_bands(raster, range(raster.bands))
        if nodata is None:
            return replace(raster, nodata=None, validity="none")
        if isinstance(nodata, bool) or not isinstance(nodata, int | float | np.number):
            raise self.wrong("nodata", f"is {nodata!r}, not a number")
        value = nodata.item() if isinstance(nodata, np.number) else nodata
        try:
            fitted = validity.fitted(value, raster.dtype, "nodata")
        except SchemaError as error:
            raise self.wrong("nodata", f"does not fit: {error.message}") from None
        return replace(raster, nodata=fitted, validity="nodata")

    def _typed(self, up: Raster, planning: Planning) -> Raster:
        asked = self.chosen("dtype")
        if isinstance(asked, str) and asked == AS_INPUT:
            return up
        try:
            name = np.dtype(
                TYPES.get(asked.lower(), asked) if isinstance(asked, str) else asked
            ).name
        except TypeError:
            name = str(asked)
        if name not in TYPES.values():
            raise self.wrong(
                "dtype", f"is {asked!r}; rasters have {', '.join(dict.fromkeys(TYPES.values()))}"
            )
        declares_nodata = self.said.nodata != AS_INPUT
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
