"""How many nodes a cluster is to have."""

from __future__ import annotations

import pytest

from geobatch_tui.config.cluster.dask_section import DaskSection
from geobatch_tui.orchestration.cluster.node_figures import WINDOW, Pulse
from geobatch_tui.orchestration.cluster.scaling import STEADY, Scaling

RANGE = {"minimum": 2, "maximum": 20}


@pytest.mark.parametrize(
    ("left", "seconds", "wanted"),
    [
        (0, None, 2),  # no more than the least
        (1000, None, 20),  # how long chunks take is not known: one for each worker process
        (24, None, 6),
        (1000, 0.03, 3),  # ten leases of 3 s, on four worker processes a node
        (10, 600.0, 3),  # no more worker processes than chunks
    ],
)
def test_as_many_as_there_is_work_for(left, seconds, wanted):
    """A lease for each worker process, within the limits."""
    scaling = Scaling(DaskSection(cluster="slurm", workers=RANGE), lambda: left)
    if seconds is not None:
        scaling.note(seconds)
    assert scaling.nodes(8, 2, 0.0) == wanted


def test_fewer_only_after_a_while():
    """To start a node takes as long; more are asked for at once."""
    left = [1000]
    scaling = Scaling(DaskSection(cluster="slurm", workers=RANGE), lambda: left[0])
    left[0] = 0
    assert scaling.nodes(80, 20, 1.0) == 20
    assert scaling.nodes(80, 20, 0.9 * STEADY) == 20
    left[0] = 1000
    assert scaling.nodes(80, 20, STEADY) == 20
    left[0] = 0
    assert scaling.nodes(80, 20, STEADY + 1) == 20
    assert scaling.nodes(80, 20, 2 * STEADY + 1) == 2


def test_a_number_or_a_wish():
    """A fixed number stays, whatever there is to do; so does what an operator wishes."""
    fixed = Scaling(DaskSection(cluster="slurm", workers=7), lambda: 0)
    assert fixed.nodes(4, 1, 0.0) == 7
    ranged = Scaling(DaskSection(cluster="slurm", workers=RANGE), lambda: 0)
    ranged.wish(30)
    assert ranged.nodes(4, 1, 0.0) == 30
    ranged.wish(0)
    assert ranged.nodes(4, 1, 0.0) == 1


def test_the_pulse_of_a_node():
    """Cores in use and chunks a minute come from two looks; old ones are forgotten."""
    pulse = Pulse()
    said = {"rss": {1: 5}, "compiling": [1], "taken": 9, "cpu": 1.0}
    pulse.take(said, 0.0)
    assert (pulse.cpu, pulse.per_minute(), pulse.taken) == (0.0, 0.0, 9)
    pulse.done = 30
    pulse.take(said | {"cpu": 4.0}, 2.0)
    assert pulse.cpu == 1.5
    assert pulse.per_minute() == 900.0
    pulse.take(said | {"cpu": 0.0}, 3.0)  # processes that ended took their seconds along
    assert pulse.cpu == 0.0
    pulse.take(said, 2 * WINDOW)
    pulse.take(said, 4 * WINDOW)
    assert pulse.per_minute() == 0.0
