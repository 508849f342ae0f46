"""What is said at the end of a run is true of what it counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from geobatch_tui.tui.run.model import NO_COUNTS, View, notices


@pytest.mark.parametrize(
    ("done", "letters", "said"),
    [
        (1, 0, "1 chunk done, 0 dead letters, exit code 12"),
        (71, 42, "71 chunks done, 42 dead letters, exit code 12"),
    ],
)
def test_letters_of_features_are_told_though_no_chunk_is_dead(done, letters, said):
    """Of a chunk that is done, single features may have been set aside."""
    running = View(run=SimpleNamespace(run_id="r", t1=None), state="running", live=True)
    ended = View(
        run=SimpleNamespace(run_id="r", t1=9.0, exit_code=12),
        state="partial",
        counts=NO_COUNTS | {"total": done, "done": done},
        groups=(SimpleNamespace(count=letters),),
    )
    assert [notice.text for notice in notices(running, ended)] == [said]
