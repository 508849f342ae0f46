"""Rows that are sorted on disk come out as if they had been sorted in memory."""

from __future__ import annotations

import numpy as np
import pytest

from geobatch_tui.execution.io.external_sort import Ranked, evenly

KIND = np.dtype([("key", "<u8"), ("value", "<u2")])


def rows(count, seed=1):
    """Rows in any order, whose values follow from their keys."""
    made = np.empty(count, KIND)
    made["key"] = np.random.default_rng(seed).permutation(count) * 3
    made["value"] = made["key"] % 1000
    return made


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 25_000])
def test_rows_come_in_order_as_often_as_asked(count, tmp_path):
    """In memory, in a run that is just full, and in several on disk; all of them, and in step."""
    given = rows(count)
    with Ranked(KIND, tmp_path / "rows", run_bytes=1000 * KIND.itemsize) as found:
        for start in range(0, count, 700):
            found.add(given[start : start + 700])
        assert found.count == count
        for _ in range(2):
            blocks = list(evenly(found.blocks(), 512))
            assert [len(block) for block in blocks[:-1]] == [512] * (len(blocks) - 1)
            out = np.concatenate([np.empty(0, KIND), *blocks])
            assert out["key"].tolist() == sorted(given["key"].tolist())
            assert (out["value"] == out["key"] % 1000).all()
    assert not list(tmp_path.iterdir())


def test_few_rows_are_in_memory_while_many_are_merged(tmp_path):
    """A block holds no more than what is read of all runs."""
    with Ranked(KIND, tmp_path / "rows", run_bytes=2000 * KIND.itemsize) as found:
        found.add(rows(50_000))
        largest = max(len(block) for block in found.blocks())
    assert largest <= 25 * 256
