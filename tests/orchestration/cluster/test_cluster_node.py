"""Leases on a node: their order, and their ends."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.orchestration.cluster.cluster_node import _Lease, _Leases


def lease(*idents: int) -> _Lease:
    return _Lease(idents, b"", asyncio.get_running_loop().create_future())


@given(st.permutations(range(1, 7)), st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_leases_begin_and_end_in_order(order, sizes):
    """However they come: the scheduler may take in two submissions at once."""

    async def come() -> None:
        leases, begun = _Leases(), []
        made = {turn: lease(*range(sizes[turn - 1])) for turn in order}
        for turn in order:
            leases.come(turn, made[turn])
            begun += leases.due()
        assert begun == [made[turn] for turn in sorted(made)]
        for turn in sorted(made):
            ends = [leases.answered() for _ in range(sizes[turn - 1])]
            assert ends == [False] * (sizes[turn - 1] - 1) + [True]
            assert made[turn].end.done()
            assert sum(each.end.done() for each in made.values()) == turn

    asyncio.run(come())


async def test_all_end_with_their_worker_process():
    """Those that wait for an earlier one too."""
    leases, made = _Leases(), [lease(1), lease(2), lease(3)]
    for turn, each in zip((1, 2, 4), made, strict=True):
        leases.come(turn, each)
    assert list(leases.due()) == made[:2]
    leases.end()
    assert all(each.end.done() for each in made)
