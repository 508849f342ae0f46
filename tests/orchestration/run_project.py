"""A job of the test operations in a directory of its own, run in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geobatch_tui
from geobatch_tui.config.layers import make_job

if TYPE_CHECKING:
    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.state.outcome import RunResult


@dataclass
class Project:
    """A job in a directory of its own.

    Args:
        root: the directory, which holds sources and outputs.
        op: parameters of ``test.faulty``.
        values: of other sections.
        inputs: names of the sources.
        executor: what has the workers, unless ``values`` name another one.
    """

    root: Path
    op: dict[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=lambda: ["a.tif"])
    executor: str = "process"

    def __post_init__(self) -> None:
        for name in self.inputs:
            self.source(name).write_bytes(name.encode())

    @property
    def out(self) -> Path:
        return self.root / "out"

    def source(self, name: str) -> Path:
        return self.root / name

    def output(self, name: str = "a.tif") -> Path:
        return self.out / name

    def job(self, **op: Any) -> LoadedJob:
        values: dict[str, dict[str, Any]] = {
            "source": {"inputs": [str(self.source(name)) for name in self.inputs]},
            "op": {"name": "test.faulty", "chunks": 10, **self.op, **op},
            "output": {"dir": str(self.out)},
            "engine": {"max_workers": 2, "executor": self.executor},
            "retry": {"backoff_base": "1ms", "backoff_cap": "2ms"},
        }
        for section, entries in self.values.items():
            values.setdefault(section, {}).update(entries)
        return make_job(values)

    async def run(self, *, op: dict[str, Any] | None = None, **options: Any) -> RunResult:
        return await geobatch_tui.run(self.job(**(op or {})), **options)

    async def reasons(self, **op: Any) -> dict[str, int]:
        report = await geobatch_tui.plan(self.job(**op))
        return dict(report.reasons)

    def tree(self) -> dict[str, bytes]:
        """Published files by name."""
        return {
            str(path.relative_to(self.out)): path.read_bytes()
            for path in sorted(self.out.rglob("*"))
            if path.is_file() and ".geobatch" not in path.parts
        }
