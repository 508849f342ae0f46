"""Job files for the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomli_w

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def write_job(
    path: Path, inputs: Sequence[Path], out: Path, op: dict[str, Any], **tables: dict[str, Any]
) -> Path:
    """A job file at ``path``: ``inputs`` through ``op`` into ``out``; other tables as given."""
    job = {
        "job": {"name": path.stem},
        "source": {"inputs": [str(entry) for entry in inputs]},
        "op": op,
        **tables,
    }
    job["output"] = {"dir": str(out), **tables.get("output", {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(job))
    return path


def reproject(dst_crs: str, resampling: str, **more: Any) -> dict[str, Any]:
    """The table ``op`` of a warp."""
    return {"name": "raster.reproject", "dst_crs": dst_crs, "resampling": resampling, **more}
