"""One item of a job that is looked at outside of a run."""

from __future__ import annotations

import pytest

from geobatch_tui.config import paths
from geobatch_tui.config.layers import load_job
from geobatch_tui.errors import ConfigError
from geobatch_tui.orchestration.single_chunk import LoneItem, compute, place_of

MOSAIC = """\
[source]
inputs = ["a.tif", "b.tif"]
[[step]]
name = "mosaic"
[[step]]
name = "roughness"
[output]
dir = "out"
"""


@pytest.fixture
def job(tmp_path):
    """A job that makes one item of two files."""
    data = paths.sample_dir() / "data" / "alps.tif"
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).symlink_to(data)
    path = tmp_path / "job.toml"
    path.write_text(MOSAIC)
    return load_job(path, environ={})


def test_a_chunk_of_a_mosaic_is_computed(job, tmp_path):
    """Its item is of all files; neither state nor outputs are made."""
    done = compute(job, "job.tif@0,0")
    assert done.dtype == "float32"
    assert done.window == (0, 0, 1200, 660)
    assert not (tmp_path / "out").exists()


def test_an_item_is_found_by_its_key(job, tmp_path):
    """Or it is the first one; its plan may be of some of its steps."""
    first = LoneItem.of(job.job, "", tmp_path / "lists")
    assert first == LoneItem.of(job.job, "job.tif", tmp_path / "lists")
    assert [step["name"] for step in first.probe(1).params["steps"]] == ["mosaic"]
    assert len(first.probe().params["steps"]) == 2
    with pytest.raises(ConfigError, match="no item"):
        LoneItem.of(job.job, "c.tif", tmp_path / "lists")


@pytest.mark.parametrize("text", ["a.tif", "a.tif@1", "@1,2", "a.tif@x,1"])
def test_what_is_no_chunk_is_refused(text):
    """With how one is named."""
    with pytest.raises(ConfigError, match="is no chunk"):
        place_of(text)
    assert place_of("a@b.tif@3,7") == ("a@b.tif", 3, 7)
