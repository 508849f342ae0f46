"""The environment of workers, and what GDAL makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from geobatch_tui.execution.runtime.allowed_drivers import RASTER
from geobatch_tui.execution.runtime.environment import FIXED, complete, worker_environment
from geobatch_tui.execution.worker import warmup


def test_secrets_of_the_shell_stay_out():
    """Only names on the allow-list, and those that the user adds, are passed on."""
    base = {
        "PATH": "/bin",
        "DATABASE_URL": "postgres://secret",
        "GITHUB_TOKEN": "secret",
        "MY_PLUGIN": "x",
        "GEOBATCH_WORKER_ENV": "MY_PLUGIN, OTHER",
        "AWS_PROFILE": "p",
        "https_proxy": "http://me:secret@proxy",
    }
    made = worker_environment(base)
    assert "secret" not in json.dumps(made)
    assert made["MY_PLUGIN"] == "x"
    assert made["AWS_PROFILE"] == "p"


def test_user_may_tune_but_not_loosen():
    """Defaults give way to the user's values; what safety and same bytes need does not."""
    base = {
        "GDAL_CACHEMAX": "256",
        "GDAL_NUM_THREADS": "ALL_CPUS",
        "GDAL_VRT_ENABLE_PYTHON": "YES",
        "GDAL_SKIP": "PDF NITF",
    }
    made = worker_environment(base)
    assert made["GDAL_CACHEMAX"] == "256"
    assert {name: made[name] for name in FIXED} == FIXED
    assert made["GDAL_SKIP"] == "PDF NITF"


def test_features_of_geojson_may_be_large():
    """Case 47: OGR's own limit gives up the whole file; a user may set another."""
    limit = "OGR_GEOJSON_MAX_OBJ_SIZE"
    assert worker_environment({})[limit] == "0"
    assert worker_environment({limit: "50"})[limit] == "50"


PROBE = """
import json, os, sys
from geobatch_tui.execution.worker import preload
import numpy as np, rasterio, rasterio.shutil
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
out = {}
out["threads"] = [l.split()[1] for l in open("/proc/self/status") if l.startswith("Threads")][0]
os.chdir(sys.argv[1])
with rasterio.Env() as env:
    out["drivers"] = sorted(env.drivers())
raw = ("<VRTDataset rasterXSize='4' rasterYSize='4'><VRTRasterBand dataType='Byte' band='1' "
       "subClass='VRTRawRasterBand'><SourceFilename relativetoVRT='1'>canary</SourceFilename>"
       "<PixelOffset>1</PixelOffset><LineOffset>4</LineOffset></VRTRasterBand></VRTDataset>")
open("canary", "w").write("canary" * 4)
open("scene.tif", "w").write(raw)
for name in ("scene.tif", raw, "MEM:::DATAPOINTER=1,PIXELS=4,LINES=4", "/vsistdin/"):
    try:
        rasterio.open(name).close()
        out.setdefault("opened", []).append(name)
    except RasterioIOError:
        pass
profile = dict(driver="GTiff", width=600, height=600, count=3, dtype="uint8", crs="EPSG:4326",
               transform=from_origin(0, 4, 0.01, 0.01))
with rasterio.open("a.tif", "w", **profile) as ds:
    ds.write(np.full((3, 600, 600), 7, "uint8"))
with rasterio.open("a.tif") as ds, WarpedVRT(ds, crs="EPSG:3857", add_alpha=True) as vrt:
    out["warped"] = int(np.median(vrt.read(1)))
rasterio.shutil.copy("a.tif", "cog.tif", driver="COG", compress="JPEG", add_mask="YES")
with rasterio.open("cog.tif") as ds:
    out["cog"] = ds.overviews(1)
print(json.dumps(out))
"""


