"""The demo's job through a real SLURM of this machine, which `slurm.sh` starts."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import PreflightError

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "sample_configs" / "data"
OPTIONS = {
    "queue": "short",
    "cores": 1,
    "memory": "1GB",
    "walltime": "00:10:00",
    "interface": "lo",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))),
        reason="needs slurm-wlm and munge, and root",
    ),
    # Dask's own, of connections that a killed process leaves.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Two nodes, each with room for two jobs of one core."""
    top = tmp_path_factory.mktemp("slurm")
    script = HERE / "slurm.sh"
    made = subprocess.run(
        [script, "start", top, "2", "4096"], check=False, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", made.stdout.strip())
        patch.setenv("XDG_STATE_HOME", str(top / "state-home"))
        yield top
    subprocess.run([script, "stop", top], check=True)


def queued() -> list[str]:
    listed = subprocess.run(
        ["squeue", "--noheader", "--states=pending,running"],
        check=True,
        capture_output=True,
        text=True,
    )
    return listed.stdout.splitlines()


def job(out: Path, executor: str, **dask):
    files = [str(path) for path in sorted(DATA.glob("*.tif"))]
    return make_job(
        {
            "source": {"inputs": files},
            "op": {"name": "raster.reproject", "dst_crs": "EPSG:6933", "resampling": "cubic"},
            "output": {"dir": str(out), "creation": {"blocksize": 256}},
            "engine": {"executor": executor, "chunk_cols": 256, "chunk_rows": 256},
            **({"dask": dask} if dask else {}),
        }
    )


def tree(out: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.glob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("workers", [2, {"minimum": 1, "maximum": 3}])
async def test_the_demo(slurm, tmp_path, workers):
    """Its jobs are queued and work; the bytes are those of this machine, the broken file is dead;
    afterwards no job is left, and what the Dask workers printed can be read."""
    lines: list[str] = []
    result = await geobatch_tui.run(
        job(tmp_path / "slurm", "dask", cluster="slurm", workers=workers, options=OPTIONS),
        log_stream=lines.append,
    )
    assert (result.exit_code, result.counts["dead"]) == (12, 1), result
    assert any('"cluster.wait"' in line and "asked slurm for" in line for line in lines)
    assert any('"cluster.joined"' in line for line in lines)
    assert (await geobatch_tui.run(job(tmp_path / "here", "process"))).exit_code == 12
    assert tree(tmp_path / "slurm") == tree(tmp_path / "here")
    assert len(tree(tmp_path / "here")) == 3
    assert not queued()
    prints = list((slurm / "state-home" / "geobatch" / "nodes").glob("*.err"))
    assert any("Starting established connection" in path.read_text() for path in prints)


async def test_what_slurm_refuses(slurm, tmp_path):
    """Its own words say why, before anything is written."""
    with pytest.raises(PreflightError, match="invalid partition") as raised:
        await geobatch_tui.run(
            job(tmp_path / "out", "dask", cluster="slurm", options={**OPTIONS, "queue": "long"})
        )
    assert "cannot start slurm" in raised.value.message
    assert not (tmp_path / "out").exists()
    assert not queued()
