"""Which clusters a job may name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from geobatch_tui.config.cluster.dask_section import DaskSection


@pytest.mark.parametrize("name", ["slurm", "PBS", "kubernetes"])
def test_clusters_that_others_start(name):
    """They are refused by name, with the way that there is."""
    with pytest.raises(ValidationError, match=f"does not start a {name} cluster itself"):
        DaskSection(cluster=name)


@pytest.mark.parametrize(
    "place", ["", "here", "http://host:1", "tcp://host", "tcp://a b:1", "inproc://x", "tcp://u@h:1"]
)
def test_what_is_no_cluster(place):
    """Neither a word nor an address that is known."""
    with pytest.raises(ValidationError, match="cluster"):
        DaskSection(cluster=place)


@pytest.mark.parametrize("place", ["local", "tcp://node-1.site:8786", "tls://[::1]:8786"])
def test_what_is_a_cluster(place):
    """Addresses of Dask, with a port."""
    assert DaskSection(cluster=place).cluster == place


@pytest.mark.parametrize(
    ("lease", "good"), [("3s", True), (0.1, True), ("0s", False), ("1h", False)]
)
def test_leases(lease, good):
    """As long as pays, and short enough to lose."""
    if good:
        assert DaskSection(lease=lease).lease > 0
    else:
        with pytest.raises(ValidationError, match=r"0\.1 s to 10 min"):
            DaskSection(lease=lease)