def test_gdal_under_this_environment(tmp_path):
    """Drivers that open something else are gone; raw bands and addresses stay closed; the warper and the COG driver
    work; loading it all starts no thread."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GDAL_VRT_ENABLE_RAWRASTERBAND": "YES"},
        timeout=60,
    )
    out = json.loads(run.stdout)
    assert set(out["drivers"]) == RASTER
    assert "opened" not in out
    assert out["warped"] == 7
    assert out["cog"] == [2]
    assert out["threads"] == "1"


FAULTS = """
import resource
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytes(bytearray(1 << 20))
before = faults()
for _ in range(100):
    bytes(bytearray(1 << 20))
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's variables")
def test_buffers_of_a_tile_are_not_mapped_anew():
    """Memory of a freed tile serves the next one: its pages do not fault again."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=worker_environment(os.environ), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert int(done.stdout) < 100 * 256 / 4  # of 2 x 256 pages in each turn


VECTOR_PROBE = """
import json, os, sys
from geobatch_tui.execution.worker import preload
costly = ("numba", "pandas", "pyarrow.compute", "pydantic", "rasterio", "urllib.request")
loaded = [name for name in costly if name in sys.modules]
from geobatch_tui.execution.vector.kernels import feature_loops as loops
import numpy as np, pyarrow, pyproj, rasterio
from rasterio.io import MemoryFile
linked = [loops.gather, loops.boxes, loops.sparse, loops.scatter]
status = open("/proc/self/status").read().split()
with MemoryFile() as memory:
    with memory.open(driver="GTiff", width=4, height=4, count=1, dtype="uint8") as dataset:
        dataset.write(np.ones((1, 4, 4), dtype="uint8"))
    with memory.open() as dataset:
        ones = int(dataset.read().sum())
print(json.dumps({
    "threads": status[status.index("Threads:") + 1],
    "loaded": loaded,
    "linked": [list(loop._functions) for loop in linked],
    "ones": ones,
    "x": pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(1, 0)[0],
    "heap": [os.environ["GLIBC_TUNABLES"], os.environ["MALLOC_TRIM_THRESHOLD_"]],
    "arrow": pyarrow.default_memory_pool().backend_name,
}))
"""


def test_loaded_for_features():
    """The compiled loops are there before workers are forked; no thread is, nor what
    chunks of features do without; and what was unmapped comes back: GDAL and PROJ work."""
    warmup.warm_up_vector()  # compiles what was never compiled on this machine
    # Other tests of this process may have chosen for rasters, or given operations of their own.
    others = ("MALLOC_", "GLIBC_", "ARROW_", "GEOBATCH_OPS")
    own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    environ = {**own, "GEOBATCH_PRELOAD": "vector"}
    run = subprocess.run(
        [sys.executable, "-c", VECTOR_PROBE],
        capture_output=True,
        text=True,
        check=True,
        env=environ,
        timeout=120,
    )
    out = json.loads(run.stdout)
    assert out["threads"] == "1"
    assert not out["loaded"]
    assert out["linked"] == [[None]] * 4
    assert out["ones"] == 16
    assert out["x"] == pytest.approx(111319.49, abs=0.01)
    assert out["heap"] == ["glibc.malloc.hugetlb=1", str(2 << 20)]
    assert out["arrow"] == "system"


def test_a_fork_server_whose_engine_is_gone_loads_nothing():
    """Whoever has become its parent: init, or another reaper of orphans."""
    environ = {**os.environ, "GEOBATCH_ENGINE_PID": "1"}
    code = "from geobatch_tui.execution.worker import preload"
    run = subprocess.run([sys.executable, "-c", code], check=False, env=environ, timeout=60)
    assert run.returncode == 1
    environ["GEOBATCH_ENGINE_PID"] = str(os.getpid())
    run = subprocess.run([sys.executable, "-c", code], check=False, env=environ, timeout=60)
    assert run.returncode == 0


def test_threads_leave_the_imports_of_other_children_alone():
    """The user's program goes on to start what it likes; a path that it asked for stays safe."""
    plain, safe = {"HOME": "/home/u"}, {"PYTHONSAFEPATH": "1"}
    complete(plain)
    complete(safe)
    assert "PYTHONSAFEPATH" not in plain
    assert plain["GDAL_NUM_THREADS"] == "1"
    assert safe["PYTHONSAFEPATH"] == "1"


def test_loaded_for_pixels():
    """What chains alone need is not: a job of one operation does not wait for it."""
    script = (
        "import sys\nfrom geobatch_tui.execution.worker import preload\n"
        "print(*sorted(name for name in ('shapely', 'numba', 'obstore', 'boto3') if name in sys.modules))\n"
        "print(*(name for name in sys.modules if '.raster.steps.terrain.' in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=worker_environment(os.environ), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == []
