"""A report that is being written when the console closes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from geobatch_tui.tui.screens import report_dialog


def test_console_closes_during_a_report(tmp_path, monkeypatch):
    """The process that writes it is ended, and waited for, though the loop ends meanwhile."""
    pid = tmp_path / "pid"
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ > {pid}.part && mv {pid}.part {pid}; exec sleep 60\n")
    slow.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow))

    async def answer(_dialog):
        return tmp_path / "report.html"

    def in_a_while(child):
        """Kill it as a busy machine does."""
        asyncio.get_running_loop().call_later(0.2, os.kill, child.pid, signal.SIGKILL)

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", in_a_while)

    async def close():
        screen = SimpleNamespace(app=SimpleNamespace(push_screen_wait=answer))
        writing = asyncio.create_task(report_dialog.report(screen, tmp_path, "1"))
        while not pid.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        writing.cancel()
        await asyncio.sleep(0.05)

    asyncio.run(close())
    with pytest.raises(ChildProcessError):
        os.waitpid(int(pid.read_text()), os.WNOHANG)
