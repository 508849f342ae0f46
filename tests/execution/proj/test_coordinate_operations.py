"""Operations between two CRSs, searched for once."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import CRS, Transformer

from geobatch_tui.execution.proj import coordinate_operations

PAIRS = [
    ("EPSG:4326", "EPSG:3035"),
    ("EPSG:3035", "EPSG:4326"),
    ("OGC:CRS84", "EPSG:3035"),
    ("EPSG:4326", "EPSG:3857"),
    ("EPSG:32633", "EPSG:3857"),
    ("EPSG:3857", "EPSG:2056"),
    ("EPSG:4326", "EPSG:27700"),
    ("EPSG:31467", "EPSG:25832"),
    ("EPSG:4269", "EPSG:5070"),
    ("EPSG:4326", "EPSG:4258"),
    ("ESRI:54030", "EPSG:4326"),
]


def net(crs: CRS) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = np.meshgrid(np.arange(-189.7, 190.0, 7.1), np.arange(-90.0, 91.0, 3.7))
    if crs.is_geographic:
        return lon.ravel(), lat.ravel()
    return lon.ravel() * 1e5, lat.ravel() * 1e5


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_the_same_bits_as_by_a_search(src, dst):
    """Whether one operation is used for all points or not; there and back."""
    texts = [CRS(text).to_wkt() for text in (src, dst)]
    made, expected = (
        coordinate_operations.transformer(*texts),
        Transformer.from_crs(*texts, always_xy=True),
    )
    for direction, start in (("FORWARD", src), ("INVERSE", dst)):
        x, y = net(CRS(start))
        pairs = zip(
            made.transform(x, y, errcheck=False, direction=direction),
            expected.transform(x, y, errcheck=False, direction=direction),
            strict=True,
        )
        assert all(np.array_equal(*pair, equal_nan=True) for pair in pairs)


def test_one_search_for_two_crs(monkeypatch):
    """Whoever asks next is told from memory; and no transformation is searched for anew."""
    src, dst = "EPSG:4326", CRS("EPSG:3034").to_wkt()
    assert coordinate_operations.known(src, dst).pipeline
    monkeypatch.setattr(coordinate_operations, "TransformerGroup", None)
    monkeypatch.setattr(Transformer, "from_crs", None)
    x, _ = coordinate_operations.transformer(src, dst).transform(10.0, 52.0)
    assert x == pytest.approx(4e6)


def test_a_grid_that_is_not_there():
    """It is told, and nothing is taken for the only way."""
    found = coordinate_operations.known("EPSG:4326", CRS("EPSG:27700").to_wkt())
    assert found.lacking is None or (found.lacking[1] and not found.pipeline)


def test_a_missing_grid_is_named_with_its_accuracy():
    """Only where a better operation than those at hand needs one."""
    lacking = coordinate_operations.Operations(("p",), (0.1, ("a.tif", "b.tif")), best=False)
    assert lacking.missing_grid("'NAD27'") == (
        "the best transformation to 'NAD27' (0.1 m) needs a.tif, b.tif, which PROJ does not find"
    )
    unnamed = coordinate_operations.Operations((), (2.0, ()), best=False)
    assert "needs a grid, which" in unnamed.missing_grid("x")
    assert not coordinate_operations.Operations(("p",), (0.1, ("a.tif",)), best=True).missing_grid(
        "x"
    )
    assert not coordinate_operations.Operations(("p",), None, best=False).missing_grid("x")
