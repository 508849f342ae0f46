"""Pipelines as GDAL's pages and tests have them: each runs, or is refused by its name."""

from __future__ import annotations

import json
import re

import pytest
from chains import raster, whole_of
from planning import item_of

from geobatch_tui.config.layers import load_job
from geobatch_tui.config.writing.toml_writer import job_toml
from geobatch_tui.errors import ConfigError
from geobatch_tui.execution.params.chain_params import STEP_PARAMS
from geobatch_tui.execution.raster.gdal_commands import item_command

#: Chains that run, each after `read dem.tif !`.
CHAINS = {
    "reproject and shade": "reproject -r bilinear --output-crs EPSG:32632 ! hillshade -z 30",
    "older names": "reproject --dst-crs=EPSG:4326 --dst-nodata=0 --et 0",
    "onto a grid": "reproject --t_srs EPSG:32632 --bbox=600000,4450000,700000,4600000 --tap "
    "--resolution=1000,1000 --wo SAMPLE_GRID=NO",
    "a rectangle": "clip --bbox=10.5,40.5,11.5,41.5 --bbox-crs EPSG:4326",
    "a window": "clip --window 1,2,10,10 ! select 2,1",
    "tags alone": "edit --crs EPSG:4326 --metadata AREA=north --unset-metadata OLD --nodata -99",
    "a type": "set-type --ot Float64",
    "one light, another variant": "hillshade --variant multidirectional --altitude 60 --no-edges",
    "slope": "slope --unit percent --xscale=111120 --yscale=111120",
    "aspect": "aspect --convention trigonometric-angle --zero-for-flat",
    "roughness of all kinds": "tri --algorithm wilson",
    "means": "neighbors --kernel equal --size 3 --method mean",
    "a matrix": "neighbors --kernel [[1,2,1],[2,4,2],[1,2,1]] --method sum --ot Float32",
    "classes": 'reclassify -m "[-inf,100)=1; [100,inf]=2; NO_DATA=NO_DATA" --ot UInt8',
    "a range": "scale --input-min 0 --input-max 250 --output-min 0 --output-max 255 --ot Byte",
    "units": "unscale --ot Float32",
    "alpha": "nodata-to-alpha",
    "half": "resize --size 50%,50% -r average",
    "expressions": 'calc --calc "(X[1] - X[2]) / (X[1] + X[2])" --ot Float32',
    "holes": "fill-nodata -d 3 -s 0 --strategy nearest",
}  # fmt: skip

#: What is refused, and the words for it.
REFUSED = {
    "gdal raster pipeline read dem.tif ! hillshade --zfactor [ read dem.tif ] ! write o.tif": "zfactor is no image",
    "gdal raster pipeline read dem.tif ! blend --overlay [ read a.tif ! blend --overlay [ read b.tif ] ] ! write o.tif": "a pipeline in one that is in another is not run",
    "gdal raster pipeline read dem.tif ! blend --overlay [ hillshade ] ! write o.tif": "begins with read and one file",
    "gdal raster pipeline read dem.tif ! blend --overlay [ read {source} ! sieve ] ! write o.tif": "has no step 'sieve'",
    "gdal raster pipeline read dem.tif ! blend --overlay [ read {source} ! hillshade ! write o.tif": "is not closed",
    "gdal raster pipeline read dem.tif ! blend --overlay a.tif ] ! write o.tif": "closes no pipeline",
    "gdal raster pipeline read [ read dem.tif ] ! hillshade ! write o.tif": "is not run here",
    "gdal raster pipeline read dem.tif ! tee [ write copy.tif ] ! hillshade ! write o.tif": "a pipeline in a pipeline",
    "gdal pipeline read dem.tif ! footprint ! buffer 20 ! write area.gpkg --overwrite": "gdal has the step 'footprint', geobatch has not",
    "gdal pipeline read roads.gpkg ! filter --where kind=1 ! rasterize --size 9,9 ! write o.tif": "gdal has the step 'rasterize'",
    "gdal raster sieve -s 50 -c classes.tif o.tif": "gdal has the step 'sieve', geobatch has not",
    "gdal raster contour --interval 100 dem.tif lines.gpkg": "gdal has the step 'contour'",
    "gdal raster polygonize classes.tif areas.gpkg": "gdal has the step 'polygonize'",
    "gdal raster viewshed --position 10.5,41.5 --height 2 dem.tif seen.tif": "gdal has the step 'viewshed'",
    "gdal raster tile --min-zoom 0 --max-zoom 3 dem.tif tiles": "gdal has the step 'tile'",
    "gdal raster info dem.tif": "gdal has the step 'info'",
    "gdal raster pipeline read dem.tif ! select --band 1 --mask 2 ! write o.tif": "gdal has --mask, geobatch has not",
    "gdal raster pipeline read --oo NUM_THREADS=2 dem.tif ! write o.tif": "--oo is not taken",
    "gdal raster pipeline read dem.tif ! write o.tif --append": "gdal has --append",
    "gdal raster pipeline +step +gdal=read +input=dem.tif +step +gdal=write +output=o.tif": r"'\+step' is PROJ's way",
    "gdal raster calc -i A=dem.tif -i other.tif --calc A o.tif": "has a name of its own, as B=b.tif",
    "gdal raster calc -i B=dem.tif --calc B o.tif": "one of its inputs is called A",
    "gdal vector pipeline read roads.gpkg ! sort --method hilbert ! write o.fgb": "gdal has the step 'sort'",
}  # fmt: skip


