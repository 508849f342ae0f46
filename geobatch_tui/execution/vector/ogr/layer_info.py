"""The layers of a source as OGR describes them: names, features and ids."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np

from geobatch_tui.execution.vector.ogr import errors
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.pyogrio_import import MEASURED, pyogrio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class LayerInfo(TypedDict):
    """A layer as pyogrio describes it; ``measured``: its type has M."""

    driver: str
    features: int
    fid_column: str
    fields: NDArray[np.object_]
    geometry_name: str
    geometry_type: str | None
    encoding: str
    crs: str | None
    capabilities: dict[str, bool]
    layer_metadata: dict[str, str] | None
    total_bounds: tuple[float, float, float, float] | None
    measured: bool


def layer_names(place: str) -> list[str]:
    """List the layers of ``place``, what OGR opens."""
    return [str(name) for name, _ in pyogrio.list_layers(exact(place))]


def layer_info(place: str, layer: str, *, encoding: str = "", count: bool = False) -> LayerInfo:
    """Describe a layer of ``place``, what OGR opens.

    ``encoding``: of the text of a Shapefile; empty: as OGR finds it. ``count``: features are
    counted where OGR does not know their number.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        info = pyogrio.read_info(
            exact(place), layer=layer, encoding=encoding or None, force_feature_count=count
        )
    info |= {key: info[key] or "" for key in ("fid_column", "geometry_name")}
    info["measured"] = any(str(one.message).startswith(MEASURED) for one in caught)
    return cast("LayerInfo", info)


def id_batches(
    place: str,
    layer: str,
    columns: list[str] | None = None,
    where: str = "",
    encoding: str = "",
) -> Iterator[NDArray[np.int64]]:
    """Read the ids of the features that ``where`` leaves of a layer, in the order of OGR, in one
    pass over ``columns``; None: all of them."""
    with pyogrio.open_arrow(
        exact(place),
        layer=layer,
        encoding=encoding or None,
        columns=columns,
        read_geometry=False,
        return_fids=True,
        where=where or None,
        use_pyarrow=True,
    ) as (meta, reader):
        for batch in reader:
            yield batch.column(meta["fid_column"]).to_numpy()


def all_ids(path: str, place: str, layer: str) -> NDArray[np.int64]:
    """Read the ids of all features of a layer of the source ``path``, in the order of OGR.

    Raises: see :func:`errors.ogr_errors`.
    """
    with errors.ogr_errors(path, layer):
        return np.concatenate([np.empty(0, np.int64), *id_batches(place, layer, [])])
