from __future__ import annotations

from geobatch_tui.observability.snapshot import CHUNK_STATES, ITEM_STATES, Snapshot


def test_a_new_snapshot_counts_nothing():
    """Renderers find every count in a snapshot of a run that has not planned yet."""
    snapshot = Snapshot(run_id="r", job="j", state="planning")
    assert dict(snapshot.counts) == dict.fromkeys(CHUNK_STATES, 0)
    assert dict(snapshot.items) == dict.fromkeys(ITEM_STATES, 0)
    assert snapshot.eta_s is None
