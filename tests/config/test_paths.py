"""The examples that come along: each loads, plans without a refusal, and is in the wheel."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

import geobatch_tui
from geobatch_tui.config.layers import load_job
from geobatch_tui.config.paths import presets, sample_dir
from geobatch_tui.execution.ops.registry import operation_names

ROOT = Path(__file__).parents[2]
EXAMPLES = presets()


def name_of(path):
    return path.name


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_plans(path, tmp_path):
    """Nothing is refused but the file that was broken on purpose, and nobody is warned."""
    over = [f"output.dir={tmp_path / 'out'}", "engine.executor=thread"]
    loaded = load_job(path, overrides=over, environ={})
    report = asyncio.run(geobatch_tui.plan(loaded))
    assert report.items
    assert {entry["item"] for entry in report.refused} <= {"broken.tif"}
    assert bool(report.refused) is (path.name == "demo.toml")
    assert set(report.reasons) == {"new"}
    assert not report.warnings
    assert not (tmp_path / "out").exists()


def test_examples_show_every_operation():
    """Somebody who looks for an operation finds a job that uses it."""
    shown = {load_job(path, environ={}).job.op.name for path in EXAMPLES}
    own = {name for name in operation_names() if name.startswith(("raster.", "vector."))}
    assert shown == own


def test_examples_begin_with_a_sentence():
    """The list of examples shows it."""
    for path in EXAMPLES:
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith("# "), path.name
        assert len(first) > 20, path.name


def test_examples_are_in_the_wheel():
    """Each is named there one by one, since outputs may lie beside them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {f"sample_configs/{path.name}" for path in EXAMPLES} <= set(shipped)
    for name, target in shipped.items():
        assert (ROOT / name).exists()
        assert target == f"geobatch_tui/{name}"
    assert sample_dir() == ROOT / "sample_configs"
