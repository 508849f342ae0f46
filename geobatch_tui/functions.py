"""Marks a function of the user as a step of a chain: ``from geobatch_tui import step``.

::

    @step(halo=2, dtype="float32", bands=1, nodata=np.nan)
    def despeckle(block, *, nodata, size: int = 5):
        ...

    @step(rows="fewer")
    def large(frame: geopandas.GeoDataFrame, *, area: float = 1e4):
        return frame[frame.area > area]

A job names it: ``[[step]]``, ``use = "steps.py:despeckle"``, ``size = 7``. The function is called
as it is, so it can be tested and used without geobatch. Nothing is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    type Chosen[T] = T | Callable[..., T]
    type Rim = Literal["replicate", "reflect", "nodata"] | float
    type Rows = Literal["same", "fewer", "more"]
    #: Types by the names of fields, as OGR or Arrow calls them; None: the field is left out.
    type Fields = Mapping[str, object]

#: Stands for "as the input".
AS_INPUT: Final = "as the input"
#: The attribute of a function that holds its declaration.
ATTRIBUTE: Final = "__geobatch_step__"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a function says of itself; see :func:`step`. ``fields`` None: as it gives them."""

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
    rows: Rows = "same"
    fields: Chosen[Fields] | None = None
    crs: Chosen[str] | None = None


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
    rows: Rows = ...,
    fields: Chosen[Fields] | None = ...,
    crs: Chosen[str] | None = ...,
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
    rows: Rows = "same",
    fields: Chosen[Fields] | None = None,
    crs: Chosen[str] | None = None,
) -> F | Callable[[F], F]:
    """Say of a function of pixels or features what a chain has to know of it; all is optional.

    A function of pixels takes ``block``, read-only and of shape (bands, h + 2 * halo,
    w + 2 * halo), and gives an array (bands, h, w), or (h, w) for one band; a masked array marks
    what is invalid. It has to depend on the block and its parameters alone.

    A function of features takes a ``geopandas.GeoDataFrame`` or a ``pyarrow.Table``, as it
    annotates its first argument, and gives the same. Columns of a frame are of pandas' nullable
    types, whatever values a batch has; a table has its geometries as WKB, in the column
    ``geometry``. What becomes of a feature has to depend on that feature and the parameters alone.
    A frame keeps its index, which tells what became of which feature; of a table it is the column
    ``geobatch_row``, unless its rows stay the same.

    Keyword-only arguments are parameters of the job's step, but for those that are given if it asks
    for them by name: ``crs`` (as WKT) and ``item`` (its key); and of pixels ``window`` (of the
    answer, in pixels of the item), ``valid`` (bool, of the shape of the block), ``nodata``,
    ``transform`` (of the window) and ``bands`` (descriptions). A function that numba compiles gets
    window and transform as named tuples.

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
        memory: bytes that it takes beside its input and answer, in times of the input's. If it
            does not say, the first chunk of a run runs alone, and what it takes is reserved for
            those that follow, with room for more until two others showed theirs.
        portable: whether it gives the same bits on every processor and by every numpy.
        rows: of features: whether each gives one (``same``), one or none (``fewer``), or any number
            (``more``).
        fields: of features: fields that it adds or changes, with their types, as
            ``{"area": "Real"}``, in OGR's words or as types of Arrow; None for one that it leaves
            out; ``{}``: none of these. Without ``fields``, the plan learns them from what it makes
            of the first features.
        crs: of features: CRS of the answer, where it is another.

    ``halo``, ``dtype``, ``bands``, ``nodata``, ``fields`` and ``crs`` may be functions of the
    parameters, as ``halo=lambda size: size // 2``; ``version``, ``uses``, ``files`` and
    ``portable`` have to be written out, as they are read without running the code.
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
        rows,
        fields,
        crs,
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
