"""The examples that come along: each loads, plans without a refusal, and is in the wheel."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pyogrio
import pytest
import rasterio
from pyarrow import parquet

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
    said = (
        "runs code of this job",
        "GDAL blends what lies there",
        # The sample is larger than Switzerland, where the only datum shift to its grid ends.
        "gdalwarp takes 'Inverse of CH1903+ to",
        "gdalwarp would take another datum operation",
    )
    assert not [text for text in report.warnings if not any(part in text for part in said)]
    assert not (tmp_path / "out").exists()


#: The commonest chains, and what their outputs are: how many, bands or columns, and type.
CHAINS = {
    "buffer": (1, 4, "binary"),
    "chain": (1, 1, "uint8"),
    "classes": (1, 1, "int16"),
    "cut-out": (1, 4, "uint8"),
    "hillshade": (1, 1, "uint8"),
    "index": (1, 1, "float32"),
    "median": (2, 3, "uint8"),
    "mosaic": (1, 3, "uint8"),
    "own": (1, 1, "float32"),
    "relief-shading": (1, 4, "uint8"),
    "simplify": (1, 4, "MultiPolygon"),
    "slope": (1, 1, "float32"),
    "smaller": (3, 3, "uint8"),
    "stac": (1, 6, "uint8"),
    "tints": (1, 4, "uint8"),
}


def test_there_is_an_example_of_each_of_the_commonest_chains():
    """Each of them is run below."""
    jobs = {path.stem: load_job(path, environ={}).job for path in EXAMPLES}
    chains = {name for name, job in jobs.items() if job.op.name.endswith(".pipeline")}
    assert chains == set(CHAINS)


@pytest.mark.parametrize("name", CHAINS)
def test_an_example_runs(name, tmp_path):
    """On the data that comes along, with an output as it says."""
    over = [f"output.dir={tmp_path / 'out'}", "engine.executor=thread"]
    loaded = load_job(sample_dir() / f"{name}.toml", overrides=over, environ={})
    result = asyncio.run(geobatch_tui.run(loaded))
    assert result.state == "success"
    count, bands, kind = CHAINS[name]
    outputs = sorted(path for path in (tmp_path / "out").iterdir() if path.is_file())
    assert len(outputs) == count
    if loaded.job.op.name == "raster.pipeline":
        with rasterio.open(outputs[0]) as dataset:
            assert (dataset.count, dataset.dtypes[0]) == (bands, kind)
            assert dataset.dataset_mask().any()
    elif outputs[0].suffix == ".parquet":
        schema = parquet.read_schema(outputs[0])
        assert (len(schema.names), str(schema.field("geometry").type)) == (bands, kind)
    else:
        about = pyogrio.read_info(outputs[0])
        assert (len(about["fields"]), about["geometry_type"]) == (bands, kind)


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


def test_examples_of_stores_load():
    """They name services that no test asks; none holds a secret."""
    for path in sorted((sample_dir() / "stores").glob("*.toml")):
        loaded = load_job(path, environ={})
        assert not loaded.redacted
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_examples_are_in_the_wheel():
    """Each is named there one by one, since outputs may lie beside them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    own = {f"sample_configs/{path.name}" for path in sample_dir().glob("*.py")}
    assert {f"sample_configs/{path.name}" for path in EXAMPLES} | own <= set(shipped)
    for name, target in shipped.items():
        assert (ROOT / name).exists()
        assert target == f"geobatch_tui/{name}"
    assert sample_dir() == ROOT / "sample_configs"
