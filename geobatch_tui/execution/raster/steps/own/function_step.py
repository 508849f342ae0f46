"""The step *function*: a function of the user, called with the pixels around each window.

The function depends on its block and its parameters alone, or the cut law breaks: `seam_check`
tries that.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import rasterio

from geobatch_tui.errors import StepError
from geobatch_tui.execution.native.code_cache import cache_directory
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.plan import Raster, StepPlan, number_of
from geobatch_tui.execution.raster.steps.conversion import block_of, valid_bands
from geobatch_tui.execution.raster.steps.own.declared import MEMORY, Declared
from geobatch_tui.execution.raster.steps.step import UNMEASURED, Block, LocalStep
from geobatch_tui.execution.runtime import own_module
from geobatch_tui.execution.runtime.own_declaration import packed, unpacked
from geobatch_tui.functions import declaration_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.steps.step import Planning
    from geobatch_tui.execution.raster.types import Number, Pixels, Valid

_KEYS = {"name", "use", "function"}


class Function(LocalStep):
    """Calls a function of the user for each window."""

    name = "function"
    version = 1

    def plan(self, up: Raster, params: Frozen, planning: Planning) -> StepPlan:
        use, code = str(params.use), params.function
        function = own_module.load(
            use, code["file"], code["code"], afresh=True, cache=cache_directory()
        )
        given = {name: value for name, value in vars(params).items() if name not in _KEYS}
        said = declaration_of(function.call)
        asked = Declared(use, said, given)
        halo, memory = asked.halo(), asked.memory()
        if memory is None:
            planning.notes[UNMEASURED] = True
        wants = function.code.given
        if halo and up.validity != "none" and not {"valid", "nodata"} & set(wants):
            planning.warn(
                f"{use} asks for neither valid nor nodata: what it gives beside invalid pixels may "
                "be made of their values"
            )
        values: dict[str, object] = {
            "use": use,
            "file": code["file"],
            "code": code["code"],
            "parameters": {name: packed(value) for name, value in given.items()},
            "halo": halo,
            "rim": asked.rim(up),
            "wants": list(wants),
            "finite": bool(said.finite),
            "memory": MEMORY if memory is None else memory,
        }
        if "item" in wants:
            values["item"], planning.alone = planning.item, True
        return StepPlan(self.name, self.version, values, asked.raster(up, planning))

    def halo(self, step: StepPlan) -> int:
        return int(step.values["halo"])

    def apply(
        self, step: StepPlan, up: Raster, given: Block, part: Window, window: Window
    ) -> Block:
        values = step.values
        function = own_module.load(
            values["use"], values["file"], values["code"], cache=cache_directory()
        )
        seen = window.pad(values["halo"])
        valid = valid_bands(up, given)
        block = _padded(given.pixels[: up.bands], part, seen, up, values["rim"])
        wanted = _wanted(step, up, window)
        if function.is_compiled:
            wanted = {name: _for_numba(value) for name, value in wanted.items()}
        if "valid" in values["wants"]:
            known = np.broadcast_to(True if valid is None else valid, (up.bands, *part.shape))
            wanted["valid"] = _padded_valid(known, part, seen, up, values["rim"])
            wanted["valid"].flags.writeable = False
        block.flags.writeable = False
        parameters = {name: unpacked(value) for name, value in values["parameters"].items()}
        answer = function(block, **wanted, **parameters)
        pixels, shown = _checked(step, answer, window)
        if shown is None and not _sees(step):
            shown = _centre(step, valid, part, window)
        if values["finite"]:
            _refuse_infinite(step, pixels, shown, window)
        return block_of(
            step.raster, pixels, _valid(step, pixels, shown, _centre(step, valid, part, window))
        )

    def scratch(self, step: StepPlan, up: Raster) -> int:
        block = up.bands * np.dtype(up.dtype).itemsize
        # A block is larger than its window: most so in the smallest chunks that are chosen freely.
        grown = (1 + 2 * int(step.values["halo"]) / 1024) ** 2
        return math.ceil(block * grown * (1 + float(step.values["memory"])))


def at_home(plan: RasterPlan, steps: Sequence[Json]) -> RasterPlan:
    """Return ``plan`` with the files of functions where ``steps``, those of the job, have them
    now."""
    return replace(plan, chain=own_module.at_home(plan.chain, steps))


# --- what it is called with --------------------------------------------------------------------


def _wanted(step: StepPlan, up: Raster, window: Window) -> dict[str, Any]:
    """Return what the function asks for by name, but for ``valid``."""
    wants = step.values["wants"]
    found: dict[str, Any] = {}
    if "window" in wants:
        found["window"] = window
    if "nodata" in wants:
        found["nodata"] = None if up.validity == "alpha" else up.nodata
    if "transform" in wants:
        a, b, c, d, e, f = up.transform
        x = c + window.col_off * a + window.row_off * b
        y = f + window.col_off * d + window.row_off * e
        found["transform"] = rasterio.Affine(a, b, x, d, e, y)
    if "crs" in wants:
        found["crs"] = up.crs
    if "bands" in wants:
        found["bands"] = up.descriptions[: up.bands]
    if "item" in wants:
        found["item"] = step.values["item"]
    return found


class PlainWindow(NamedTuple):
    """A window, for code that numba compiles: it takes tuples, and no objects."""

    col_off: int
    row_off: int
    width: int
    height: int


class PlainTransform(NamedTuple):
    """An affine transform, for code that numba compiles."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


def _for_numba(value: Any) -> Any:
    if isinstance(value, Window):
        return PlainWindow(*value.srcwin)
    return PlainTransform(*value[:6]) if isinstance(value, rasterio.Affine) else value


