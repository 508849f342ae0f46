"""A command in the background: started, waited for, quoted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from geobatch_tui.errors import OutputGoneError
from geobatch_tui.orchestration.detached import LOG, Background

if TYPE_CHECKING:
    from pathlib import Path


def program(tmp_path: Path, text: str) -> str:
    """A stand-in for the interpreter: a shell script that gets the command's words."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_last_words_are_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long output the end is quoted, not of what an earlier command wrote, and safely."""
    (tmp_path / LOG).write_text("earlier\n")
    shell = r"head -c 600000 /dev/zero | tr '\0' '\n'; printf 'error: \033[2J %s\n' $4; exit 3"
    monkeypatch.setattr(sys, "executable", program(tmp_path, shell))
    child = Background.start(["retry"], tmp_path)
    assert child.wait() == 3
    assert child.last_words(1) == ["error: \\x1b[2J retry"]
    assert b"earlier" not in child.said()
    assert (tmp_path / LOG).read_text().startswith("earlier\n")


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    """There is no such directory; and a link in place of the log is not followed."""
    with pytest.raises(OutputGoneError, match=LOG):
        Background.start(["retry"], tmp_path / "none")
    (tmp_path / LOG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputGoneError):
        Background.start(["retry"], tmp_path)
    assert not (tmp_path / "elsewhere").exists()
