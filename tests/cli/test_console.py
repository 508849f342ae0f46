"""What is opened after a console closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from geobatch_tui.cli import console
from geobatch_tui.errors import ConfigError
from geobatch_tui.tui.console import launch
from geobatch_tui.tui.kit.endings import Start, Watch


@pytest.mark.parametrize("read_only", [True, False])
def test_read_only_is_kept_from_run_to_run(monkeypatch, read_only):
    """Whoever may only look at one run may only look at the next, too."""
    seen = []
    wishes = iter([Watch(Path("second")), None])

    def watch(directory, *, read_only=False):
        seen.append((directory.name, read_only))
        return next(wishes)

    monkeypatch.setattr(launch, "watch", watch)
    assert console.follow(Watch(Path("first")), read_only=read_only) == 0
    assert seen == [("first", read_only), ("second", read_only)]


def test_read_only_starts_nothing():
    """A job cannot be started from a console that may only look."""
    with pytest.raises(ConfigError, match="read-only"):
        console.follow(Start(Path("job.toml")), read_only=True)
