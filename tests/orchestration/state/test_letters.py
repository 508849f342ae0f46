"""Records of what was given up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pool_driver
import pytest

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.ops.registry import get_operation
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    Failure,
    FeatureLetter,
)
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.orchestration.run.plan_phase import _inspect_line
from geobatch_tui.orchestration.state.letters import (
    chunk_label,
    feature_letter,
    item_letter,
    window_bounds,
)

GRID = ChunkGrid(1000, 500, 100, 100)


def lattice(holes: tuple[int, ...] = ()) -> dict[str, object]:
    """A world in plate carrée as a 3 x 3 lattice."""
    points = [[lon, lat] for lat in (90.0, 0.0, -90.0) for lon in (-180.0, 0.0, 180.0)]
    return {
        "cols": 3,
        "rows": 3,
        "points": [None if i in holes else p for i, p in enumerate(points)],
    }


def test_label_names_row_and_column() -> None:
    """``item@row,col`` is what ``--chunk`` takes."""
    assert chunk_label("a.tif", (GRID,), 13) == "a.tif@1,3"
    assert chunk_label("a.tif", (GRID, GRID), 13) == "a.tif@stage1:1,3"
    assert chunk_label("a.tif", (GRID, GRID), len(GRID) + 13) == "a.tif@1,3"


def test_a_refused_source_is_looked_at_by_the_tool_for_its_kind() -> None:
    """Rasters with gdalinfo, vectors with ogrinfo."""
    failure = Failure("CrsError", Reaction.PERMANENT, "")
    assert _inspect_line("/a b.tif", "raster", failure) == "gdalinfo '/a b.tif'"
    assert _inspect_line("/a b.gpkg", "vector", failure) == "ogrinfo -so -al '/a b.gpkg'"


def test_bounds_are_interpolated() -> None:
    """The window's place on the ground follows from the lattice."""
    assert window_bounds(lattice(), GRID, Window(250, 125, 500, 250)) == [-90.0, -45.0, 90.0, 45.0]


def test_window_off_the_earth_has_no_bounds() -> None:
    """Where the projection knows no place, none is invented."""
    assert window_bounds(lattice(holes=tuple(range(9))), GRID, Window(0, 0, 100, 100)) is None
    assert window_bounds(None, GRID, Window(0, 0, 100, 100)) is None


def test_partly_unknown_window_uses_the_known_part() -> None:
    """A window at the limb is placed by the corners that lie on the earth."""
    bounds = window_bounds(lattice(holes=(0,)), GRID, Window(0, 0, 1000, 500))
    assert bounds == [-180.0, -90.0, 180.0, 90.0]


@pytest.mark.parametrize("index", [0, 9, 49])
def test_edge_windows_stay_inside(index: int) -> None:
    """The last node is reached, not overrun."""
    bounds = window_bounds(lattice(), GRID, GRID.window(index))
    assert bounds is not None
    assert -180 <= bounds[0] < bounds[2] <= 180


def test_letters_hold_no_credentials() -> None:
    """They stay in the ledger, and are exported; names by which they are found stay whole."""
    url = "https://bob:hunter2@host/a.tif?token=xyz789"
    evidence = {"tail": [f"HTTP 403 of {url}"], "password": "hunter2"}
    failure = Failure(
        "RemoteReadError", Reaction.TRANSIENT, f"cannot read {url}", hint=url, traceback=f"x\n{url}",
        evidence=evidence,
    )  # fmt: skip
    item = replace(pool_driver.item(Path("/"), key="token=1.tif"), source="/token=1.tif")
    letter = item_letter(item, 1, failure, f"gdalinfo {url}")
    assert (letter["item"], letter["source"]) == ("token=1.tif", "/token=1.tif")
    assert str(letter).count("https://***@host/a.tif?token=***") == 5
    assert "hunter2" not in str(letter)
    assert "xyz789" not in str(letter)


def test_letters_of_features_hold_no_credentials() -> None:
    """What a library says of a feature may name them as well."""
    found = FeatureLetter(7, 3, "GeometryError", "cannot read https://bob:hunter2@host/a", "", 0)
    operation = get_operation("test.faulty")
    letter = feature_letter(pool_driver.item(Path("/work")), 0, 1, found, operation)
    assert letter["error_message"] == "feature 3 with fid 7: cannot read https://***@host/a"