def made(tmp_path, text):
    """The item of a pipeline's first input, a raster of two bands."""
    loaded = load_job(None, pipeline=text, flags={"output.dir": "out"}, environ={})
    return _item(tmp_path, loaded)


def _item(tmp_path, loaded):
    path = raster(tmp_path / "dem.tif")
    assert [entry.endswith("dem.tif") for entry in loaded.job.source.inputs] == [True]
    op = loaded.job.op
    return item_of(path, op.params.model_dump(mode="json"), op=op.name)


@pytest.mark.parametrize("steps", CHAINS.values(), ids=CHAINS)
def test_a_chain_of_gdals_pages_is_run(tmp_path, steps):
    """As a pipeline, and as what GDAL keeps in a file; a step that is not there is named."""
    lacking = [step for step in re.findall(r"(?:^|! )([a-z-]+)", steps) if step not in STEP_PARAMS]
    if lacking:
        with pytest.raises(
            ConfigError, match=f"gdal has the step '{lacking[0]}', geobatch has not"
        ):
            made(tmp_path, f"read dem.tif ! {steps}")
        return
    text = f"gdal raster pipeline --progress ! read dem.tif ! {steps} ! write o.tif"
    item = made(tmp_path, text)
    plan, pixels, _ = whole_of(item)
    assert pixels.shape == (plan.count, plan.height, plan.width)
    assert pixels.any()
    path = tmp_path / "a.gdalg.json"
    command = f"gdal raster pipeline read --input dem.tif ! {steps}"
    path.write_text(json.dumps({"type": "gdal_streamed_alg", "command_line": command}))
    loaded = load_job(path, flags={"output.dir": "out"}, environ={})
    assert loaded.job.op.name == "raster.pipeline"
    kept, again, _ = whole_of(_item(tmp_path, loaded))  # where GDAL's defaults hold
    assert [step.name for step in kept.chain] == [step.name for step in plan.chain]
    assert again.shape == pixels.shape


@pytest.mark.parametrize(("text", "said"), REFUSED.items())
def test_what_cannot_be_done_is_refused_by_its_name(text, said):
    """With exit code 2, before any file is opened."""
    with pytest.raises(ConfigError) as raised:
        load_job(None, pipeline=text, flags={"output.dir": "out"}, environ={})
    assert re.search(said, str(raised.value))
    assert raised.value.exit_code == 2


def test_relief_is_shaded_by_a_pipeline_in_a_pipeline(tmp_path, monkeypatch):
    """As GDAL's page of blend has it; the job file that is written of it is the same job, and so is
    GDAL's pipeline."""
    monkeypatch.chdir(tmp_path)
    path = raster(tmp_path / "dem.tif")
    (tmp_path / "c.txt").write_text("40 0 0 255\n200 255 0 0\n")
    text = (
        "gdal raster pipeline read dem.tif ! color-map --color-map c.txt ! blend "
        "--operator hsv-value --overlay [ read dem.tif ! hillshade -z 30 ] ! write out"
    )
    loaded = load_job(None, pipeline=text, environ={})
    item = item_of(path, loaded.job.op.params.model_dump(mode="json"), op=loaded.job.op.name)
    command = item_command(item)
    assert f"--overlay [ read {path} ! hillshade --zfactor 30.0 ] --operator hsv-value" in command
    again = load_job(None, pipeline=command, flags={"output.dir": "out"}, environ={})
    written = tmp_path / "job.toml"
    written.write_text(job_toml(loaded.job))
    from_file = load_job(written, environ={})
    assert loaded.job.op == again.job.op == from_file.job.op
    short = written.read_text().partition("[step.overlay]")[0] + (
        '[step.overlay]\npipeline = "read dem.tif ! hillshade -z 30"\n'
    )
    written.write_text(short + '[output]\ndir = "out"\n')
    assert load_job(written, environ={}).job.op == loaded.job.op


def test_files_of_gdals_own_tests(tmp_path):
    """A file that only reads is a copy; a command of one step is a chain of one."""
    for command, op in (
        ("gdal raster pipeline ! read dem.tif ! write --output-format stream streamed_dataset", "raster.convert"),
        ("gdal raster clip --window 0,0,9,9 --input dem.tif --output-format stream --output streamed_dataset", "raster.pipeline"),
    ):  # fmt: skip
        path = tmp_path / "read_byte.gdalg.json"
        path.write_text(json.dumps({"type": "gdal_streamed_alg", "command_line": command}))
        loaded = load_job(path, flags={"output.dir": "out"}, environ={})
        assert loaded.job.op.name == op
        assert _item(tmp_path, loaded).plan.chunk_bytes > 0
