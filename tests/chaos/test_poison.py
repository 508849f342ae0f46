"""A crash is blamed on the chunk that caused it, on no other."""

from __future__ import annotations

import poison
import pytest

SEED = 20240601
#: Faults that end in the state of one chunk; those that pause the run have tests of their own.
FAULTS = (
    "segfault",
    "abort",
    "hang",
    "busy",
    "deaf",
    "exit",
    "sys_exit",
    "unpicklable",
    "interrupt",
    "raise",
    "recursion",
    "binary",
    "flood",
    "warn",
    "child",
)


def test_ten_poison_chunks_of_300_are_found(tmp_path):
    """Exactly the ten that crash, hang or exit are dead letters; exit 12."""
    verdict = poison.ten_of_300(tmp_path, SEED)
    assert verdict.faults == [], verdict


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_ten_poison_chunks_and_random_kills(tmp_path, seed):
    """The same while random workers are killed: still exactly those ten."""
    verdict = poison.ten_of_300(tmp_path, seed, kill_gap=0.3)
    assert verdict.faults == [], verdict


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_harms_no_other_chunk(tmp_path, fault):
    """Each way to misbehave: an error or nothing, never a hang, and the others are done."""
    verdict = poison.one_fault(tmp_path, fault)
    assert verdict.faults == [], verdict
