"""What is made for the eye: the picture of a window, or the features behind a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.window import Window


@dataclass(frozen=True, slots=True)
class PreviewTask:
    """Read a window of a source for the eye: small, stretched, with what cannot be read marked.

    ``detail`` is an item's raster plan (``ItemPlan.detail``), or empty where there is none;
    ``window`` is in its grid, or None for the whole source. ``band`` counts from 1; 0 takes the
    first three as red, green and blue where there are as many. ``columns`` and ``rows`` limit the
    picture, in pixels. ``max_bytes`` limits one block of the source, ``max_seconds`` the reading.
    """

    task_id: int
    source: str
    allow_vrt: bool
    detail: Mapping[str, Any]
    window: Window | None
    band: int
    columns: int
    rows: int
    max_bytes: int = 256 << 20
    max_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class PreviewReceipt:
    """A picture of a window of a source.

    ``pixels`` are ``width`` x ``height`` x 3 bytes, row-major, red before green before blue;
    ``marks`` has a byte a pixel: 0 a value, 1 nodata, 2 it cannot be read, 3 it was not read, as
    time ran out. ``facts`` are JSON-ready: ``window`` of the source in pixels, ``size`` of the
    source, ``bands`` shown, ``count`` of bands, ``dtype``, ``nodata``, ``block``, ``low`` and
    ``high`` (the values at black and white, by band), ``bad_blocks`` that were met and ``error``,
    what the first of them said; of a result, in place of the last three, of each band ``ranges``,
    its least and greatest valid value or None, and ``missing``, the share that is not valid.
    """

    width: int
    height: int
    pixels: bytes
    marks: bytes
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DotPicture:
    """Geometries as lines of dots.

    Attributes:
        width, height: of the picture, in dots.
        dots: a byte a dot, row-major from the upper left: 1 where a line or a point lies.
        bounds: minx, miny, maxx, maxy of its edges, in the units of the features.
        vertices: of the geometries.
        not_finite: how many of them are left out, as they lie nowhere.
        whole: whether all is drawn; else there was no time, or their WKB ends early.
    """

    width: int
    height: int
    dots: bytes
    bounds: tuple[float, float, float, float]
    vertices: int
    not_finite: int
    whole: bool


@dataclass(frozen=True, slots=True)
class FeatureLine:
    """A feature as texts, which are cut short: its ``position`` in the item, its geometry as WKT,
    and the values of its fields."""

    position: int
    geometry: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeaturesReceipt:
    """What a step gives for a chunk of features, or for one of them.

    Attributes:
        read: features that the chunk reads.
        made: features behind the step.
        dropped: features that it, or one before it, was not asked for.
        aside: those that it, or one before it, set aside: position, class of the error, reason; the
            first of ``lost``.
        kinds: features by type of geometry.
        bounds: minx, miny, maxx, maxy in the units of ``crs``; None: there are no coordinates.
        crs: name of the CRS; empty where unknown.
        fields: types of the attributes by their names.
        lines: the first features.
        picture: of all of them; of what a source has, of those that are set aside, too. None: they
            have no place that could be drawn.
    """

    read: int
    made: int
    dropped: int
    lost: int
    aside: tuple[tuple[int, str, str], ...]
    kinds: Mapping[str, int]
    bounds: tuple[float, float, float, float] | None
    crs: str
    fields: Mapping[str, str]
    lines: tuple[FeatureLine, ...]
    picture: DotPicture | None = None
