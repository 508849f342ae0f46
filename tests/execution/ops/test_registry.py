"""Operations by name."""

from __future__ import annotations

import pytest

from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.ops import registry


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEOBATCH_OPS", raising=False)


def test_an_own_operation_is_found_without_a_look_at_all_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_entries", lambda: pytest.fail("looked at all"))
    assert registry.get_operation("raster.pipeline").name == "raster.pipeline"


def test_own_operations_are_those_of_the_entry_points() -> None:
    assert set(registry._own()) <= set(registry._entries())
    assert {"raster.convert", "vector.clip"} <= set(registry._own())


def test_an_unknown_operation_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'raster\.reproject'"):
        registry.get_operation("raster.reprojekt")
