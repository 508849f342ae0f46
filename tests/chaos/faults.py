"""Fails the calls of the system that a run makes below its output, one by one (``faults.c``)."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness import STATE, parts, tree_hash

from geobatch_tui.ledger.read.reader import LedgerReader

if TYPE_CHECKING:
    from chaos_jobs import Fixture
    from harness import Ended

SOURCE = Path(__file__).with_suffix(".c")
_HEAD = struct.Struct("<5q")
_SIZE = 4096
#: Codes that a run may end with; see README.md.
DOCUMENTED = {0, 2, 12, 15, 17}


def build(directory: Path) -> Path | None:
    """The library to preload; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    target = directory / "faults.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(SOURCE)]
    subprocess.run([*words, "-ldl", "-lpthread"], check=True)
    return target


@dataclass
class Faults:
    """Runs a job with faults, and again without; ``said`` is what was wrong with it."""

    fixture: Fixture
    library: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shared = self.fixture.directory / "shared"
        self._names: set[str] = set()
        ended = self._run()
        assert ended.code == 0, ended.stderr
        self.tree = tree_hash(self.fixture.out)
        self._names = self._state()
        self.calls, _, _, self.starts, _ = _HEAD.unpack(self._shared.read_bytes()[: _HEAD.size])

    def fail(self, number: int) -> None:
        """Fail one call: full, or as a disk that fails, in turn."""
        self.fixture.forget()
        error = errno.EIO if number % 2 else errno.ENOSPC
        ended = self._run(fails=number, error=error)
        what = self._shared.read_bytes()[_HEAD.size :].partition(b"\0")[0].decode()
        self._judge(f"call {number}, {what}, {errno.errorcode[error]}", ended)

    def refuse(self, most: int) -> None:
        """Refuse the processes and threads beyond ``most``."""
        self.fixture.forget()
        ended = self._run(most=most)
        where = f"{most} processes and threads"
        if self.fixture.out.exists() and self._dead():
            self.said.append(f"{where}: {self._dead()}")
        self._judge(where, ended)

    def _run(self, *, fails: int = 0, error: int = 0, most: int = 0) -> Ended:
        self._shared.write_bytes(_HEAD.pack(0, fails, error, 0, most).ljust(_SIZE, b"\0"))
        env = {
            "LD_PRELOAD": str(self.library),
            "LD_FAULT_ROOT": str(self.fixture.out),
            "LD_FAULT_FILE": str(self._shared),
        }
        return self.fixture.run(env=env)

    def _judge(self, where: str, ended: Ended) -> None:
        """A code that is documented, no traceback; then the same bytes, and nothing left over."""
        if ended.code not in DOCUMENTED:
            self.said.append(f"{where}: exit {ended.code}: {ended.stderr[-2000:]}")
        plain = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
        if any("Traceback" in line for line in plain):
            self.said.append(f"{where}: a traceback on stderr: {'; '.join(plain[-9:])}")
        again = self.fixture.run()
        if again.code != 0:
            self.said.append(
                f"{where}: the next run ends with {again.code}: {again.stderr[-2000:]}"
            )
        if tree_hash(self.fixture.out) != self.tree:
            self.said.append(f"{where}: other outputs: {sorted(tree_hash(self.fixture.out))}")
        left = [*parts(self.fixture.out), *sorted(self._state() - self._names)]
        if left:
            self.said.append(f"{where}: left over: {left}")

    def _state(self) -> set[str]:
        root = self.fixture.out / STATE
        return {os.fspath(path.relative_to(root)) for path in root.rglob("*")}

    def _dead(self) -> list[str]:
        ledger = self.fixture.out / STATE / "ledger.db"
        if not ledger.exists() or not ledger.stat().st_size:
            return []
        with LedgerReader(ledger) as reader:
            return [str(letter["error_message"]) for letter in reader.dead_letters()]
