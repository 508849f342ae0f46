"""Keys by the hundred, in bursts that arrive at once: nothing raises, and no run is lost."""

from __future__ import annotations

import gc

import psutil
import pytest
from key_storm import weather

from geobatch_tui.testing import OPS

#: Textual makes this coroutine of an input that keys close before its turn comes, and drops it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'Suggester._get_suggestion':RuntimeWarning"
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Files that keys make lie in a folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    monkeypatch.setenv("GEOBATCH_ENGINE__EXECUTOR", "thread")


def test_a_short_storm(tmp_path):
    """Whatever is typed, the console ends by its operator's wish, and its run with a result."""
    storm, states = weather(2, 150, tmp_path)
    assert storm.answered > 10
    assert set(states) <= {"partial", "interrupted"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_long_storm(seed, tmp_path):
    """The same, for minutes."""
    storm, states = weather(seed, 2000, tmp_path)
    assert storm.answered > 200
    assert set(states) <= {"partial", "interrupted"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 122))
def test_a_night_of_keys(seed, tmp_path):
    """4,000 keys: nothing raises, no run is lost, and memory does not grow with what was typed."""
    weather(seed + 1000, 200, tmp_path)  # loads what screens and dialogs need
    gc.collect()
    before = psutil.Process().memory_info().rss
    storm, states = weather(seed, 4000, tmp_path)
    gc.collect()
    grown = (psutil.Process().memory_info().rss - before) / 1e6
    assert storm.answered > 400
    assert set(states) <= {"partial", "interrupted"}
    assert grown < 60
