"""Which clusters a job may name, and what it says of those that are started."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from geobatch_tui.config.cluster.dask_section import DaskSection, Range

TLS = {"ca_file": "/ca.pem", "cert": "/cert.pem", "key": "/key.pem"}


@pytest.mark.parametrize(
    "place",
    [
        "",
        "here",
        "http://host:1",
        "tcp://host",
        "tcp://a b:1",
        "inproc://x",
        "tcp://u@h:1",
        "a.b",
        "a-b:C",
        "a:b:c",
    ],
)
def test_what_is_no_cluster(place):
    """Neither a word nor an address nor a class that is known."""
    with pytest.raises(ValidationError, match="cluster"):
        DaskSection(cluster=place)


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("local", "local"),
        ("SLURM", "slurm"),
        ("kubernetes", "kubernetes"),
        ("tcp://node-1.site:8786", "tcp://node-1.site:8786"),
        ("tls://[::1]:8786", "tls://[::1]:8786"),
        ("site.clusters:Ours", "site.clusters:Ours"),
    ],
)
def test_what_is_a_cluster(place, kept):
    """Words, addresses of Dask with a port, and classes."""
    made = DaskSection(cluster=place)
    assert made.cluster == kept
    assert made.is_address == ("://" in place)


@pytest.mark.parametrize(
    ("given", "kept", "least", "text"),
    [
        (0, 0, 1, 0),
        (40, 40, 40, 40),
        ({"minimum": 2, "maximum": 9}, Range(minimum=2, maximum=9), 2, "2..9"),
        ({"maximum": 9}, Range(maximum=9), 1, "0..9"),
        ("2..9", Range(minimum=2, maximum=9), 2, "2..9"),
    ],
)
def test_workers(given, kept, least, text):
    """A number, or limits; a dump fits one line and is read as the same."""
    made = DaskSection(workers=given)
    assert (made.workers, made.least) == (kept, least)
    dumped = made.model_dump(mode="json")
    assert dumped["workers"] == text
    assert DaskSection.model_validate(dumped) == made


@pytest.mark.parametrize(
    "given",
    [-1, True, "many", "9..2", {"minimum": 2}, {"maximum": 0}, {"maximum": 1, "most": 2}, 1.5],
)
def test_what_is_no_number_of_workers(given):
    """Limits have their order, and both words are known."""
    with pytest.raises(ValidationError, match="workers"):
        DaskSection(workers=given)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"options": {"queue": "short"}}, "queue is of a cluster that a class starts"),
        ({"cluster": "tcp://h:1", "options": {"cores": 1}}, "cores is of a cluster"),
        ({"security": {"ca_file": "/ca.pem"}}, "TLS needs all of ca_file, cert and key"),
        ({"cluster": "tcp://h:1", "security": TLS}, "begins with tls://"),
        ({"security": {"password": "x"}}, "security"),
    ],
)
def test_what_does_not_go_together(values, said):
    """Nothing is ignored that would mean something elsewhere."""
    with pytest.raises(ValidationError, match=said):
        DaskSection(**values)
    assert DaskSection(cluster="slurm", options={"queue": "a", "cores": 2}, security=TLS).security


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