def _padded(pixels: Pixels, part: Window, seen: Window, up: Raster, rim: object) -> Pixels:
    """Return the pixels of ``seen``, of which the item has ``part``: those beyond its rim are made
    as ``rim`` says."""
    if part == seen:
        # A view, so that the block of the step before stays as it is.
        return np.ascontiguousarray(pixels)[:]
    if rim in {"replicate", "reflect"}:
        folded: Pixels = _folded(pixels, part, seen, up, str(rim))
        return folded
    fill = number_of(rim) if rim != "nodata" else up.nodata  # type: ignore[arg-type]
    if fill is None:
        fill = 0
    block = np.full((pixels.shape[0], *seen.shape), fill, pixels.dtype)
    block[:, *part.slices_in(seen)] = pixels
    return block


def _padded_valid(valid: Valid, part: Window, seen: Window, up: Raster, rim: object) -> Valid:
    if part == seen:
        return np.array(valid)
    if rim in {"replicate", "reflect"}:
        folded: Valid = _folded(valid, part, seen, up, str(rim))
        return folded
    block = np.full((valid.shape[0], *seen.shape), rim != "nodata", bool)
    block[:, *part.slices_in(seen)] = valid
    return block


def _folded(array: Any, part: Window, seen: Window, up: Raster, rim: str) -> Any:
    rows = _places(seen.row_off, seen.bottom, up.height, rim) - part.row_off
    cols = _places(seen.col_off, seen.right, up.width, rim) - part.col_off
    return np.ascontiguousarray(array[:, rows[:, np.newaxis], cols])


def _places(first: int, beyond: int, length: int, rim: str) -> Any:
    """Return the pixel along a side of the item that stands at each place, also beyond its rim."""
    places = np.arange(first, beyond)
    if rim == "replicate" or length == 1:
        return places.clip(0, length - 1)
    period = 2 * (length - 1)
    folded = places % period
    return np.where(folded < length, folded, period - folded)


# --- what it gives -----------------------------------------------------------------------------


def _checked(step: StepPlan, answer: object, window: Window) -> tuple[Pixels, Valid | None]:
    """Return the answer as pixels (bands, h, w) in C order, and what a masked array masks."""
    use, raster = step.values["use"], step.raster
    if not isinstance(answer, np.ndarray):
        raise StepError(f"{use} gave {type(answer).__name__} in place of an array")
    shape = (raster.bands, *window.shape)
    if shape not in {answer.shape, (1, *answer.shape)}:
        seen = [side + 2 * int(step.values["halo"]) for side in window.shape]
        hint = "its answer has the halo still on it" if list(answer.shape[-2:]) == seen else ""
        raise StepError(
            f"{use} gave an array of shape {answer.shape} in place of {shape}, bands and the "
            f"window without the halo of {step.values['halo']}",
            hint=hint,
        )
    if answer.dtype != np.dtype(raster.dtype):
        raise StepError(
            f"{use} gave {answer.dtype} pixels in place of {raster.dtype}",
            hint=f'declare dtype="{answer.dtype.name}", or give answer.astype("{raster.dtype}")',
        )
    pixels: Pixels = np.array(np.ma.getdata(answer), order="C").reshape(shape)
    if not isinstance(answer, np.ma.MaskedArray):
        return pixels, None
    valid: Valid = ~np.ma.getmaskarray(answer).reshape(shape)
    if raster.validity == "none" and not valid.all():
        raise StepError(
            f"{use} masks pixels, and its output marks none as invalid",
            hint="declare a value for them, as nodata=np.nan",
        )
    return pixels, valid


def _sees(step: StepPlan) -> bool:
    """Whether the function is told what is invalid in its block."""
    return bool({"valid", "nodata"} & set(step.values["wants"]))


def _centre(step: StepPlan, valid: Valid | None, part: Window, window: Window) -> Valid | None:
    """Return where the input is valid in ``window`` itself, by band if there are as many."""
    if valid is None:
        return None
    own = valid[:, *window.slices_in(part)]
    return own if own.shape[0] in {1, step.raster.bands} else own.all(axis=0, keepdims=True)


def _valid(
    step: StepPlan, pixels: Pixels, shown: Valid | None, centre: Valid | None
) -> Valid | None:
    """Return which pixels of an answer are valid. ``shown``: those that it does not mask, or, if
    the function does not see what is invalid, those that are valid in its input."""
    raster = step.raster
    if raster.validity == "none":
        return None
    if raster.validity != "nodata":
        return centre if shown is None else shown
    known = _differing(pixels, raster.nodata)
    return known if shown is None else known & shown


def _differing(pixels: Pixels, nodata: Number | None) -> Valid:
    known: Valid = np.stack([validity.differs(band, nodata) for band in pixels])
    return known


def _refuse_infinite(step: StepPlan, pixels: Pixels, shown: Valid | None, window: Window) -> None:
    bad = ~np.isfinite(pixels)
    if step.raster.nodata is not None:
        bad &= ~_is_nodata(pixels, step.raster.nodata)
    if shown is not None:
        bad &= shown
    if bad.any():
        band, row, col = (int(index) for index in np.argwhere(bad)[0])
        raise StepError(
            f"{step.values['use']} gave {pixels[band, row, col]} at column {window.col_off + col}, "
            f"row {window.row_off + row} of band {band + 1}, and promises finite values"
        )


def _is_nodata(pixels: Pixels, nodata: Number) -> Valid:
    if isinstance(nodata, float) and math.isnan(nodata):
        same: Valid = np.isnan(pixels)
    else:
        same = pixels == pixels.dtype.type(nodata)
    return same
