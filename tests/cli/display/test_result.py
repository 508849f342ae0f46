"""The result that a person or a script reads."""

from __future__ import annotations

import pytest

from geobatch_tui.cli.display import result, streams
from geobatch_tui.orchestration.state.outcome import RunResult


def finished(**fields: object) -> RunResult:
    """The result of a run without dead letters."""
    known = {
        "run_id": "r", "state": "success", "exit_code": 0, "reason": "complete",
        "output_dir": "/tmp/a [red]b\n", "duration_s": 12.3,
        "counts": {"total": 3, "done": 3, "current": 2, "pending": 0, "dead": 0},
        "items": {"total": 1, "published": 1, "held": 0, "dead": 0},
        "rates": {"chunks_per_s": 1.0, "mpx_per_s": 2.0}, "undefined_pixels": 0,
        "dead_by_class": {}, "dead_letters": (), "warnings": (),
    }  # fmt: skip
    return RunResult(**(known | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"undefined_pixels": 7, "warnings": ("\x1b[31m[bold]", "b", "c", "d", "e", "f", "g")},
        {"state": "interrupted", "reason": "drained", "exit_code": 130},
    ],
)
def test_a_pipe_gets_the_text_of_the_table(fields, capsys):
    """What is written without the library that lays tables out is what that would have laid out."""
    told = finished(**fields)
    result.show(told)
    plain = capsys.readouterr().out
    streams.show(result.summary(told))
    for line in result.next_steps(told):
        streams.show(streams.foreign(line), wrap=False)
    assert plain == capsys.readouterr().out
    assert "\x1b" not in plain
