"""Runs the command in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import forked_command
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "sample_configs" / "data"


@pytest.fixture
def geobatch(tmp_path):
    """Call ``geobatch(*words)``; gives the finished process, its streams as text."""

    def call(*words, env=None, cwd=None, timeout=60, check=None):
        environ = {
            key: value for key, value in os.environ.items() if not key.startswith("GEOBATCH_")
        }
        done = forked_command.run(
            [*map(str, words)],
            env={**environ, **(env or {})},
            cwd=str(cwd or tmp_path),
            timeout=timeout,
        )
        if check is not None:
            assert done.returncode == check, done.stderr
        return done

    return call


@pytest.fixture
def job_file(tmp_path):
    """Write a small job over the sample data; keyword arguments replace lines by key."""

    def write(name="job.toml", *, inputs=("hills.tif",), extra="", dst_crs="EPSG:6933", **output):
        paths = ", ".join(f'"{DATA / entry}"' for entry in inputs)
        lines = {"dir": '"out"', "format": '"COG"', "creation": '{ blocksize = "256" }'} | output
        text = "\n".join(f"{key} = {value}" for key, value in lines.items())
        path = tmp_path / name
        path.write_text(
            f"[source]\ninputs = [{paths}]\n\n"
            f'[op]\nname = "raster.reproject"\ndst_crs = "{dst_crs}"\n\n'
            f"[output]\n{text}\n\n{extra}\n"
        )
        return path

    return write
