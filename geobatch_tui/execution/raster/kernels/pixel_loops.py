"""The compiled loops that chunks call, with the types of their arguments.

``T`` is the type of the pixels; a number behind a type is the number of an array's dimensions. The
arguments are described where the loops are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.native.loop import Loop

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import DType

_SOURCE = "T:3"
_MASKS = "uint8:3 uint8:2"
#: Positions, the start of the window, the sides of the source.
_WHERE = "float64:2 float64:2 int,int int,int"
_KERNEL = "int float,float int,int int,int bool"
#: The arrays that are filled, and the start of the part in them.
_OUT = "T:3 uint8:2 int,int"
_ENDS = "bool float float"
_SCRATCH = "float64:2 uint32:1 uint8:1 float64:1 T:2"
_GATHER = f"{_SOURCE} T:2 {_WHERE} {_KERNEL} {_OUT} {_ENDS} {_SCRATCH}"

#: Parts of the loops below.
weigh = Loop.of("weights.weigh", "float int float int float64:1")
weigh_row = Loop.of("weights.weigh_row", "int float64:1 float int float64:2 float64:1 float64:1")
place_row = Loop.of(
    "weights.place_row",
    "float64:1 float64:1 int,int int,int int int,int int,int "
    "uint32:1 float64:1 float64:1 uint8:1 float64:1",
)
_ROWS = (weigh, weigh_row, place_row)

nearest = Loop.of("gather.nearest", f"{_SOURCE} {_WHERE} {_OUT}")
gather = Loop.of("gather.gather", _GATHER, needs=_ROWS)
gather_quads = Loop.of("gather_quads.gather", _GATHER, packs=True, needs=_ROWS)
interleave_bytes = Loop.of("gather_quads.interleave_bytes", "uint8:2 uint32:1")
interleave_words = Loop.of("gather_quads.interleave_words", "uint16:2 uint64:1")
separable = Loop.of(
    "gather.separable",
    f"{_SOURCE} uint32:1 float64:2 uint32:1 float64:2 T:3 int,int {_ENDS} float64:1 float64:1",
)
nearest_masked = Loop.of("gather_masked.nearest", f"{_SOURCE} {_MASKS} {_WHERE} {_OUT}")
gather_masked = Loop.of(
    "gather_masked.gather",
    f"{_SOURCE} T:2 {_MASKS} {_WHERE} {_KERNEL} {_OUT} {_ENDS} {_SCRATCH}",
    needs=_ROWS,
)
average = Loop.of(
    "mean.average",
    "T:3 uint8:3 bool float64:2 float64:2 float64:2 float64:2 int,int int,int float "
    f"T:3 uint8:2 {_ENDS}",
)
axis = Loop.of(
    "weights.axis",
    "float64:1 int int float int int64:1 float64:2 int64:1 uint8:1 float64:1",
    needs=(weigh,),
)
convolve = Loop.of(
    "images.halve_loops.convolve",
    "T:2 uint8:2 bool int int float64:1 float64:2 float64:2 float64:1 float64:1",
)
average_whole = Loop.of("images.halve_loops.average_whole", "T:2 uint8:2 bool T:1 bool T:2")
average_floats = Loop.of("images.halve_loops.average_floats", "T:2 uint8:2 bool T:1 bool T:2")
interleave = Loop.of("predictors.interleave", "T:1 int int,int int,int T:2")
differences = Loop.of("predictors.differences", "T:2 int T:2")
are_differences = Loop.of("predictors.are_differences", "T:2 T:2 int T:1 uint8:1")
split_bytes = Loop.of("predictors.split_bytes", "T:2 uint8:2")
sum_differences = Loop.of("predictors.sum_differences", "T:3 T:3")
apart = Loop.of("predictors.apart", "T:2 T:3")
sum_bytes = Loop.of("predictors.sum_bytes", "uint64:2")
join_bytes = Loop.of("predictors.join_bytes", "uint8:2 bool T:3")
interpolate = Loop.of(
    "cells.interpolate", "float64:3 float64:3 int64:2 int float64:2 float64:2 float64:2 int int"
)
judge = Loop.of(
    "cells.judge", "float64:3 float64:3 float64:2 float64:2 float64:3 float float uint8:1 uint8:1"
)
extents_of_cells = Loop.of(
    "cells.extents_of_cells", "float64:3 float64:3 int64:2 int int,int int,int float64:3 float64:2"
)
extents_of_pixels = Loop.of(
    "cells.extents_of_pixels", "float64:1 float64:1 int64:2 int int,int int,int float64:3"
)
#: Heights, whether some may be NaN; whether gradients are Horn's, and numbers.
_HEIGHTS = "T:2 bool"
_GRADIENTS = f"{_HEIGHTS} bool float64:1"
shade = Loop.of("terrain_loops.shade", f"{_GRADIENTS} uint8:2")
shade_combined = Loop.of("terrain_loops.shade_combined", f"{_GRADIENTS} uint8:2")
shade_multidirectional = Loop.of("terrain_loops.shade_multidirectional", f"{_GRADIENTS} uint8:2")
shade_igor = Loop.of("terrain_loops.shade_igor", f"{_GRADIENTS} uint8:2")
slope = Loop.of("terrain_loops.slope", f"{_GRADIENTS} bool float32:1 float32:2")
aspect = Loop.of("terrain_loops.aspect", f"{_GRADIENTS} bool float32:2")
position = Loop.of("terrain_loops.position", f"{_HEIGHTS} float32:2")
ruggedness = Loop.of("terrain_loops.ruggedness", f"{_HEIGHTS} bool float32:2")
roughness = Loop.of("terrain_loops.roughness", f"{_HEIGHTS} float32:2")
#: Pixels with their neighbours, which of them count, and whether that is looked at.
_AROUND = "float64:2 uint8:2 bool"
_TAPS = "int64:2 float64:1"
weighted = Loop.of(
    "focal.neighbor_loops.weighted", f"{_AROUND} {_TAPS} bool float64:1 float64:2 uint8:2"
)
box = Loop.of("focal.neighbor_loops.box", f"{_AROUND} int bool float64:2 float64:2 float64:2")
box_extremes = Loop.of(
    "focal.neighbor_loops.box_extremes", "float64:2 int float float64:2 float64:2"
)
extremes = Loop.of("focal.neighbor_loops.extremes", f"{_AROUND} {_TAPS} float float64:2")
deviations = Loop.of(
    "focal.neighbor_loops.deviations", f"{_AROUND} {_TAPS} float64:1 float64:1 float64:2"
)
any_seen = Loop.of("focal.neighbor_loops.any_seen", "uint8:2 int64:2 uint8:2")
medians_of_nine = Loop.of("focal.neighbor_loops.medians_of_nine", "float64:2 float64:2")
medians_of_some = Loop.of("focal.neighbor_loops.medians_of_some", "float64:2 uint8:2 float64:2")
medians = Loop.of("focal.neighbor_loops.medians", f"{_AROUND} {_TAPS} float64:1 float64:2")
modes = Loop.of(
    "focal.neighbor_loops.modes", f"{_AROUND} {_TAPS} float64:1 float64:1 int64:1 int64:1 float64:2"
)
run_algebra = Loop.of("algebra_loops.run", "int64:2 float64:2")

power = Loop.of("value_loops.power", "float64:1 float")
classify = Loop.of("value_loops.classify", "T:1 float64:1 float64:1 int32:1")
colour = Loop.of("value_loops.colour", "T:1 float64:1 float64:2 int uint8:2")
downs = Loop.of("focal.distance_loops.downs", "uint8:2 int,int int32:2")
fill = Loop.of(
    "focal.distance_loops.fill", "T:2 uint8:2 int,int int bool bool int32:2 int32:1 T:2 uint8:2"
)
smooth = Loop.of("focal.distance_loops.smooth", "T:2 uint8:2 uint8:2 int,int T:2")
squares = Loop.of(
    "focal.distance_loops.squares",
    "uint8:2 int,int int float int32:2 int32:1 int64:2 float64:1 float64:2",
)
squares_of_downs = Loop.of("focal.distance_loops.squares_of_downs", "int32:2 int int64:2 float64:2")
#: Sides in the source, of a part of an axis.
_SIDES = "int int int"
kernel_taps = Loop.of(
    "images.resize_loops.kernel_taps", f"{_SIDES} int float int64:1 int64:1 float64:2"
)
#: Pixels and which of them are valid, and whether that is looked at; taps; what is filled.
_ALONG = "uint8:2 bool int64:1 int64:1 float64:2 int bool float64:2 uint8:2"
along_rows = Loop.of("images.resize_loops.along_rows", f"float64:2 {_ALONG}")
along_columns = Loop.of("images.resize_loops.along_columns", f"float64:2 {_ALONG}")
area_sides = Loop.of(
    "images.resize_loops.area_sides", f"{_SIDES} int64:1 int64:1 float64:1 float64:1"
)
mean_by_area = Loop.of(
    "images.resize_loops.average",
    "float64:2 uint8:2 bool int64:2 int64:2 float64:2 float64:2 int,int float64:2 uint8:2",
)
commonest = Loop.of(
    "images.resize_loops.commonest",
    "uint64:2 uint8:2 bool int64:2 int64:2 int,int uint64:1 int64:1 uint64:2 uint8:2",
)
#: An image and its alpha, and another.
_TWO = "uint8:2 uint8:1 uint8:2 uint8:1"
mix = Loop.of("images.blend_loops.mix", f"{_TWO} int int bool uint8:2 uint8:1")
lay_over = Loop.of("images.blend_loops.lay_over", f"{_TWO} int int uint8:2 uint8:1")
shade_colours = Loop.of("images.blend_loops.shade", "uint8:2 uint8:2 uint8:1 int bool uint8:2")
touched = Loop.of("images.scan_loops.touched", "float64:2 int int uint8:2")


def scratch(taps: tuple[int, int], width: int, dtype: DType) -> tuple[np.ndarray, ...]:
    """Return the arrays that :data:`gather` overwrites, for ``taps`` (x, y) and ``width`` pixels of
    ``dtype``."""
    rows = sum(taps) + 3
    return (
        np.empty((rows, width)),
        np.zeros(width, np.uint32),
        np.zeros(width, np.uint8),
        np.empty(rows + 4),
        np.empty((width, 4), dtype),
    )
