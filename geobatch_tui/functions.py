"""Marks a function of the user as a step of a chain: ``from geobatch_tui import step``.

::

    @step(halo=2, dtype="float32", bands=1, nodata=np.nan)
    def despeckle(block, *, nodata, size: int = 5):
        ...

A job names it: ``[[step]]``, ``use = "steps.py:despeckle"``, ``size = 7``. The function is called
as it is, so it can be tested and used without geobatch. Nothing is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    type Chosen[T] = T | Callable[..., T]
    type Rim = Literal["replicate", "reflect", "nodata"] | float

#: Stands for "as the input".
AS_INPUT: Final = "as the input"
#: The attribute of a function that holds its declaration.
ATTRIBUTE: Final = "__geobatch_step__"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a function says of itself; see :func:`step`."""

    halo: Chosen[int] = 0
    dtype: Chosen[str] = AS_INPUT
    bands: Chosen[int] | str = AS_INPUT
    nodata: Chosen[float | None] | str = AS_INPUT
    rim: Rim = "replicate"
    finite: bool = False
    version: int | None = None
    uses: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    memory: float | None = None
    portable: bool = False


@overload
def step[F: Callable[..., object]](function: F, /) -> F: ...
@overload
def step[F: Callable[..., object]](
    *,
    halo: Chosen[int] = ...,
    dtype: Chosen[str] = ...,
    bands: Chosen[int] | str = ...,
    nodata: Chosen[float | None] | str = ...,
    rim: Rim = ...,
    finite: bool = ...,
    version: int | None = ...,
    uses: Sequence[str] = ...,
    files: Sequence[str] = ...,
    memory: float | None = ...,
    portable: bool = ...,
) -> Callable[[F], F]: ...
def step[F: Callable[..., object]](  # noqa: PLR0913 - each one is said of a function
    function: F | None = None,
    /,
    *,
    halo: Chosen[int] = 0,
    dtype: Chosen[str] = AS_INPUT,
    bands: Chosen[int] | str = AS_INPUT,
    nodata: Chosen[float | None] | str = AS_INPUT,
    rim: Rim = "replicate",
    finite: bool = False,
    version: int | None = None,
    uses: Sequence[str] = (),
    files: Sequence[str] = (),
    memory: float | None = None,
    portable: bool = False,
) -> F | Callable[[F], F]:
    """Say of a function of blocks of pixels what a chain has to know of it; all is optional.

    The function takes ``block``, read-only and of shape (bands, h + 2 * halo, w + 2 * halo), and
    gives an array (bands, h, w), or (h, w) for one band; a masked array marks what is invalid. It
    has to depend on the block and its parameters alone. Its keyword-only arguments are parameters
    of the job's step, but for those that are given if it asks for them by name: ``window`` (of the
    answer, in pixels of the item), ``valid`` (bool, of the shape of the block), ``nodata``,
    ``transform`` (of the window), ``crs`` (as WKT), ``bands`` (descriptions) and ``item`` (its
    key).

    Args:
        function: what is decorated, where the decorator has no parentheses.
        halo: pixels around the answer that it looks at, on each side.
        dtype: type of the answer's pixels.
        bands: number of bands of the answer.
        nodata: value of invalid pixels of the answer; None: there are none.
        rim: what lies beyond the rim of the item: ``replicate``, ``reflect``, ``nodata``, or a
            value.
        finite: whether it promises that all valid pixels are finite.
        version: a number in place of the digest of its code: outputs are then stale only if this
            changes.
        uses: distributions whose versions decide what it gives, as ``scipy``.
        files: files that it reads, relative to its own; a change makes outputs stale.
        memory: bytes that it takes beside block and answer, in times of the block's.
        portable: whether it gives the same bits on every processor and by every numpy.

    ``halo``, ``dtype``, ``bands`` and ``nodata`` may be functions of the parameters, as
    ``halo=lambda size: size // 2``; ``version``, ``uses``, ``files`` and ``portable`` have to be
    written out, as they are read without running the code.
    """
    declared = Declaration(
        halo,
        dtype,
        bands,
        nodata,
        rim,
        finite,
        version,
        tuple(uses),
        tuple(files),
        memory,
        portable,
    )

    def mark(marked: F) -> F:
        setattr(marked, ATTRIBUTE, declared)
        return marked

    return mark if function is None else mark(function)


def declaration_of(function: object) -> Declaration:
    """Return what a function says of itself, or what holds for one that says nothing."""
    # Numba keeps the function that it compiles.
    for marked in (function, getattr(function, "py_func", None)):
        known = getattr(marked, ATTRIBUTE, None)
        if isinstance(known, Declaration):
            return known
    return Declaration()
