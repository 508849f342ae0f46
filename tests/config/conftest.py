from __future__ import annotations

import os

import pytest

from geobatch_tui.config.layers import load_job
from geobatch_tui.execution.ops import registry

BASE = """\
[source]
inputs = ["a.tif"]

[op]
name = "fake.reproject"
dst_crs = "EPSG:6933"

[output]
dir = "out"
"""


@pytest.fixture(scope="module", autouse=True)
def fake_operation():
    """The fake operation is registered while the tests of a module run."""
    with pytest.MonkeyPatch.context() as patch:
        others = os.environ.get("GEOBATCH_OPS", "")
        patch.setenv("GEOBATCH_OPS", f"{others},fake_operation:FAKE")
        registry._entries.cache_clear()
        yield
    registry._entries.cache_clear()


@pytest.fixture
def write(tmp_path):
    """Writes a job file and gives its path."""

    def write(text: str = BASE, name: str = "job.toml"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


@pytest.fixture
def load(write):
    """Loads a job from text, in an empty environment unless one is given."""

    def load(text: str = BASE, *, name: str = "job.toml", **layers):
        layers.setdefault("environ", {})
        return load_job(write(text, name), **layers)

    return load
