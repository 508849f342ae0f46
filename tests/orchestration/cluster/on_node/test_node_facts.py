"""What a node says of itself, and how it is held against the engine."""

from __future__ import annotations

from geobatch_tui.orchestration.cluster.on_node import node_facts


def test_facts_name_all_that_decides_bytes():
    """Our own code, Python, the machine, the operation with its libraries, compiled code."""
    said = node_facts.facts("raster.reproject")
    versions = said["versions"]
    assert {"geobatch", "Python", "machine", "raster.reproject", "rasterio", "numba"} <= set(
        versions
    )
    assert "(" in versions["rasterio"], "a digest of its compiled files stands beside its version"
    assert "rasterio of raster.reproject" in versions
    assert said["memory"] > 0
    assert said["host"]


def test_an_operation_that_is_not_there():
    """A plug-in that only the engine has is a difference with a name."""
    assert node_facts.facts("plug.in")["versions"]["plug.in"] == "missing"


def test_differences_name_both_sides():
    """What is missing, and what is another version."""
    ours = {"geobatch": "1 (aa)", "numba": "0.68 (x)", "same": "1"}
    theirs = {"geobatch": "1 (bb)", "same": "1", "conda": "libgdal-3"}
    assert node_facts.differences(ours, theirs) == [
        "conda is libgdal-3 there and missing here",
        "geobatch is 1 (bb) there and 1 (aa) here",
        "numba is missing there and 0.68 (x) here",
    ]
    assert node_facts.differences(ours, ours) == []
