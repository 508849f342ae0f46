"""Commands of GDAL's own tools that give the pixels of an item, for comparison.

Paths are quoted for a POSIX shell. This module does not load GDAL.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.params import gdal_steps
from geobatch_tui.execution.params.calc.expression import parse
from geobatch_tui.execution.params.calc.expression_text import text_of
from geobatch_tui.execution.params.frozen import COMBINING, OWN_SOURCE, SIDES, chains_beside
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.encode.gdal_options import LEVEL_KEYS, LOSSLESS
from geobatch_tui.execution.raster.plan import RasterPlan, Warp
from geobatch_tui.execution.runtime import own_trials
from geobatch_tui.execution.sources import source_list
from geobatch_tui.execution.stores.object_url import gdal_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import ItemContext, Json

#: A file in GDAL's memory: the command leaves nothing on disk.
_NOWHERE = "/vsimem/window.tif"
#: Files of a mosaic that a command names; more are no command to paste.
_MOST_FILES = 100


def item_command(item: ItemContext) -> str:
    """Return the command for the whole item: gdalwarp, gdal_translate for a plain copy, or a
    pipeline; empty if GDAL has not all its steps."""
    plan = RasterPlan.from_json(item.plan.detail)
    if plan.chain:
        # The names of gdal's arguments are those of its older tools, with one more dash.
        write = [f"-{word}" if word in {"-of", "-co"} else word for word in _creation(plan)]
        return _chain_command(item, item.params["steps"], [*write, item.out_path])
    if plan.warp is None:
        words = ["gdal_translate", *_nodata_words(plan.nodata, "-a_nodata"), *_creation(plan)]
        if assigned := item.plan.notes.get("assigned_crs"):
            words += ["-a_srs", str(assigned)]
    else:
        extent = _extent(plan, Window(0, 0, plan.width, plan.height))
        words = ["gdalwarp", *_warp_words(item, plan, plan.warp), *extent, *_creation(plan)]
    return shlex.join([*words, gdal_name(item.source), item.out_path])


def window_command(item: ItemContext, window: Window) -> str:
    """Return a command that computes one window in memory, and so reads what its chunk reads; our
    own if a function of the user makes its pixels."""
    plan = RasterPlan.from_json(item.plan.detail)
    steps = item.params.get("steps", ())
    nested = (one for step in steps for _, chain in chains_beside(step) for one in chain)
    if any("use" in step for step in (*steps, *nested)):
        grid = item.plan.grid
        row, col = divmod(grid.under(window)[0], grid.columns)
        return own_trials.command_for(item, f"{row},{col}")
    if plan.chain:
        part = {"name": "clip", "window": list(window.srcwin)}
        return _chain_command(item, [*item.params["steps"], part], ["--of", "MEM", "out"])
    if plan.warp is None:
        words = ["gdal_translate", "-srcwin", *map(str, window.srcwin)]
    else:
        words = ["gdalwarp", *_warp_words(item, plan, plan.warp), *_extent(plan, window)]
    return shlex.join([*words, gdal_name(item.source), _NOWHERE])


def _chain_command(item: ItemContext, steps: Sequence[Json], write: Sequence[str]) -> str:
    nested = [inner for step in steps for inner in _side_steps(step)]
    if any(step["name"] not in gdal_steps.RASTER_STEPS for step in (*steps, *nested)):
        return ""
    # GDAL's calc reads files itself.
    if any(step["name"] == "calc" for step in (*steps[1:], *nested)):
        return ""
    if any(not isinstance(side, str) for side in steps[0].get("inputs", {}).values()):
        return ""
    files = [gdal_name(item.source)]
    if source_list.is_source_list(item.source):
        try:
            files = list(source_list.members_of(item.source))
        except (OSError, GeobatchError):
            return ""
        if len(files) > _MOST_FILES or not _is_gdals(steps[0]):
            return ""
    return pipeline(files, steps, write)


def _is_gdals(combining: Json) -> bool:
    """Whether GDAL's mosaic or stack does the same with files."""
    ours = {"rule": "last", "resampling": "nearest", "output_crs": "", "output_data_type": None}
    return all((combining.get(name) or value) == value for name, value in ours.items())


def pipeline(files: Sequence[str], steps: Sequence[Json], write: Sequence[str]) -> str:
    """Return GDAL's pipeline of ``steps`` on ``files``: what is as GDAL's defaults is left out, and
    what GDAL has not; ``write`` are the words of its last step."""
    parts = [["read", *files]]
    parts += [_step_words(step, files[0]) for step in steps]
    parts.append(["write", *write])
    if steps and steps[0]["name"] in COMBINING:
        combine, *own = parts[1]
        parts[:2] = [[combine, *files, *own]]
    elif steps and steps[0]["name"] == "calc":
        beside = steps[0].get("inputs", {})
        named = [f"A={files[0]}", *(f"{name}={path}" for name, path in beside.items())]
        inputs = [word for text in (named if beside else files) for word in ("-i", text)]
        parts[:2] = [["calc", *inputs, *parts[1][1:]]]
    return "gdal raster pipeline " + " ! ".join(map(_joined, parts))


class _Bare(str):
    """A word of a pipeline that stands without quotes."""

    __slots__ = ()


def _joined(words: Sequence[str]) -> str:
    return " ".join(word if isinstance(word, _Bare) else shlex.quote(word) for word in words)


def _side_steps(step: Json) -> Sequence[Json]:
    """Return the steps of the chain beside a step."""
    return [
        inner
        for name in SIDES & step.keys()
        if isinstance(step[name], dict)
        for inner in step[name]["steps"]
    ]


