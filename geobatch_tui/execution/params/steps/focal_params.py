"""Parameters of steps that look around a pixel; see ``params.step_params``."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from geobatch_tui.execution.params.param_fields import SourceNodata, semantic
from geobatch_tui.execution.params.step_params import Band, DataType, StepParams, as_list

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

#: The kernels that have names, and their sizes; "equal" has any.
KERNEL_SIZES: Mapping[str, tuple[int, ...]] = {
    "u": (3,), "v": (3,), "edge1": (3,), "edge2": (3,), "sharpen": (3,), "gaussian": (3, 5),
    "unsharp-masking": (5,), "equal": (),
}  # fmt: skip
#: Kernels that sum if no method is given; the others take means.
SUMMING = frozenset({"u", "v", "edge1", "edge2"})
_LARGEST = 99

type Matrix = list[list[float]]


def _as_texts(value: object) -> object:
    """Write each matrix as text, as GDAL's command line has it: parameters are one kind of thing
    then, and can be compared."""
    if not isinstance(value, list | tuple):
        return [_text(value)]
    is_matrix = value and all(
        isinstance(row, list | tuple) and row and not isinstance(row[0], list | tuple)
        for row in value
    )
    return [_text(value)] if is_matrix else [_text(kernel) for kernel in value]


def _text(kernel: object) -> object:
    if isinstance(kernel, str) and not kernel.strip().startswith("["):
        return kernel
    matrix = matrix_of(kernel)
    rows = ("[" + ",".join(map(repr, row)) + "]" for row in matrix)
    return "[" + ",".join(rows) + "]"


def matrix_of(kernel: object) -> Matrix:
    """Return the rows of a matrix, given as such or as text. Raises ValueError."""
    if isinstance(kernel, str):
        try:
            kernel = json.loads(kernel)
        except ValueError:
            raise ValueError(f"{kernel} is no matrix, as [[0,1,0],[1,4,1],[0,1,0]]") from None
    rows = kernel if isinstance(kernel, list | tuple) else []
    side = len(rows)
    square = side > 0 and all(isinstance(row, list | tuple) and len(row) == side for row in rows)
    if not square or side % 2 == 0 or side > _LARGEST:
        raise ValueError(
            f"a kernel's matrix has as many rows as columns, an odd number up to {_LARGEST}"
        )
    for weight in (weight for row in rows for weight in row):
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"{weight!r} in a kernel is no number")  # noqa: TRY004
        if not math.isfinite(weight):
            raise ValueError(f"{weight} in a kernel is not finite")
    matrix = [[float(weight) for weight in row] for row in rows]
    if not any(map(any, matrix)):
        raise ValueError("all weights of a kernel are 0")
    return matrix


Kernels = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_texts, json_schema_input_type=tuple[str | Matrix, ...] | str | Matrix),
    Field(min_length=1),
]
Method = Literal["mean", "sum", "min", "max", "stddev", "median", "mode"]
Methods = Annotated[
    tuple[Method, ...], BeforeValidator(as_list, json_schema_input_type=tuple[Method, ...] | Method)
]


class NeighborsStep(StepParams):
    """Compute each pixel from those around it: smooth, sharpen, derive, take the commonest."""

    name: Literal["neighbors"]
    kernel: Kernels = semantic(
        ...,
        "Weights of the pixels: equal, u, v, edge1, edge2, sharpen, gaussian, unsharp-masking, or "
        "a matrix as [[0,1,0],[1,4,1],[0,1,0]]. Several give a band each.",
    )
    method: Annotated[Methods, Field(validate_default=True)] = semantic(
        (),
        "What is made of the weighted pixels, for all kernels or for each: mean, sum, min, max, "
        "stddev, median or mode. Empty: mean, or sum if the first kernel is of edges or slopes.",
    )
    size: Annotated[int, Field(ge=3, le=_LARGEST)] | None = semantic(
        None, "Width and height of a kernel, odd. Empty: 3, or that of the kernel.", "pixels"
    )
    band: Band | None = semantic(None, "Number of the band, from 1; empty: all.")
    output_data_type: Annotated[DataType, Field(validate_default=True)] = semantic(
        "Float64", "Type of the pixels, by GDAL's names."
    )
    nodata: SourceNodata = semantic(
        None,
        'Nodata of the output; empty: that of the input; "none": a mask in place of it.',
        "pixel value",
    )

    @field_validator("method")
    @classmethod
    def _for_each(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        kernels = info.data.get("kernel", ())
        if len(given) > 1 and len(given) != len(kernels):
            raise ValueError(
                f"there are {len(given)} methods for {len(kernels)} kernels; give one, or one for "
                "each"
            )
        # GDAL looks at the first kernel alone.
        one = given or ("sum" if kernels and kernels[0] in SUMMING else "mean",)
        return one if len(one) > 1 else one * len(kernels)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for kernel, method in zip(self.kernel, self.method, strict=True):
            self._check_size(kernel)
            if method == "mean" and _sum_of(kernel) == 0:
                raise ValueError(
                    f"the weights of kernel {kernel} sum to 0, so there is no mean; method = sum?"
                )
        return self

    def _check_size(self, kernel: str) -> None:
        if kernel.startswith("["):
            known: tuple[int, ...] = (len(matrix_of(kernel)),)
        elif kernel in KERNEL_SIZES:
            known = KERNEL_SIZES[kernel]
        else:
            raise ValueError(
                f"there is no kernel {kernel!r}; known: {', '.join(KERNEL_SIZES)}, or a matrix"
            )
        if self.size is None:
            return
        if self.size % 2 == 0:
            raise ValueError(f"size is {self.size}; it must be odd, so that there is a middle")
        if known and self.size not in known:
            sizes = " or ".join(map(str, known))
            raise ValueError(f"kernel {kernel} is of size {sizes}, and size is {self.size}")


def _sum_of(kernel: str) -> float:
    if kernel.startswith("["):
        return math.fsum(weight for row in matrix_of(kernel) for weight in row)
    return 0.0 if kernel in SUMMING else 1.0
