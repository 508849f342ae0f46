"""A fake operation, so that the configuration is tested without a real one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def _field(default: Any = ..., kind: str = "semantic", **more: Any) -> Any:
    return Field(
        default, description="a field", json_schema_extra={"kind": kind, "unit": ""}, **more
    )


class FakeParams(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dst_crs: str = _field()
    resampling: Literal["nearest", "bilinear"] = _field("nearest")
    resolution: float | tuple[float, float] | None = _field(None)
    warp_options: dict[str, str] = Field(
        default_factory=dict,
        description="a table",
        json_schema_extra={"kind": "semantic", "unit": ""},
    )
    api_token: str = _field("", kind="operational")


class FakeOperation:
    name = "fake.reproject"
    version = 1
    data = "raster"
    summary = "Pretends to reproject."
    params = FakeParams


FAKE = FakeOperation()