def _side_words(side: Json, source: str) -> list[str]:
    """Return the words of the chain beside a step; ``source`` is the file of the item."""
    words: list[str] = [
        _Bare("["),
        "read",
        source if side["input"] == OWN_SOURCE else side["input"],
    ]
    for step in side["steps"]:
        words += [_Bare("!"), *_step_words(step, source)]
    return [*words, _Bare("]")]


def _step_words(step: Json, source: str) -> list[str]:
    from geobatch_tui.execution.params.chain_params import STEP_PARAMS

    name = step["name"]
    fields, arguments = STEP_PARAMS[name].model_fields, gdal_steps.arguments_of(name)
    words = [name]
    if name == "calc" and step.get("dialect") != "builtin":  # GDAL knows no b1
        beside = step.get("inputs", {})
        own = "A" if beside else "X"
        texts = [text_of(parse(text, beside).tree, own) for text in step["calc"]]
        step = {**step, "calc": texts}
    for field, value in step.items():
        argument = field.replace("_", "-")
        default = fields[field].get_default(call_default_factory=True)
        default = gdal_steps.DEFAULTS.get(name, {}).get(field, default)
        if argument not in arguments or value == default or value == list(_several(default)):
            continue
        if field in SIDES and isinstance(value, dict):
            words += [f"--{argument}", *_side_words(value, source)]
            continue
        words += _argument_words(f"--{argument}", field, value)
    return words


def _argument_words(option: str, field: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [option if value else f"{option}=false"]
    if isinstance(value, dict):
        return [word for key, text in value.items() for word in (option, f"{key}={text}")]
    if field in gdal_steps.ONE_BY_ONE:
        return [word for text in _several(value) for word in (option, str(text))]
    return [option, ",".join(map(str, _several(value)))]


def _several(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _warp_words(item: ItemContext, plan: RasterPlan, warp: Warp) -> list[str]:
    words = ["-et", "0", "-ovr", "NONE", "-r", warp.resampling]
    ours = {"CENTER_LONG", "CHECK_WITH_INVERT_PROJ", "PER_BAND_NODATA"}
    options = {name: value for name, value in warp.options.items() if name not in ours}
    options |= {"XSCALE": repr(warp.xscale), "YSCALE": repr(warp.yscale)}
    for name, value in sorted(options.items()):
        words += ["-wo", f"{name}={value}"]
    if check := warp.options.get("CHECK_WITH_INVERT_PROJ"):
        words += ["--config", "CHECK_WITH_INVERT_PROJ", check]
    if item.plan.notes.get("datum_bound"):
        words += ["-s_srs", warp.src_crs]
    elif assigned := item.plan.notes.get("assigned_crs"):
        words += ["-s_srs", str(assigned)]
    if item.plan.notes.get("datum_apart") or item.plan.notes.get("datum_elsewhere"):
        words += ["-to", "AREA_OF_INTEREST=0,0,0,0"]  # with one, gdalwarp takes another operation
    words += ["-t_srs", str(item.params.get("dst_crs") or plan.crs)]
    words += _nodata_words(warp.src_nodata, "-srcnodata")
    words += _nodata_words(plan.nodata, "-dstnodata")
    adds_alpha = plan.validity == "mask" or bool(item.params.get("add_alpha"))
    return [*words, "-dstalpha"] if adds_alpha else words


def _nodata_words(value: float | None, flag: str) -> list[str]:
    return [] if value is None else [flag, repr(value)]


def _extent(plan: RasterPlan, window: Window) -> list[str]:
    """Return the options for the bounds and the size of ``window``."""
    a, _, c, _, e, f = plan.transform
    left, top, right, bottom = window.bounds
    bounds = (c + a * left, f + e * bottom, c + a * right, f + e * top)
    return ["-te", *map(repr, bounds), "-ts", str(window.width), str(window.height)]


def _creation(plan: RasterPlan) -> list[str]:
    encoding = plan.encoding
    options: dict[str, str] = {"COMPRESS": encoding.compress}
    if encoding.predictor != 1:
        options["PREDICTOR"] = "YES" if encoding.format == "COG" else str(encoding.predictor)
    if encoding.max_z_error:
        options["MAX_Z_ERROR"] = repr(encoding.max_z_error)
    options |= _layout(plan)
    words = ["-of", encoding.format]
    for name, value in options.items():
        words += ["-co", f"{name}={value}"]
    return words


def _layout(plan: RasterPlan) -> dict[str, str]:
    encoding = plan.encoding
    is_cog = encoding.format == "COG"
    keys = LEVEL_KEYS.get(encoding.compress.removeprefix("LERC_"))
    level = {keys[0 if is_cog else 1]: str(encoding.level)} if keys else {}
    band = {"INTERLEAVE": "BAND"} if encoding.interleave == "band" else {}
    if is_cog:
        layout = {"BLOCKSIZE": str(encoding.block_width)}
        layout["OVERVIEW_RESAMPLING"] = encoding.overview_resampling.upper()
    else:
        layout = {
            "TILED": "YES",
            "BLOCKXSIZE": str(encoding.block_width),
            "BLOCKYSIZE": str(encoding.block_height),
        }
        if encoding.compress == "WEBP" and encoding.level == LOSSLESS:
            layout["WEBP_LOSSLESS"] = "YES"
        if encoding.compress == "JPEG" and plan.stored().count == 3:
            layout["PHOTOMETRIC"] = "YCBCR"
    return band | layout | level
