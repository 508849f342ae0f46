"""The dialog that asks for a line."""

from __future__ import annotations

from pathlib import Path

from geobatch_tui.tui.parts.dialogs import PathDialog


def test_a_home_that_nobody_has_is_a_path_like_another(monkeypatch):
    """It raises nothing: whoever writes there says that there is no such folder."""
    monkeypatch.setenv("HOME", "/home/ada")
    dialog = PathDialog("Write", "", Path("x.csv"))
    assert dialog.meant("~/x.csv") == Path("/home/ada/x.csv")
    assert dialog.meant("~nobody-of-this-name/x.csv") == Path("~nobody-of-this-name/x.csv")
